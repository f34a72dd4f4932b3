"""Scoring answers: metrics, strict and published rules, trivial baselines, intervals, comparisons."""
