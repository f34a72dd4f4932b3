"""The time and cost of predictions: OUT.took.jsonl, a line for each run that answered something and was not killed.

Seconds are wall-clock seconds of answering, without loading the model. Tokens and cost are there where a server
counts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from ecellm.io.journal import append_entries
from ecellm.models.base import Usage

#: Returns what tokens cost, or None without prices.
Cost = Callable[[Usage], float | None]


class UsageLine(TypedDict):
    """What one run took."""

    seconds: float
    answered: int
    read: NotRequired[int]
    written: NotRequired[int]
    """Tokens, where a server counts them."""
    cost: NotRequired[float | None]


def took_file(out: Path) -> Path:
    """Return the file with the time and cost of the answers beside it."""
    return out.with_name(out.name + ".took.jsonl")


@contextmanager
def taking(out: Path, counted: Callable[[], tuple[int, Usage | None]], cost: Cost | None = None) -> Iterator[None]:
    """Time a block and append a line, however it ends; `counted()` returns the answers and tokens so far.

    A block without an answer appends none.
    """
    began = time.monotonic()
    try:
        yield
    finally:
        answered, usage = counted()
        if answered:
            line = UsageLine(seconds=round(time.monotonic() - began, 1), answered=answered)
            if usage is not None:
                line["read"], line["written"] = usage.prompt, usage.written
                line["cost"] = None if cost is None else cost(usage)
            append_entries(took_file(out), [line])
