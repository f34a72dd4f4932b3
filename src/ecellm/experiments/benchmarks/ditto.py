"""Ditto's text form of DeepMatcher's pairs: a record, a tab, another record, a tab, 1 or 0.

    COL title VAL red mug COL manufacturer VAL acme COL price VAL 4.99 <tab> COL title VAL mug, red ... <tab> 1

train.txt, valid.txt and test.txt, as in github.com/megagonlabs/ditto, folder data/er_magellan.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ecellm.errors import DataError
from ecellm.experiments.benchmarks.formats import SPLIT_FILES, Converted, Format, inputs
from ecellm.experiments.benchmarks.pairs import Pair, examples
from ecellm.types import Split

#: Where a column begins: words of their own, for a value may hold COLD or VALVE.
COLUMN = re.compile(r"(?<!\S)COL (\w+) VAL(?!\S)")
FILES = tuple(f"{name}.txt" for name in SPLIT_FILES)


def read(folder: Path, benchmark: str) -> Converted:
    """Return the pairs of the three files; raises DataError, naming file and line, for a line of another form."""
    pairs = [pair for name, split in SPLIT_FILES.items() for pair in _pairs(folder / f"{name}.txt", split)]
    return Converted(examples(pairs, benchmark), inputs(folder, FILES))


def _pairs(path: Path, split: Split) -> Iterator[Pair]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            parts = line.rstrip("\r\n").split("\t")
            if len(parts) != 3 or parts[2].strip() not in ("0", "1"):
                raise DataError(f"{path}, line {number}: not two records and a label (1 or 0), divided by tabs.")
            left, right = (record(text) for text in parts[:2])
            if not (left and right):
                raise DataError(f"{path}, line {number}: a record has no column (COL name VAL value).")
            yield Pair(split, left, right, parts[2].strip() == "1")


def record(text: str) -> dict[str, str]:
    """Return the columns of a record, with values stripped of white space."""
    _, *parts = COLUMN.split(text)
    return {name: value.strip() for name, value in zip(parts[::2], parts[1::2], strict=True)}


FORMAT = Format("Ditto's text form", FILES, read)
