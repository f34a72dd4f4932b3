"""Dataset folders that were edited or damaged: refused in one sentence when opened, whatever the command."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ecellm.data.checks import WRONG
from ecellm.data.dataset import PUBLISHED, read_dataset, write_dataset
from ecellm.data.ecinstruct.importing import import_published
from ecellm.errors import DataError
from ecellm.types import SPLITS, Example

Run = Callable[..., tuple[int, str, str]]
Edit = Callable[[pa.Table], pa.Table]


def written(folder: Path, rows: int = 6) -> Path:
    """A dataset with so many rows of PM in each split."""
    folder.mkdir()
    examples = {
        split: [Example(f"PM-{n}", "PM", "IND", split, f"{split} {n} " * 20, None, "yes") for n in range(rows)]
        for split in SPLITS
    }
    write_dataset(folder, examples, {"seed": 1, "counts": {"PM": {f"{split} IND": rows for split in SPLITS}}})
    return folder


def column(name: str, values: Sequence[object], kind: pa.DataType | None = None) -> Edit:
    """Put other values into a column."""
    return lambda table: table.set_column(table.column_names.index(name), name, pa.array(values, kind))


STARS = '["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]'


def stars(table: pa.Table, outputs: Sequence[object], options: Sequence[object] | None = None) -> pa.Table:
    """Make the rows SA's."""
    columns: dict[str, Sequence[object]] = {
        "task": ["SA"] * 6,
        "output": outputs,
        "options": options or [STARS] * 6,
    }
    for name, values in columns.items():
        table = column(name, values)(table)
    return table


EDITS: list[tuple[Edit, str]] = [
    (
        lambda table: pa.concat_tables([table, table.slice(2, 1)]),
        "has the id 'PM-2' in row 3 and in row 7: remove one",
    ),
    (column("task", ["PM"] * 5 + ["XX"]), "the task of row 6 is 'XX'; it should be one of AVE, PRP, PM"),
    (column("task", ["PM"] * 5 + ["pm"]), "the task of row 6 is 'pm'"),
    (column("domain", ["IND", "ind", *["IND"] * 4]), "the domain of row 2 is 'ind'; it should be one of IND, OOD"),
    (column("input", ["x"] * 3 + [None] * 3), "the column input has no value in row 4"),
    (column("output", [None] * 6), "the column output has no value in row 1"),
    (column("id", [None] * 6), "the column id has no value in row 1"),
    (column("options", [["yes", "no"]] * 6), "the column options holds list<"),
    (column("input", [b"x"] * 6), "the column input holds binary, not text"),
    (column("id", [*range(6)]), "the column id holds int64, not text"),
    (column("labels", ["E"] * 6), "the column labels holds string, not lists of text"),
    (column("facts", [["a", None]] * 6), "the column facts has a list with a null in it"),
    (column("split", [None] * 4 + ["all", None]), "the split of row 5 is 'all', but the file holds "),
    (column("split", [1] * 6), "the column split holds int64, not text"),
    (column("output", ["yes", "Yes", " no", "NO", "No.", "?"]), "row 5: the output 'No.' is no possible answer"),
    (lambda table: stars(table, ["A", "B", "G", "C", "A", "A"]), "row 3: the output 'G' is no possible answer of SA"),
    (
        lambda table: stars(table, ["A"] * 6, [*[STARS] * 5, STARS[:-1]]),
        'row 6: Options are not a list of texts: \'["A: very positive"',
    ),
    (lambda table: table.drop_columns(["options"]), "has no column options"),
    (lambda table: table.append_column("input", table["input"]), "has the column input more than once"),
    (lambda table: table.set_column(4, "input", pa.array([b"\xff"] * 6).view(pa.string())), "cannot be read (Column"),
]


@pytest.mark.parametrize(("edit", "said"), EDITS)
@pytest.mark.parametrize("split", ["train", "test"])
def test_an_edited_row_is_named_when_the_dataset_is_opened(edit: Edit, said: str, split: str, tmp_path: Path) -> None:
    file = written(tmp_path / "data") / f"{split}.parquet"
    pq.write_table(edit(pq.read_table(file)), file)
    with pytest.raises(DataError) as error:
        read_dataset(tmp_path / "data")
    assert str(error.value).startswith(str(file)) and said in str(error.value)


