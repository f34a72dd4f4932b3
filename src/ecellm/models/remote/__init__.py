"""Models that run elsewhere: OpenAI-compatible servers and vLLM's engine."""
