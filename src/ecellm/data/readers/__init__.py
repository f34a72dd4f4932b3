"""Readers: one per raw format, each filling tables of the Store and knowing nothing of tasks."""
