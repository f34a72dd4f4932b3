"""A dataset folder as others load it: the datasets library reads it by its card."""

import json
from pathlib import Path

import datasets

from ecellm.data.ecinstruct.importing import import_published
from ecellm.data.hub_card import COLUMNS


def test_a_folder_loads_with_the_datasets_library(tmp_path: Path) -> None:
    rows = [
        {"task": "PM", "input": f"{split} {number}", "output": "yes", "split": split}
        for split, count in (("train", 3), ("val", 2), ("test", 1))
        for number in range(count)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    import_published(tmp_path / "rows.json", tmp_path / "data")
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(table) for split, table in loaded.items()} == {"train": 3, "validation": 2, "test": 1}
    assert loaded["train"][0]["input"] == "train 0"
    assert set(COLUMNS) <= set(loaded["train"].features)


def test_empty_splits_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"task": "PM", "input": "x", "output": "yes"}]')
    import_published(tmp_path / "rows.json", tmp_path / "data")
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(table) for split, table in loaded.items()} == {"test": 1}


def test_the_card_counts_the_rows_of_each_task(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text('[{"task": "PM", "input": "x", "output": "yes"}]')
    import_published(tmp_path / "rows.json", tmp_path / "data")
    card = (tmp_path / "data" / "README.md").read_text()
    assert "| Product_Matching (PM) | 1 |" in card
    assert card.startswith("---\nconfigs:\n")
