"""Instruction data: building it from the Store, keeping it in a folder, reading it under a setting."""
