"""Measuring a piece of work in a process of its own: seconds, peak memory, and what it says it made.

Seconds pass faster on a quiet machine than on a busy one; the processor's seconds tell less of what else runs there.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What one run took."""

    seconds: float
    """By the clock, without starting Python and importing."""
    processor: float
    """Seconds of all processors together, without the same."""
    mb: float
    """Peak resident memory."""
    rows: int


def measured(script: str, *arguments: object) -> Measured:
    """Run a script that calls `report`; ends this process where that fails."""
    line = [sys.executable, script, *(str(argument) for argument in arguments)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(line)} failed")
    found = json.loads(said.splitlines()[-1])
    return Measured(found["seconds"], found["processor"], used.ru_maxrss / 1024, found["rows"])


def report(work: Callable[[], int]) -> None:
    """Do the work, which returns a number of rows, and print how long it took."""
    began, busy = time.monotonic(), time.process_time()
    rows = work()
    taken = {"seconds": time.monotonic() - began, "processor": time.process_time() - busy}
    print(json.dumps({**taken, "rows": rows}))
