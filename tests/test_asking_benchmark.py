"""The benchmark of asking runs, at a size that says nothing of speed."""

import subprocess
import sys

import pytest

from repository import REPOSITORY


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), ("times the floor", "usual, stops", "AG: 4 samples", "AVE: 4 samples")),
        (("--model", "xs"), ("times the floor", "usual, stops")),
        (("--drift",), ("float32: 8 answers", "bfloat16: 8 answers")),
    ],
)
def test_it_runs_and_says_its_ratios(arguments: tuple[str, ...], said: tuple[str, ...]) -> None:
    line = [sys.executable, "benchmarks/asking.py", "--shape", "tiny", "--examples", "8", "--rounds", "1"]
    done = subprocess.run(
        [*line, "--threads", "1", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for words in said:
        assert words in done.stdout
