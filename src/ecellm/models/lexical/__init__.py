"""Lexical models: linear models and dictionaries over the words of texts, for baselines and XS."""
