"""Tuning a language model on a dataset, by a recipe."""
