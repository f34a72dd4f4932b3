"""The time and cost of predictions: OUT.took.jsonl, a line for each run that answered something and was not killed.

Seconds are wall-clock seconds of answering, without loading the model. Tokens and cost are there where a server
counts.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecellm.io.journal import append_entries
from ecellm.models.base import Usage

#: Returns what tokens cost, or None without prices.
Cost = Callable[[Usage], float | None]


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
            row: dict[str, float | None] = {"seconds": round(time.monotonic() - began, 1), "answered": answered}
            if usage is not None:
                price = None if cost is None else cost(usage)
                row |= {"read": usage.prompt, "written": usage.written, "cost": price}
            append_entries(took_file(out), [row])
