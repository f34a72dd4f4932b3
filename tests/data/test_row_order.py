"""The order of rows in the raw files changes nothing: on rows that differ in little, and on the whole shop."""

import gzip
import json
import random
import shutil
from pathlib import Path

import pytest

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, read_config
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.tasks import TASKS
from ecellm.types import SPLITS


def parquet(folder: Path) -> dict[str, bytes]:
    return {split: (folder / f"{split}.parquet").read_bytes() for split in SPLITS}


def test_of_several_answers_to_one_question_the_same_is_drawn(tmp_path: Path) -> None:
    rows = [
        {
            "asin": f"B{question:03}",
            "category": "Home",
            "questionText": f"is lamp {question} bright?",
            "questionType": "descriptive",
            "review_snippets": ["bright enough to read by"],
            "answers": [{"answerText": f"Buyer {buyer} says so.", "helpful": [1, 1]}],
            "is_answerable": 1,
        }
        for question in range(20)
        for buyer in range(4)
    ]
    plan = {"in_domain": ["Home"], "out_of_domain_test": 0}
    config = BuildConfig.model_validate({"sources": {"amazon_qa": "qa"}, "tasks": {"AG": plan}})
    for name, order in (("one", rows), ("two", rows[::-1])):
        folder = tmp_path / name / "qa"
        folder.mkdir(parents=True)
        for split in ("train", "val", "test"):
            asked = [{**row, "questionText": f"{split}: {row['questionText']}"} for row in order]
            (folder / f"{split}-qar.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
        build(tmp_path / name, config, tmp_path / f"{name}-out", [TASKS["AG"]], None, lambda step: None)
    assert parquet(tmp_path / "one-out") == parquet(tmp_path / "two-out")


def shuffle(path: Path) -> None:
    """Write the lines of a JSON-lines or headless CSV file in another order."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rb") as file:
        lines = file.read().splitlines()
    random.Random(path.name).shuffle(lines)
    with opened(path, "wb") as file:
        file.write(b"\n".join(lines) + b"\n")


@pytest.mark.slow
def test_a_shuffled_shop_gives_the_same_dataset_for_all_tasks(tmp_path: Path) -> None:
    config = read_config(DEMO_CONFIG)
    simulate(tmp_path / "one", 0.5, 42)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    found = [*(tmp_path / "two").rglob("*.json*"), *(tmp_path / "two").rglob("rating/**/*.csv")]
    assert len(found) > 10
    for path in found:
        shuffle(path)
    for name in ("one", "two"):
        build(tmp_path / name, config, tmp_path / f"{name}-out", list(TASKS.values()), None, lambda step: None)
    assert parquet(tmp_path / "one-out") == parquet(tmp_path / "two-out")
