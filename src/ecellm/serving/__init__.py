"""The HTTP service: `ecellm serve` puts a model behind typed endpoints (docs/serving.md)."""
