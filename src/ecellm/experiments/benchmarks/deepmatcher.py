"""DeepMatcher's own CSV form: two tables of records, and three of pairs of their ids with a label.

tableA.csv and tableB.csv (id and the records' columns); train.csv, valid.csv and test.csv (ltable_id, rtable_id,
label), as in github.com/anhaidgroup/deepmatcher, Datasets.md.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from ecellm.errors import DataError
from ecellm.experiments.benchmarks.formats import SPLIT_FILES, Converted, Format, inputs
from ecellm.experiments.benchmarks.pairs import Pair, Record, examples
from ecellm.types import Split

TABLES = ("tableA.csv", "tableB.csv")
FILES = (*TABLES, *(f"{name}.csv" for name in SPLIT_FILES))
LEFT, RIGHT, LABEL = "ltable_id", "rtable_id", "label"


def read(folder: Path, benchmark: str) -> Converted:
    """Return the pairs with their records; raises DataError, naming file and line, for a pair of unknown records."""
    left, right = (_records(folder / name) for name in TABLES)
    pairs = [
        pair for name, split in SPLIT_FILES.items() for pair in _pairs(folder / f"{name}.csv", split, left, right)
    ]
    return Converted(examples(pairs, benchmark), inputs(folder, FILES))


def _records(path: Path) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for number, row in _rows(path, ("id",)):
        identity = row.pop("id")
        if identity in found:
            raise DataError(f"{path}, line {number}: the id {identity} occurs twice.")
        found[identity] = row
    return found


def _pairs(path: Path, split: Split, left: Mapping[str, Record], right: Mapping[str, Record]) -> Iterator[Pair]:
    for number, row in _rows(path, (LEFT, RIGHT, LABEL)):
        ids = row[LEFT], row[RIGHT]
        if ids[0] not in left or ids[1] not in right:
            raise DataError(f"{path}, line {number}: {' or '.join(TABLES)} has no such record ({', '.join(ids)}).")
        if row[LABEL] not in ("0", "1"):
            raise DataError(f"{path}, line {number}: the label is {row[LABEL]!r}, not 1 or 0.")
        yield Pair(split, left[ids[0]], right[ids[1]], row[LABEL] == "1", ids)


def _rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows with the numbers of their last lines; raises DataError where a column is lacking."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restkey="", restval=None)
        absent = [name for name in needed if name not in (reader.fieldnames or ())]
        if absent:
            raise DataError(f"{path} has no column {', '.join(absent)}.")
        for row in reader:
            if "" in row or None in row.values():
                raise DataError(f"{path}, line {reader.line_num}: it has another number of cells than the header.")
            yield reader.line_num, {name: value.strip() for name, value in row.items()}


FORMAT = Format("DeepMatcher's CSV form", FILES, read)
