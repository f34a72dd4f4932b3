"""How long a build takes against a bare DuckDB scan and count of the same files, at growing sizes of the shop.

    python benchmarks/build.py [--scales 3.5,35,350] [--shops DIR] [--runs 3]

A shop of scale 1 has about 30,000 reviews and as many purchases, so the largest has about 20 million of both. Each
measurement is a process of its own, on the demo's config (all ten tasks); the first of each kind, which warms the
disk's cache, does not count. Prints seconds by the clock and of the processors, peak memory, the medians' ratios, and
how both grow. --shops keeps the simulated shops (about 5 GB for the largest) for the next call.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

import duckdb

from ecellm.data.builder import build as build_dataset
from ecellm.data.config import read_config
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.tasks import TASKS
from measuring import Measured, measured, report

LINES = "format = 'newline_delimited', ignore_errors = true, maximum_object_size = 67108864"
RATINGS = "columns = {'item': 'VARCHAR', 'user': 'VARCHAR', 'rating': 'VARCHAR', 'time': 'VARCHAR'}"
READERS = {
    ".gz": f"read_json('PATH', {LINES})",
    ".jsonl": f"read_json('PATH', {LINES})",
    ".parquet": "read_parquet('PATH')",
    ".csv": f"read_csv('PATH', header = false, auto_detect = false, {RATINGS}, ignore_errors = true)",
}


def scan(shop: Path) -> int:
    """Count the rows of every file of JSON lines, CSV or Parquet, with nothing else."""
    connection = duckdb.connect(config={"memory_limit": "4GB"})
    rows = 0
    for path in sorted(shop.rglob("*")):
        # The two catalogues are of no size to speak of, and in Latin-1.
        if path.suffix in READERS and "amazon_google" not in path.parts:
            rows += connection.execute(
                f"SELECT count(*) FROM {READERS[path.suffix].replace('PATH', str(path))}"
            ).fetchall()[0][0]
    return rows


def build(shop: Path) -> int:
    """Build the whole dataset; returns its rows."""
    with tempfile.TemporaryDirectory() as space:
        out = Path(space) / "dataset"
        manifest = build_dataset(shop, read_config(DEMO_CONFIG), out, list(TASKS.values()), None, lambda step: None)
    return sum(sum(counts.values()) for counts in manifest["counts"].values())


def compare(shop: Path, runs: int) -> tuple[int, float]:
    """Measure both kinds in turn and print their medians; returns the rows and the build's seconds."""
    found: dict[str, list[Measured]] = {"scan": [], "build": []}
    for turn in range(runs + 1):
        for kind, kept in found.items():
            one = measured(__file__, "--only", kind, "--shops", shop)
            if turn:
                kept.append(one)
            took = f"{one.seconds:.1f} s (of the processors {one.processor:.1f} s), {one.mb:,.0f} MB"
            print(f"  {kind} {took}{'' if turn else ' (to warm up)'}", flush=True)
    scans, builds = ([one.seconds for one in found[kind]] for kind in ("scan", "build"))
    busy = median(ours.processor / bare.processor for ours, bare in zip(found["build"], found["scan"], strict=True))
    ratio = median(ours / bare for ours, bare in zip(builds, scans, strict=True))
    rows, peak = found["scan"][0].rows, max(one.mb for one in found["build"])
    print(
        f"  {rows:,} rows: bare scan {median(scans):.1f} s, build {median(builds):.1f} s, ratio {ratio:.1f} "
        f"(of the processors {busy:.1f}), peak {peak:,.0f} MB"
    )
    return rows, median(builds)


def main(scales: list[float], shops: Path, runs: int) -> None:
    before: tuple[int, float] | None = None
    for scale in scales:
        shop = shops / f"{scale:g}"
        if not shop.exists():
            print(f"simulating scale {scale:g}", flush=True)
            simulate(shop, scale)
        print(f"scale {scale:g}", flush=True)
        rows, seconds = compare(shop, runs)
        if before:
            print(f"  {rows / before[0]:.1f} times the rows: {seconds / before[1]:.1f} times the build's time")
        before = (rows, seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scales", default="3.5,35,350")
    parser.add_argument("--shops", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["scan", "build"])
    given = parser.parse_args()
    if given.only:
        work = {"scan": scan, "build": build}[given.only]
        report(lambda: work(given.shops))
    else:
        with tempfile.TemporaryDirectory() as space:
            main([float(scale) for scale in given.scales.split(",")], given.shops or Path(space), given.runs)
