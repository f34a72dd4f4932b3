"""The published ECInstruct form: reading it, and writing a dataset as its rows."""
