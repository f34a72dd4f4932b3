"""How long a build takes against a bare DuckDB scan and count of the same files, at growing sizes of the shop.

    python benchmarks/build.py [--scales 3.5,35,350] [--shops DIR] [--runs 3]

A shop of scale 1 has about 30,000 reviews and as many purchases, so the largest has about 20 million of both. Each
measurement is a process of its own, on the demo's config (all ten tasks); the first of each kind, which warms the
disk's cache, does not count. Prints seconds, peak memory and the ratio of the medians, and how both grow. --shops
keeps the simulated shops (about 5 GB for the largest) for the next call.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from ecellm.sources.simulator import DEMO_CONFIG, simulate

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
    import duckdb

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
    from ecellm.dataset.build import build as run
    from ecellm.dataset.config import read_config
    from ecellm.tasks import TASKS

    with tempfile.TemporaryDirectory() as space:
        out = Path(space) / "dataset"
        manifest = run(shop, read_config(DEMO_CONFIG), out, list(TASKS.values()), None, lambda step: None)
    return sum(sum(counts.values()) for counts in manifest["counts"].values())


def measured(kind: str, shop: Path) -> dict[str, float]:
    """Run one kind of work in a process of its own; returns seconds, peak MB and rows."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, __file__, "--only", kind, "--shops", str(shop)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{kind} on {shop} failed")
    # Starting Python and importing is no work on the shop: the process says when it began.
    found = json.loads(said)
    return {"seconds": time.monotonic() - began - found["start"], "mb": used.ru_maxrss / 1024, "rows": found["rows"]}


def compare(shop: Path, runs: int) -> dict[str, float]:
    """Measure both kinds in turn; returns medians."""
    found: dict[str, list[dict[str, float]]] = {"scan": [], "build": []}
    for turn in range(runs + 1):
        for kind, kept in found.items():
            one = measured(kind, shop)
            if turn:
                kept.append(one)
            print(
                f"  {kind} {one['seconds']:.1f} s, {one['mb']:,.0f} MB{'' if turn else ' (to warm up)'}", flush=True
            )
    scans, builds = ([one["seconds"] for one in found[kind]] for kind in ("scan", "build"))
    return {
        "rows": found["scan"][0]["rows"],
        "scan": median(scans),
        "build": median(builds),
        "ratio": median(ours / bare for ours, bare in zip(builds, scans, strict=True)),
        "mb": max(one["mb"] for one in found["build"]),
    }


def main(scales: list[float], shops: Path, runs: int) -> None:
    before: dict[str, float] | None = None
    for scale in scales:
        shop = shops / f"{scale:g}"
        if not shop.exists():
            print(f"simulating scale {scale:g}", flush=True)
            simulate(shop, scale)
        print(f"scale {scale:g}", flush=True)
        found = compare(shop, runs)
        print(
            f"  {found['rows']:,} rows: bare scan {found['scan']:.1f} s, build {found['build']:.1f} s, "
            f"ratio {found['ratio']:.1f}, peak {found['mb']:,.0f} MB"
        )
        if before:
            grown = found["rows"] / before["rows"]
            print(f"  {grown:.1f} times the rows: {found['build'] / before['build']:.1f} times the build's time")
        before = found


if __name__ == "__main__":
    began = time.monotonic()
    parser = argparse.ArgumentParser()
    parser.add_argument("--scales", default="3.5,35,350")
    parser.add_argument("--shops", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", choices=["scan", "build"])
    given = parser.parse_args()
    if given.only:
        import ibis  # noqa: F401

        work = {"scan": scan, "build": build}[given.only]
        ready = time.monotonic() - began
        print(json.dumps({"start": ready, "rows": work(given.shops)}))
    elif given.shops:
        main([float(scale) for scale in given.scales.split(",")], given.shops, given.runs)
    else:
        with tempfile.TemporaryDirectory() as space:
            main([float(scale) for scale in given.scales.split(",")], Path(space), given.runs)
