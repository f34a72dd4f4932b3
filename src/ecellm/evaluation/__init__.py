"""Scoring answers: metrics, strict and published rules, floors, intervals, and the page of results."""
