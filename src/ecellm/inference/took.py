"""What asking took, beside the answers: OUT.took.jsonl, a line for each run that asked something and was not killed.

Seconds are wall-clock seconds of asking, without loading the model. Tokens and cost are there where a server counts.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ecellm.files import append_whole
from ecellm.inference.generator import Usage

#: Told tokens; returns what they cost, or None without prices.
Cost = Callable[[Usage], float | None]


def took_file(out: Path) -> Path:
    """Return the file that says what the answers beside it took."""
    return out.with_name(out.name + ".took.jsonl")


@contextmanager
def taking(out: Path, counted: Callable[[], tuple[int, Usage | None]], cost: Cost | None = None) -> Iterator[None]:
    """Time a block that asks and append what it took, however it ends; `counted()` gives answers and tokens so far.

    A block that got no answer leaves no line.
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
            append_whole(took_file(out), json.dumps(row) + "\n")
