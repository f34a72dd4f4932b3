"""`ecellm link` and `ecellm dedupe`, as a user calls them, with a TF-IDF baseline."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catalogues import LEFT, RIGHT, TRUE, read_csv, write_csv
from ecellm.data.dataset import Dataset
from ecellm.models.baselines.fit import fit_baseline

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def model(tiny_data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tfidf"
    fit_baseline("tfidf", tiny_data, folder, ["PM"])
    return folder


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    return [
        write_csv(tmp_path / "left.csv", ("id", "title"), LEFT),
        write_csv(tmp_path / "right.csv", ("sku", "name"), RIGHT),
        write_csv(tmp_path / "truth.csv", ("left_id", "right_id"), TRUE),
    ]


def test_two_tables_are_linked_and_scored(model: Path, tables: list[Path], tmp_path: Path, run: Run) -> None:
    left, right, truth = tables
    out = tmp_path / "pairs.csv"
    line = ["link", left, right, "--model", model, "--right-columns", "id=sku,title=name", "--search", "lexical"]
    code, output, error = run(*line, "--truth", truth, "--threshold", "0", "--out", out)
    assert code == 0, error
    assert f"{left}: 5 records (title) of 5 rows." in output and f"{right}: 6 records (title) of 6 rows." in output
    assert "Candidates: recall 1.000 at 1" in output and "F1 " in output and f"Written to {out}." in output
    pairs = read_csv(out)
    assert (tmp_path / "pairs.csv.curve.png").read_bytes().startswith(b"\x89PNG")
    assert len({row["left_id"] for row in pairs}) == len({row["right_id"] for row in pairs}) == len(pairs) == 4
    code, _, error = run(*line, "--out", out)
    assert code == 1 and "exists already" in error


def test_one_table_is_deduplicated(model: Path, tmp_path: Path, run: Run) -> None:
    table = write_csv(tmp_path / "all.csv", ("id", "title"), [*LEFT, *RIGHT])
    code, output, error = run("dedupe", table, "--model", model, "--threshold", "0", "--out", tmp_path / "pairs.csv")
    assert code == 0, error
    pairs = read_csv(tmp_path / "pairs.csv")
    assert pairs and all(row["left_id"] < row["right_id"] and row["cluster"] for row in pairs)
    assert f"{len(pairs):,} pairs of " in output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target-precision", ".9"], "--target-precision needs --truth"),
        (["--truth", "truth.csv", "--target-precision", ".9", "--threshold", ".5"], "leave --threshold out"),
        (["--out", "pairs.txt"], "is of no known kind"),
        (["--out", "left.csv", "--overwrite"], "is read too, or named twice"),
        (["--columns", "sku"], "--columns takes name=column pairs"),
        (["--fields", "title,brand,brand"], "name manufacturer twice"),
        (["--fields", "id,title"], "leave it out of --fields"),
        (["--fields", "title,modelno"], "No table has a column modelno, which --fields names"),
        (["--model", "openai:x"], "is behind a server, which link does not use"),
        (["--model", "nothing"], "There is no model 'nothing'"),
    ],
)
def test_a_mistake_ends_in_one_sentence(
    options: list[str], message: str, model: Path, tables: list[Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tables[0].parent)
    line = ["link", "left.csv", "right.csv", "--model", model, "--right-columns", "id=sku,title=name"]
    line += [] if "--out" in options else ["--out", "pairs.csv"]
    code, _, error = run(*line, *options)
    assert code == 1 and message in error and "Traceback" not in error
