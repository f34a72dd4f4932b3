"""Benchmarks run, at a size that says nothing of speed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ecellm.data.dataset import Dataset
from ecellm.prompts import TEMPLATES
from model_folders import describe
from repository import REPOSITORY
from tiny_models import save_tiny


@pytest.mark.slow
def test_the_benchmark_of_a_large_models_lora_runs_at_tiny_size() -> None:
    script = REPOSITORY / "benchmarks" / "tuning_usual.py"
    line = [sys.executable, str(script), "--shape", "tiny", "--examples", "8", "--rounds", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "ratio" in done.stdout and "TFLOP/s of matrix products" in done.stdout


@pytest.mark.slow
def test_the_benchmark_of_precisions_says_ratios_and_drift(tiny_data: Dataset, tmp_path: Path) -> None:
    model = save_tiny("llama", tmp_path / "model", max_position_embeddings=2048)
    recipe = {"family": "causal", "max_tokens": 400}
    describe(model, {"recipe": recipe, "template": TEMPLATES["alpaca"].model_dump(), "offsets": {}})
    given = ["--model", str(model), "--data", str(tiny_data.path), "--rows", "12", "--rounds", "1", "--threads", "1"]
    line = [sys.executable, str(REPOSITORY / "benchmarks" / "precision.py"), *given]
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=hidden)
    assert done.returncode == 0, done.stderr[-2000:]
    for precision in ("bf16", "int8"):
        assert f"\n{precision}: probabilities move by " in done.stdout
    assert done.stdout.count("times as fast as fp32 by the clock") == 3 and "/12 answers equal (AVE " in done.stdout


@pytest.mark.slow
def test_the_benchmark_of_starting_says_its_ratios() -> None:
    line = [sys.executable, str(REPOSITORY / "benchmarks" / "starting.py"), "--rounds", "1"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("median ratio, ") == 2
