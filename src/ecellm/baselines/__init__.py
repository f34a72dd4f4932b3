"""Strong cheap models, fitted in seconds, that a tuned language model has to beat."""
