"""Which drawn samples a dataset keeps: language, length, near-duplicates, leaks, quotas."""
