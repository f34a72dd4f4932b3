"""ecellm: build e-commerce instruction data, tune a language model on it, ask it, score it."""

__version__ = "0.1.0"
