"""From a benchmark's raw files to a DATASET folder: every row in the split that it was published in."""

import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ecellm.benchmarks.formats import Converted, found
from ecellm.benchmarks.registry import Benchmark
from ecellm.dataset.dataset import MANIFEST, Dataset, read_dataset, write_split
from ecellm.dataset.hub_card import HUB_CARD, hub_card
from ecellm.dataset.select import Part, Rules, Selection, select
from ecellm.files import whole_folder
from ecellm.records import SPLITS


def convert(benchmark: Benchmark, folder: Path, out: Path) -> Dataset:
    """Write the benchmark's rows as the dataset folder `out` and return it; nothing is filtered.

    Raises ValueError where the files are not there or not of their form, a split that is tuned on or tested has no
    row, or `out` exists.
    """
    form = found(folder, benchmark.formats)
    read = form.read(folder, benchmark.name)
    there = Counter((sample.split, sample.domain) for sample in read.samples)
    empty = [split for split in ("train", "test") if not there[split, "IND"]]
    if empty:
        raise ValueError(f"{folder} has no row of the split {empty[0]}: are its files whole?")
    chosen = select({benchmark.task: read.samples}, {benchmark.task: there}, {benchmark.task: Rules(as_given=True)})
    manifest = _manifest(benchmark, form.name, read, there)
    with whole_folder(out) as beside:
        _write(beside, chosen, manifest)
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
