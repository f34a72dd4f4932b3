"""Models: one folder per family, what they share to answer, and model folders on disk."""
