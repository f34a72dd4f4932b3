"""Models: where XS's starting weights are, what XS is, and model folders on disk."""
