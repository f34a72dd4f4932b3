"""WDC Products: pairs of offers as JSON lines, gzipped, in 27 variants.

A variant has so many corner cases (80, 50 or 20 %), tests on products that training shows (seen), half of them
(half-seen) or none (unseen), and is trained on a small, medium or large set:

    wdcproducts80cc20rnd000un_train_small.json.gz, ..._valid_small.json.gz, wdcproducts80cc20rnd100un_gs.json.gz

A line has title, brand, description, price and priceCurrency, each with _left and _right, label (1 or 0), and ids.
webdatacommons.org/largescaleproductcorpus/wdc-products (Peeters, Der, Bizer 2023).
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ecellm.errors import DataError, EcellmError
from ecellm.experiments.benchmarks.formats import Converted, Format, inputs
from ecellm.experiments.benchmarks.pairs import Pair, examples
from ecellm.types import Split

FIELDS = ("title", "brand", "description", "price", "priceCurrency")
CORNER_CASES, SIZES = (80, 50, 20), ("small", "medium", "large")
#: The share of test products that are unseen, in %, by its name.
UNSEEN = {"seen": "000", "half-seen": "050", "unseen": "100"}


def wdc_format(corner_cases: int, unseen: str, size: str) -> Format:
    """Return the format of one variant: its three files, train, validation and test."""
    stem = f"wdcproducts{corner_cases}cc{100 - corner_cases}rnd"
    files = (
        f"{stem}000un_train_{size}.json.gz",
        f"{stem}000un_valid_{size}.json.gz",
        f"{stem}{UNSEEN[unseen]}un_gs.json.gz",
    )
    return Format("WDC Products' pair files", files, partial(_read, files))


def _read(files: tuple[str, ...], folder: Path, benchmark: str) -> Converted:
    splits: tuple[Split, ...] = ("train", "validation", "test")
    pairs = [pair for name, split in zip(files, splits, strict=True) for pair in _pairs(folder / name, split)]
    return Converted(examples(pairs, benchmark), inputs(folder, files))


def _pairs(path: Path, split: Split) -> Iterator[Pair]:
    """Yield the pairs; raises DataError, naming file and line, for what is no pair."""
    for number, line in enumerate(_lines(path), start=1):
        try:
            yield _pair(line, split)
        except (EcellmError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: it is no pair with titles and a label ({error}).") from error


def _lines(path: Path) -> list[str]:
    try:
        return gzip.decompress(path.read_bytes()).decode("utf-8").strip("\n").split("\n")
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged or truncated ({error}). Get the file again.") from error


def _pair(line: str, split: Split) -> Pair:
    row = json.loads(line)
    label = int(row["label"])
    if label not in (0, 1):
        raise DataError(f"label {label}")
    left, right = (
        {name: _text(row.get(f"{name}_{side}")) for name in FIELDS if name == "title" or f"{name}_{side}" in row}
        for side in ("left", "right")
    )
    ids = (str(row["id_left"]), str(row["id_right"])) if "id_left" in row and "id_right" in row else None
    return Pair(split, left, right, label == 1, ids)


def _text(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())
