"""Calibration of every model's answers: temperatures and decision thresholds, fitted, kept and applied."""
