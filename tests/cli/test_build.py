"""`ecellm build` on the command line, on product matching's three Latin-1 CSV files made here."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from ecellm.cli.build import build
from ecellm.data.dataset import read_dataset
from ecellm.errors import EcellmError
from ecellm.types import SPLITS

app = typer.Typer()
app.command()(build)

PAIRS = 60
CONFIG = """
seed = 7
[sources]
amazon_google = "shops"
[tasks.PM]
train = 60
validation = 8
test = 8
"""


def write_csv(path: Path, header: str, rows: list[str], shuffled: int | None = None) -> None:
    if shuffled is not None:
        rows = rows.copy()
        random.Random(shuffled).shuffle(rows)
    path.write_bytes("\n".join([header, *rows, ""]).encode("latin-1"))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw(tmp_path / "raw")


def write_raw(root: Path, shuffled: int | None = None) -> Path:
    """Two catalogues of 60 records each, the k-th of one matching the k-th of the other."""
    folder = root / "shops"
    folder.mkdir(parents=True)
    names = [
        f'"a{at}","caf\xe9 planner {at}","plans, and ""more""","b\xfcro {at % 7}","{at}.99"' for at in range(PAIRS)
    ]
    others = [f'"g{at}","caf\xe9 planner no {at}","","","{at} gbp"' for at in range(PAIRS)]
    matches = [f'"a{at}","g{at}"' for at in range(PAIRS)]
    write_csv(folder / "Amazon.csv", '"id","title","description","manufacturer","price"', names, shuffled)
    write_csv(folder / "GoogleProducts.csv", '"id","name","description","manufacturer","price"', others, shuffled)
    write_csv(folder / "Amzon_GoogleProducts_perfectMapping.csv", '"idAmazon","idGoogleBase"', matches, shuffled)
    (root / "config.toml").write_text(CONFIG)
    return root


