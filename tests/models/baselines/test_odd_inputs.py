"""Rows whose input is not in their task's form, as imported ones may be: one sentence that names the row."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ecellm.data.dataset import Dataset, read_dataset, write_split
from ecellm.errors import DataError
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.load import load_generator
from ecellm.types import Split
from shop_rows import write_dataset

SETTING = "IND_Single_Instruction"
ODD = ("", "no JSON", "[]", '{"a": 1}', "7", "[" * 5000)


def spoiled(
    folder: Path, split: Split, task: str, text: str, options: str | None = "as it was"
) -> tuple[Dataset, str]:
    """Return a dataset in which the first row of a task has another input, and the row's id."""
    data = read_dataset(write_dataset(folder))
    rows = data.examples(split)
    first = next(place for place, row in enumerate(rows) if row.task == task)
    rows[first] = replace(rows[first], input=text)
    if options != "as it was":
        rows[first] = replace(rows[first], options=options)
    write_split(rows, folder / f"{split}.parquet")
    return read_dataset(folder), rows[first].id


@pytest.mark.parametrize(
    ("name", "task"), [("tfidf", "PM"), ("tfidf", "SR"), ("tfidf", "AVE"), ("tfidf", "AG"), ("bm25", "QPR")]
)
@pytest.mark.parametrize("text", ODD)
def test_a_training_row_of_another_form(tmp_path: Path, name: str, task: str, text: str) -> None:
    if (task, text) == ("SR", "[]"):
        pytest.skip("a shopper who bought nothing yet")
    data, row = spoiled(tmp_path / "data", "train", task, text)
    with pytest.raises(DataError, match=rf"{row} .*form of {task}\. Mend or remove the row") as caught:
        fit_baseline(name, data, tmp_path / "model", [task])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("task", ["PM", "SR", "AVE", "AG", "QPR"])
def test_a_test_row_of_another_form(tmp_path: Path, task: str) -> None:
    data, row = spoiled(tmp_path / "data", "test", task, "no JSON")
    fit_baseline("tfidf", data, tmp_path / "model", [task])
    generator = load_generator(tmp_path / "model")
    with pytest.raises(DataError, match=rf"{row} .*form of {task}\. Mend or remove the row"):
        generator.prompts(data.view(SETTING, "test", [task]))


def test_a_test_row_without_options(tmp_path: Path) -> None:
    data, row = spoiled(tmp_path / "data", "test", "SR", json.dumps(["1st: mug"]), None)
    fit_baseline("tfidf", data, tmp_path / "model", ["SR"])
    generator = load_generator(tmp_path / "model")
    with pytest.raises(DataError, match=rf"{row} has no options, .* Mend or remove the row"):
        generator.prompts(data.view(SETTING, "test", ["SR"]))
