"""The script that records what the program writes, and compares two records."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from repository import REPOSITORY

RECORD = {"shop/reviews.csv": "aa", "bm25/scores/QPR ndcg": {"value": 0.5}, "xs/tensor weight": "bb"}


def behaviour(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, str(REPOSITORY / "benchmarks" / "behaviour"), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, env={**os.environ, **environment})


def compared(folder: Path, after: dict[str, Any], *options: str) -> tuple[int, list[str]]:
    """Compare RECORD with another record; returns the exit code and the lines."""
    for name, facts in (("before", RECORD), ("after", after)):
        (folder / name).write_text(json.dumps({"made_with": {}, "facts": facts}))
    done = behaviour("compare", folder / "before", folder / "after", *options)
    return done.returncode, done.stdout.splitlines()


def test_equal_records_end_with_one_line(tmp_path: Path) -> None:
    assert compared(tmp_path, RECORD) == (0, ["3 facts compared; all equal."])


def test_a_difference_is_named_with_both_values(tmp_path: Path) -> None:
    code, lines = compared(tmp_path, {**RECORD, "bm25/scores/QPR ndcg": {"value": 0.25}})
    assert code == 1
    assert lines == ['bm25/scores/QPR ndcg: {"value": 0.5}, then {"value": 0.25}', "3 facts compared; 1 differ."]


def test_a_fact_that_only_one_record_of_a_model_has_is_a_difference(tmp_path: Path) -> None:
    code, lines = compared(tmp_path, {**RECORD, "xs/tensor bias": "cc"})
    assert code == 1 and lines[0] == "xs/tensor bias: (absent), then cc"
    after = {"xs/tensor bias": "cc", "shop/reviews.csv": "aa", "bm25/scores/QPR ndcg": {"value": 0.5}}
    code, lines = compared(tmp_path, after)
    assert code == 1 and lines[:2] == ["xs/tensor weight: bb, then (absent)", "xs/tensor bias: (absent), then cc"]


def test_expected_differences_are_excluded_and_counted(tmp_path: Path) -> None:
    after = {**RECORD, "xs/tensor weight": "changed"}
    assert compared(tmp_path, after, "--except", "xs/tensor *") == (0, ["2 facts compared; all equal; 1 excluded."])


def test_a_model_that_only_one_record_has_is_named_and_not_compared(tmp_path: Path) -> None:
    after = {name: value for name, value in RECORD.items() if not name.startswith("xs/")}
    line = "2 facts compared; all equal; in one record only, not compared: xs."
    assert compared(tmp_path, after) == (0, [line])


def test_records_with_nothing_in_common_are_not_equal(tmp_path: Path) -> None:
    assert compared(tmp_path, {"aveqa/tensor weight": "bb"})[0] == 1


def test_a_command_that_fails_is_named_with_the_end_of_its_errors(tmp_path: Path) -> None:
    package = tmp_path / "ecellm"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text("raise SystemExit('the shop is closed')\n")
    done = behaviour("record", tmp_path / "record.json", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "simulate failed with exit code 1: ecellm simulate" in done.stderr
    assert done.stderr.rstrip().endswith("the shop is closed")
    assert not (tmp_path / "record.json").exists()


@pytest.mark.slow
def test_a_record_has_the_data_and_the_models_that_were_asked_for(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    done = behaviour("record", record, "--models", "bm25")
    assert done.returncode == 0, done.stderr
    facts = json.loads(record.read_text())["facts"]
    sections = {name.partition("/")[0] for name in facts}
    assert sections == {"shop", "dataset", "export", "imported dataset", "bases", "bm25"}
    assert facts["dataset/manifest counts.QPR.train IND"] == 120
    assert facts["bm25/scores/QPR IND_Diverse_Instruction strict ndcg"]["value"] > 0.5
    assert any(name.startswith("bm25/predictions/text QPR") for name in facts)


@pytest.mark.slow
def test_commands_that_are_killed_write_what_they_write_undisturbed(tmp_path: Path) -> None:
    done = behaviour("kill", "--kills", 8, "--commands", "build,tune,predict,ask,serve", "--work", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    name, kills, endings, differences, _ = done.stdout.splitlines()[-1].split()
    assert (name, differences) == ("all", "0") and int(kills) >= 8 and int(endings) >= 4
