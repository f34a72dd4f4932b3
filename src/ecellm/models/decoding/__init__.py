"""Decoding that families share: candidate scoring, constrained decoding, KV cache, batching."""
