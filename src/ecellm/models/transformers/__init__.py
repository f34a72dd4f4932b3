"""Causal and encoder-decoder models of transformers: loading, tuning, merging and generating."""
