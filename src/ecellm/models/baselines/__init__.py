"""Baselines: models of one task each, from TF-IDF to published networks, that a language model has to beat."""
