"""Tuning a language model on a dataset, as a recipe says."""
