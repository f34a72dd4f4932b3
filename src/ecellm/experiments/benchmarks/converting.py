"""From a benchmark's raw files to a DATASET folder: every row in the split that it was published in."""

from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from ecellm.data.dataset import Dataset, read_dataset, write_dataset
from ecellm.data.filters.selection import Part, Rules, select
from ecellm.data.manifest import Manifest
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
        write_dataset(temporary, {split: chosen.split(split) for split in SPLITS}, manifest)
    return read_dataset(out)


def _manifest(benchmark: Benchmark, form: str, read: Converted, there: Counter[Part]) -> Manifest:
    """Return the manifest; nothing in it depends on time, machine or path."""
    task = benchmark.task
    return {
        "seed": 0,
        "benchmark": {"name": benchmark.name, "form": form},
        "counts": {task: {f"{split} IND": there[split, "IND"] for split in SPLITS}},
        "dropped": {task: dict(sorted(read.dropped.items()))},
        "versions": {"ecellm": version("ecellm")},
        "inputs": [asdict(file) for file in read.inputs],
    }
