"""The benchmark that is meant for a GPU runs, at tiny size, on a CPU."""

import subprocess
import sys

import pytest

from repository import REPOSITORY


@pytest.mark.slow
def test_the_benchmark_of_a_large_models_lora_runs_at_tiny_size() -> None:
    script = REPOSITORY / "benchmarks" / "tuning_usual.py"
    line = [sys.executable, str(script), "--shape", "tiny", "--samples", "8", "--rounds", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ratio" in done.stdout and "TFLOP/s of matrix products" in done.stdout
