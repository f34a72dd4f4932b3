"""Errors for an invalid loss, naming the examples to look at."""

from collections.abc import Sequence

from ecellm.errors import ConfigError

#: Examples that are named.
MAX_NAMED = 5


def not_a_number(step: int, examples: Sequence[str]) -> ConfigError:
    """Return the error for a loss that is infinite or not a number; `examples` are ids."""
    return ConfigError(
        f"The loss is not a number at step {step} ({named(examples)}): "
        "lower optimisation.learning_rate or set optimisation.precision=fp32."
    )


def named(examples: Sequence[str]) -> str:
    """Return the first ids, and how many more there are."""
    shown = ", ".join(examples[:MAX_NAMED])
    return shown + (f" and {len(examples) - MAX_NAMED} more" if len(examples) > MAX_NAMED else "")
