"""Asking a model: generators, decisions, and the run that writes PREDICTIONS.jsonl."""
