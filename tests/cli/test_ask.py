"""`ecellm ask` on the command line: a table, one question, and how it refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecellm
from model_folders import describe
from scored import ScoredGenerator

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder whose generator is scored without a model."""
    folder = tmp_path / "model"
    folder.mkdir()
    describe(folder, {"recipe": {"family": "causal"}})
    monkeypatch.setattr("ecellm.models.load.load_generator", lambda *given, **more: ScoredGenerator())
    return folder


def test_a_table_is_asked_and_the_counts_are_said(run: Run, model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "reviews.csv", tmp_path / "out.csv"
    source.write_text('id,text\n1,good\n2,\n3,"bad, really"\n')
    code, output, _ = run("ask", "sa", model, "--input", source, "--out", out, "--abstain", "0.5")
    assert code == 0
    assert "2 of 3 rows answered (0 before this run)" in output and "abstained" in output
    assert "1 rows rejected" in output and "text is empty" in output
    assert out.read_text().splitlines()[0] == "id,text,answer,probability"
    code, _, error = run("ask", "sa", model, "--input", source, "--out", out)
    assert code == 1 and "exists already" in error


def test_one_question_is_answered_with_its_probability(run: Run, model: Path) -> None:
    expected: Any = ecellm.load_model(model).rank("mug", ["Lamp", "Mug"])
    code, output, _ = run("ask", "QPR", model, "--set", "query=mug", "--set", "titles=Lamp", "--set", "titles=Mug")
    assert code == 0
    assert output.splitlines()[0] == f'["{expected.answer[0]}", "{expected.answer[1]}"]'
    assert output.splitlines()[1] == f"probability {expected.probability:.3f}"
    code, output, _ = run("ask", "SA", model, "--set", "text=it is = fine", "--abstain", "1")
    assert code == 0 and output.startswith("abstained; the likeliest answer is ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("PM",), "Give --input and --out for a table, or --set for one question; PM takes title_1"),
        (("PM,SA", "--set", "text=a"), "Name one task"),
        (("XYZ", "--set", "text=a"), "Unknown task"),
        (("SA", "--set", "words=a"), "--set takes name=value with a name of text, not 'words=a'"),
        (("SA", "--set", "text=a", "--set", "text=b"), "--set gives text twice"),
        (("PM", "--set", "title_1=mug"), "title_2 is empty"),
        (("SA", "--set", "text=a", "--input", "x.csv"), "--input is for a table, and --set for one"),
        (("SA", "--set", "text=a", "--prefix", "sa_"), "--prefix is for a table, and --set for one question"),
        (("SA", "--set", "text=a", "--scores"), "--scores is for a table, and --set for one question"),
        (("SA", "--set", "text=a", "--text"), "--text is for a table, and --set for one question"),
        (("SA", "--set", "text=a", "--skip-failed"), "--skip-failed is for a table, and --set for one question"),
        (("SA", "--set", "text=a", "--overwrite"), "--overwrite is for a table, and --set for one question"),
        (("AG", "--set", "question=a", "--set", "snippets=b", "--abstain", "0.5"), "leave --abstain out"),
    ],
)
def test_a_mistake_is_one_sentence(run: Run, model: Path, arguments: tuple[str, ...], message: str) -> None:
    task, *options = arguments
    code, _, error = run("ask", task, model, *options)
    assert code == 1 and message in error and error.count("\n") == 1


def test_a_table_of_which_no_row_is_answered_is_a_failure(run: Run, model: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "reviews.csv", tmp_path / "out.csv"
    source.write_text('id,text\n1,\n2," "\n')
    code, output, error = run("ask", "SA", model, "--input", source, "--out", out)
    assert code == 1 and output == "" and not out.exists()
    assert error.splitlines()[-1] == (
        f"ecellm: error: None of the 2 rows was answered, so {out} was not written; {out}.rejected.jsonl lists them "
        "with the reasons (2: text is empty)."
    )


def test_a_folder_that_is_no_model_is_refused(run: Run, tmp_path: Path) -> None:
    code, _, error = run("ask", "SA", tmp_path, "--set", "text=a")
    assert code == 1 and "not a finished model" in error


def test_importing_the_package_loads_no_library_of_models() -> None:
    import subprocess
    import sys

    code = "import sys, ecellm; print([name for name in ('torch', 'transformers', 'pyarrow') if name in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
