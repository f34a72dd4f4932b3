"""Tables of any make, read once into Parquet that both engines read; what cannot be used is rejected and counted."""
