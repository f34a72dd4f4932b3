"""Files, hashes, and tables of rows, shared by all rooms."""