@pytest.mark.parametrize("verb", ["check", "export", "show", "card", "predict", "baseline", "evaluate"])
def test_every_command_refuses_it_alike(verb: str, tmp_path: Path, run: Run) -> None:
    data = written(tmp_path / "data")
    pq.write_table(column("domain", ["ind"] * 6)(pq.read_table(data / "test.parquet")), data / "test.parquet")
    (tmp_path / "p.jsonl").touch()
    out = tmp_path / "out"
    arguments: dict[str, tuple[object, ...]] = {
        "check": (data,),
        "export": (data, "--out", out),
        "show": (data, "--recipe", "xs"),
        "card": (data, "--out", out),
        "predict": (tmp_path, "--data", data, "--out", out),
        "baseline": ("tfidf", "--data", data, "--out", out),
        "evaluate": (tmp_path / "p.jsonl", "--data", data, "--out", out),
    }
    code, _, error = run(verb, *arguments[verb])
    assert (code, "the domain of row 1 is 'ind'" in error) == (1, True), error
    assert not out.exists()


def test_other_text_types_columns_and_empty_splits_are_fine(tmp_path: Path) -> None:
    data = written(tmp_path / "data")
    table = pq.read_table(data / "test.parquet")
    large = table.set_column(0, "id", table["id"].cast(pa.large_string())).append_column("more", pa.array([1] * 6))
    pq.write_table(large, data / "test.parquet")
    pq.write_table(table.slice(0, 0), data / "validation.parquet")
    dataset = read_dataset(data)
    assert len(dataset.examples("test")) == 6 and dataset.examples("validation") == []


def test_answers_in_other_spellings_and_rows_without_a_split_are_fine(tmp_path: Path) -> None:
    file = written(tmp_path / "data") / "test.parquet"
    table = stars(pq.read_table(file), ["A", "B: positive", " C", "D.", "E", "E: very negative"])
    pq.write_table(column("split", [None] * 6)(table), file)
    assert len(read_dataset(tmp_path / "data").examples("test")) == 6


def test_an_imported_answer_is_the_published_files_own_and_check_finds_it(tmp_path: Path, run: Run) -> None:
    rows = [{"task": "PM", "input": str(number), "output": "perhaps"} for number in range(2)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    import_published(tmp_path / "rows.json", tmp_path / "data")
    assert [example.output for example in read_dataset(tmp_path / "data").examples("test")] == ["perhaps"] * 2
    code, _, error = run("check", tmp_path / "data")
    assert code == 1 and f"PM: {WRONG} (2)" in error


def test_a_damaged_page_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path / "data", rows=300) / "validation.parquet"
    data = bytearray(file.read_bytes())
    data[30:90] = bytes(byte ^ 0x5A for byte in data[30:90])
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"validation\.parquet cannot be read \(.*\): build the dataset again"):
        read_dataset(tmp_path / "data")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"seed": "seven"}, "the seed 'seven' is no whole number"),
        ({"counts": []}, "'counts' is no object of objects"),
        ({"dropped": {"PM": 3}}, "'dropped' is no object of objects"),
    ],
)
def test_an_edited_manifest_is_named(manifest: dict[str, object], said: str, tmp_path: Path) -> None:
    file = written(tmp_path / "data") / "manifest.json"
    file.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=said):
        read_dataset(tmp_path / "data")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (column("id", ["PM-none", None]), "the column id has no value in row 2"),
        (column("id", ["PM-none", "PM-none"]), "names the example 'PM-none', which is not in the split test"),
        (column("setting", ["IND_Diverse_Instruction", "IND"]), "the setting of row 2 is 'IND'"),
        (column("split", ["test", "val"]), "the split of row 2 is 'val'"),
        (column("blank_options", ["no", "no"]), "the column blank_options holds string, not booleans"),
        (lambda table: table.drop_columns(["instruction"]), "has no column instruction"),
    ],
)
def test_edited_rows_beside_an_import_are_named(edit: Edit, said: str, tmp_path: Path) -> None:
    rows = [{"task": "PM", "input": str(number), "output": "yes"} for number in range(2)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    import_published(tmp_path / "rows.json", tmp_path / "data")
    file = tmp_path / "data" / PUBLISHED
    pq.write_table(edit(pq.read_table(file)), file)
    with pytest.raises(DataError) as error:
        read_dataset(tmp_path / "data")
    assert str(error.value).startswith(str(file)) and said in str(error.value)


def test_twenty_thousand_rows_open_in_well_under_a_second(tmp_path: Path) -> None:
    data = written(tmp_path / "data", rows=20_000)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        read_dataset(data)
        times.append(time.perf_counter() - start)
    assert min(times) < 1
