"""Public test sets with published figures: one reader per raw format, a registry by name, their measures, the run."""
