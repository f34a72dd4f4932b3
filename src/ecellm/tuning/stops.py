"""Why a run stops by itself, with the samples to look at."""

from collections.abc import Sequence

#: Samples that are named.
MOST_NAMED = 5


def not_a_number(step: int, samples: Sequence[str]) -> ValueError:
    """Return what to raise where the loss of a step is infinite or not a number; `samples` are ids."""
    return ValueError(
        f"The loss is not a number at step {step} ({named(samples)}): "
        "lower optimisation.learning_rate or set optimisation.precision=fp32."
    )


def named(samples: Sequence[str]) -> str:
    """Return the first ids, and how many more there are."""
    shown = ", ".join(samples[:MOST_NAMED])
    return shown + (f" and {len(samples) - MOST_NAMED} more" if len(samples) > MOST_NAMED else "")
