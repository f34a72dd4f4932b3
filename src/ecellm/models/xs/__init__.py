"""XS: the prefix language model from MiniLM, its features, tuning and generator."""