def run(raw: Path, out: Path, *more: Any) -> Result:
    arguments = ["--sources", raw, "--config", raw / "config.toml", "--out", out, *more]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_dataset_is_built_and_its_counts_are_said(raw: Path, tmp_path: Path) -> None:
    result = run(raw, tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert f"Dataset written to {tmp_path / 'data'}." in result.stdout
    assert "PM" in result.stderr and "60 (60)" in result.stderr
    dataset = read_dataset(tmp_path / "data")
    rows = [row for split in SPLITS for row in dataset.examples(split)]
    assert len(dataset.examples("train")) == 60 and {row.task for row in rows} == {"PM"}
    assert {row.output for row in rows} == {"yes", "no"}
    left = json.loads(rows[0].input)["product 1"]
    assert left["title"].startswith("caf\xe9 planner") and left["description"] == 'plans, and "more"'
    assert len({row.input for row in rows}) == len(rows) == len({row.id for row in rows})


def test_the_manifest_names_every_input_and_nothing_of_the_machine(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "data")
    text = (tmp_path / "data" / "manifest.json").read_text()
    manifest = json.loads(text)
    assert str(tmp_path) not in text
    sizes = {f"shops/{path.name}": path.stat().st_size for path in (raw / "shops").iterdir()}
    assert {file["path"]: file["bytes"] for file in manifest["inputs"]} == sizes
    assert all(len(file["sha256"]) == 64 for file in manifest["inputs"])


def test_the_same_command_gives_the_same_bytes_and_another_seed_gives_others(raw: Path, tmp_path: Path) -> None:
    for name, more in (("one", ()), ("two", ()), ("three", ("--seed", 8)), ("four", ("--seed", 7))):
        assert run(raw, tmp_path / name, *more).exit_code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(tmp_path / "four")
    assert contents(tmp_path / "one")["train.parquet"] != contents(tmp_path / "three")["train.parquet"]


def test_the_order_of_the_raw_rows_does_not_matter(raw: Path, tmp_path: Path) -> None:
    run(raw, tmp_path / "one")
    run(write_raw(tmp_path / "shuffled", shuffled=3), tmp_path / "two")
    for split in SPLITS:
        name = f"{split}.parquet"
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_task_may_be_named_that_the_config_does_not_plan(raw: Path, tmp_path: Path) -> None:
    (raw / "config.toml").write_text('[sources]\namazon_google = "shops"\n')
    assert "names nothing to build" in str(run(raw, tmp_path / "data").exception)
    assert run(raw, tmp_path / "data", "--tasks", "pm").exit_code == 0
    assert read_dataset(tmp_path / "data").manifest["quotas"]["PM"]["train IND"] == 10_000


def test_one_folder_for_the_dataset_and_for_what_was_left_out_is_refused(raw: Path, tmp_path: Path) -> None:
    result = run(raw, tmp_path / "data", "--dropped-dir", str(tmp_path / "data"))
    assert "--out and --dropped-dir both name" in str(result.exception)
    assert not (tmp_path / "data").exists()


def test_a_quota_that_gets_no_rows_at_all_is_warned_of(raw: Path, tmp_path: Path) -> None:
    matches = raw / "shops" / "Amzon_GoogleProducts_perfectMapping.csv"
    matches.write_text("\n".join(matches.read_text().splitlines()[:2]) + "\n")
    result = run(raw, tmp_path / "data")
    assert result.exit_code == 0, result.output
    counts = read_dataset(tmp_path / "data").manifest["counts"]["PM"]
    empty = [part for part, count in counts.items() if count == 0]
    assert empty, "one match and one other pair cannot fill three splits"
    assert f"Warning: PM has no rows in {', '.join(empty)}." in result.stderr


def spoil(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def apply(raw: Path) -> None:
        path = raw / name
        path.write_text(change(path.read_text("latin-1")), "latin-1")

    return apply


@pytest.mark.parametrize(
    ("spoiled", "more", "message"),
    [
        (None, ("--engine", "pandas"), "Unknown engine 'pandas': choose duckdb or spark."),
        (None, ("--tasks", "PM,SX"), "SX"),
        (None, ("--tasks", "MPC"), "Task MPC needs the source esci"),
        (spoil("config.toml", lambda text: text.replace("train", "trian")), (), "unknown key 'tasks.PM.trian'"),
        (spoil("config.toml", lambda text: text.replace('"shops"', '"stores"')), (), "There is no folder"),
        (spoil("shops/Amazon.csv", lambda text: text.replace("title", "name")), (), "Amazon.csv begins with"),
        (lambda raw: (raw / "shops" / "GoogleProducts.csv").unlink(), (), "GoogleProducts.csv"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    raw: Path, tmp_path: Path, spoiled: Callable[[Path], None] | None, more: tuple[str, ...], message: str
) -> None:
    if spoiled is not None:
        spoiled(raw)
    result = run(raw, tmp_path / "data", *more)
    assert isinstance(result.exception, EcellmError) and message in str(result.exception)
    assert "\n" not in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_broken_row_is_rejected_and_counted(raw: Path, tmp_path: Path) -> None:
    with (raw / "shops" / "Amazon.csv").open("a") as file:
        file.write('"a99","one column too few","","maker"\n')
    result = run(raw, tmp_path / "data")
    assert result.exit_code == 0, result.output
    [row] = [json.loads(line) for line in (tmp_path / "data" / "rejects.jsonl").read_text().splitlines()]
    assert row["file"] == "shops/Amazon.csv" and "a99" in row["excerpt"]
    assert read_dataset(tmp_path / "data").manifest["rejected"] == {"shops/Amazon.csv": {row["reason"]: 1}}
    assert "Rejected: 1 lines." in result.stderr and "rejects.jsonl has the lines" in result.stderr
    assert row["reason"] not in result.stderr
    result = run(raw, tmp_path / "again", "--verbose")
    assert f"Rejected from shops/Amazon.csv: {row['reason']}: 1." in result.stderr
