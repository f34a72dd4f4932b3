"""Tuning that families share: rows, arguments of the trainer, batches, checkpoints, checks of losses."""
