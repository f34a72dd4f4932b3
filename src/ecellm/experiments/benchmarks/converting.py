"""From a benchmark's raw files to a DATASET folder: every row in the split that it was published in."""

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ecellm.data.dataset import MANIFEST, Dataset, read_dataset, write_split
from ecellm.data.filters.selection import Part, Rules, Selection, select
from ecellm.data.hub_card import HUB_CARD, hub_card
from ecellm.errors import DataError
from ecellm.experiments.benchmarks.formats import Converted, found
from ecellm.experiments.benchmarks.registry import Benchmark
from ecellm.io.files import atomic_folder
from ecellm.types import SPLITS


def convert(benchmark: Benchmark, folder: Path, out: Path) -> Dataset:
    """Write the benchmark's rows as the dataset folder `out` and return it; nothing is filtered.

    Raises DataError where the files are not there or not of their form, a split that is tuned on or tested has no
    row, or `out` exists.
    """
    form = found(folder, benchmark.formats)
    read = form.read(folder, benchmark.name)
    there = Counter((example.split, example.domain) for example in read.examples)
    empty = [split for split in ("train", "test") if not there[split, "IND"]]
    if empty:
        raise DataError(f"{folder} has no row of the split {empty[0]}: are its files complete?")
    chosen = select({benchmark.task: read.examples}, {benchmark.task: there}, {benchmark.task: Rules(as_given=True)})
    manifest = _manifest(benchmark, form.name, read, there)
    with atomic_folder(out) as temporary:
        _write(temporary, chosen, manifest)
    return read_dataset(out)


def _write(folder: Path, chosen: Selection, manifest: dict[str, Any]) -> None:
    for split in SPLITS:
        write_split(chosen.split(split), folder / f"{split}.parquet")
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / HUB_CARD).write_text(hub_card(manifest), encoding="utf-8")


def _manifest(benchmark: Benchmark, form: str, read: Converted, there: Counter[Part]) -> dict[str, Any]:
    """Return the manifest; nothing in it depends on time, machine or path."""
    task = benchmark.task
    return {
        "seed": 0,
        "benchmark": {"name": benchmark.name, "form": form},
        "counts": {task: {f"{split} IND": there[split, "IND"] for split in SPLITS}},
        "dropped": {task: dict(sorted(read.dropped.items()))},
        "versions": {"ecellm": version("ecellm")},
        "inputs": read.inputs,
    }
