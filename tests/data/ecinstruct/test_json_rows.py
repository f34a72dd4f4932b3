"""Reading the rows of a JSON file however deep they are and wherever they stand."""

import json
import time
from pathlib import Path

import pytest

from ecellm.data.dataset import read_dataset
from ecellm.data.ecinstruct.importing import import_published
from ecellm.errors import EcellmError


def row(**values: object) -> dict[str, object]:
    task = {"task": "Product_Substitue_Identification", "split": "train", "setting": "IND_Diverse_Instruction"}
    return {"instruction": "Say yes or no.", "input": "a mug", "output": "yes", **task, **values}


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "[" * 200_000 + "]" * 200_000])
def test_a_file_of_nothing_but_brackets_is_refused_quickly(tmp_path: Path, text: str) -> None:
    file, out = tmp_path / "rows.json", tmp_path / "data"
    file.write_text(text)
    began = time.monotonic()
    with pytest.raises(EcellmError, match=r"not a whole JSON file|no usable row: nested too deeply: 1"):
        import_published(file, out)
    assert time.monotonic() - began < 20 and not out.exists()


@pytest.mark.parametrize("lines", [True, False])
def test_rows_around_one_that_is_nested_too_deeply_are_kept(tmp_path: Path, lines: bool) -> None:
    deep = json.dumps(row(input=0)).replace('"input": 0', f'"input": {"[" * 50_000 + "]" * 50_000}')
    rows = [json.dumps(row(input="one")), deep, json.dumps(row(input="two", new=[{"deep": [[]]}]))]
    (tmp_path / "rows.json").write_text("\n".join(rows) if lines else f"[{','.join(rows)}]")
    manifest = import_published(tmp_path / "rows.json", tmp_path / "data")
    assert manifest["rejected"] == {"rows.json": {"nested too deeply": 1}}
    assert [each.input for each in read_dataset(tmp_path / "data").examples("train")] == ["one", "two"]


def test_what_stands_behind_an_array_is_read_or_counted(tmp_path: Path) -> None:
    rows = [json.dumps(row(input=str(number))) for number in range(4)]
    (tmp_path / "rows.json").write_text(f"[{rows[0]}, [{rows[1]}]] {rows[2]} 7 [{rows[3]}]")
    manifest = import_published(tmp_path / "rows.json", tmp_path / "data")
    assert manifest["rejected"] == {"rows.json": {"not a JSON object": 2}}
    assert [each.input for each in read_dataset(tmp_path / "data").examples("train")] == ["0", "2", "3"]
