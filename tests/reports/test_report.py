"""The report: a page that stands alone, whose numbers are those of the scores, of any number of runs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup
from matplotlib.image import imread
from page_reader import Page

from ecellm.evaluation.evaluate import evaluate, write_scores
from ecellm.evaluation.published_scores import quoted_rows, study_rows
from ecellm.evaluation.runs import read_run, read_runs
from ecellm.reports.pages.charts import COLOURS
from ecellm.reports.report import read_report
from ecellm.reports.report_charts import MARKS
from ecellm.reports.report_markdown import report_markdown
from ecellm.reports.report_page import report_page
from ecellm.tasks import TASKS
from ecellm.types import Example
from published_rows import (
    IND,
    OOD,
    answers,
    dataset,
    lists,
    predictions,
    purchases,
    row,
    stars,
    triple,
    values,
    yes_no,
)
from repository import REPOSITORY
from show_in_browser import browser

Run = Callable[..., tuple[int, str, str]]
UNSEEN = "IND_Unseen_Instruction"

INSIDE = [
    *yes_no(["yes", "no"] * 20),
    *stars("ABCDE" * 6),
    *purchases("ABCD"),
    *lists(["ES", "IEC", "CSIE"]),
    *values([[triple("color", "red")], [triple("size", "None")]]),
    *answers(["It is safe.", "No."]),
    row("AP", 0, "yes", json.dumps({"question": "</pre><img src=x>?", "document": ["a // b"]})),
]
OUTSIDE = [
    Example(f"SA-OOD-{place}", "SA", "OOD", "test", "text", INSIDE[40].options, example.output)
    for place, example in enumerate(INSIDE[40:50])
]


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a run's folder, one's own."""
    return Path(shutil.copytree(made, tmp_path / "shop"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run's folder as `ecellm demo` leaves it."""
    run = tmp_path_factory.mktemp("runs") / "shop"
    data = dataset(run / "dataset", [*INSIDE, *OUTSIDE])
    manifest = {"seed": 7, "counts": {"PM": {"train IND": 2022, "test IND": 40}}, "inputs": [{}] * 3}
    manifest |= {"dropped": {"SA": {"too short": 1200}}, "rejected": {"x.csv": {"not UTF-8": 34}}}
    (run / "dataset" / "manifest.json").write_text(json.dumps(manifest))
    _answer(run / "predictions.jsonl", 3, probable=True)
    _answer(run / "tfidf.jsonl", 2)
    for answered, scores in (("predictions.jsonl", "scores.json"), ("tfidf.jsonl", "tfidf_scores.json")):
        write_scores(evaluate(run / answered, data, by=["label"]), run / scores)
    (run / "model").mkdir()
    log = [
        {"step": 1, "loss": 3.0, "tokens_per_second": 10},
        {"step": 2, "eval_loss": 1.5, "tokens_per_second": 4_321},
    ]
    (run / "model" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log))
    facts = {
        "recipe": {"name": "xs", "optimisation": {"seed": 42}},
        "dataset": "d" * 64,
        "versions": {"torch": "2.13"},
    }
    (run / "model" / "ecellm.json").write_text(json.dumps(facts))
    (run / "predictions.jsonl.meta.json").write_text(json.dumps({"model": "m" * 64, "dataset": "d" * 64}))
    took = [{"seconds": 20.0, "answered": 1_500}, {"seconds": 3.5, "answered": 60, "read": 9_000, "written": 70}]
    lines = [json.dumps(took[0]), json.dumps({**took[1], "cost": 0.25})]
    (run / "predictions.jsonl.took.jsonl").write_text("\n".join(lines) + "\n")
    known = {
        "title": "T",
        "model": "XS",
        "machine": "two cores",
        "commands": ["ecellm tune xs"],
        "seconds": {"tune": 1709},
    }
    (run / "run.json").write_text(json.dumps(known))
    return run


def _answer(file: Path, wrong_every: int, probable: bool = False) -> None:
    """Write answers: one in some wrong, one unreadable."""
    lines = []
    for setting, examples in ((IND, INSIDE), (UNSEEN, INSIDE), (OOD, OUTSIDE)):
        texts = [
            "<script>alert(1)</script>" if place == 5 else "no" if place % wrong_every == 0 else example.output
            for place, example in enumerate(examples)
        ]
        lines += predictions(file, examples, texts, setting).read_text().splitlines()
    rows = [{**json.loads(line), **({"probability": 0.75} if probable else {})} for line in lines]
    file.write_text("".join(json.dumps(line) + "\n" for line in rows))


def page_of(*runs: str | Path) -> str:
    return report_page(read_report(read_runs([str(run) for run in runs]), "Scores of a shop", 1))


def test_the_page_stands_alone_and_escapes_every_text(folder: Path) -> None:
    text = page_of(f"XS={folder}")
    page = Page(text)
    page.check_it_stands_alone()
    assert "prefers-color-scheme: dark" in text and "@media print" in text and 'name="viewport"' in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;/pre&gt;&lt;img src=x&gt;" in text
    assert page.elements.count("svg") >= 3 + 2 + 1  # settings, reliability, training
    assert page.elements.count("h1") == 1
    for fact in ("1,560 answers in 24 s, 2 runs", "9,000 read, 70 written", "0.2500 of some runs"):
        assert f"<dd>{fact}</dd>" in text


def test_its_numbers_are_those_of_the_scores(folder: Path) -> None:
    made = json.loads((folder / "scores.json").read_text())
    page = Page(page_of(f"XS={folder}"))
    (table,) = [table for table in page.tables if table[0][0] == "model" and table[1][0] == "XS"][:1]
    heads = [head[: len(head) - len(head.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))] for head in table[0][1:]]
    assert heads == [task for task in TASKS if any(row["task"] == task for row in made["scores"])]
    cells = dict(zip(heads, table[1][1:], strict=True))
    for row_ in made["scores"]:
        if row_["main"] and row_["scoring"] == "strict" and row_["setting"] == IND:
            assert cells[row_["task"]].startswith(f"{row_['value']:.3f}")
            assert f"[{row_['low']:.3f}, {row_['high']:.3f}]" in cells[row_["task"]]
            assert ("▽" in cells[row_["task"]]) == (row_["value"] <= row_["floor"])
    names = [line[0] for line in table]
    assert names[:4] == ["model", "XS", "XS: TF-IDF baseline", "best trivial baseline"]
    assert names[4:] == list(quoted_rows(IND))
    quoted = dict(zip(heads, table[names.index("eCeLLM-L")][1:], strict=True))
    assert quoted["PM"].startswith("0.995") and quoted["SR"].startswith("0.526")


def test_it_shows_what_the_folder_knows(folder: Path) -> None:
    text = page_of(f"XS={folder}")
    for part in (
        "not computed here",
        "Tested answer by answer",
        "expected calibration error".capitalize(),
        "label by answer",
        "most common answers that could not be parsed",
        "of the worst errors",
        "4,321 tokens per second",
        "Seed 7; 3 input files; 1,200 rows were filtered, 34 lines",
        "2,022",
        "ecellm tune xs",
        "1,709",
        "two cores",
        "&#34;name&#34;: &#34;xs&#34;",
        "version of torch",
        "m" * 64,
        "The paper's tables give no figures for this setting.",
        "triples that say",
        "Parts of the rows",
    ):
        assert part in text, part
    assert text == page_of(f"XS={folder}")


def test_scores_alone_make_a_page_too(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "scores.json", tmp_path / "alone.json")
    text = page_of(tmp_path / "alone.json", f"XS={folder}")
    Page(text).check_it_stands_alone()
    assert "alone against XS" in text and "compared as if of different rows" in text
    old = json.loads((folder / "scores.json").read_text())
    for name in ("details", "slices", "not_scored", "bootstrap", "version"):
        del old[name]
    old["scores"] = [{k: v for k, v in row.items() if k != "floor_name"} for row in old["scores"]]
    (tmp_path / "old.json").write_text(json.dumps(old))
    Page(page_of(tmp_path / "old.json")).check_it_stands_alone()


def test_runs_on_other_rows_are_shown_but_not_ranked(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    data = dataset(other / "dataset", INSIDE[:40])
    file = predictions(other / "predictions.jsonl", INSIDE[:40], [example.output for example in INSIDE[:40]])
    assert data.settings() and file.is_file()
    page = Page(page_of(f"XS={folder}", other))  # without scores: it is scored
    names = [line[0] for line in page.tables[0]]
    assert {"best trivial baseline, rows of XS", "best trivial baseline, rows of other"} <= set(names)
    pm = page.tables[0][names.index("other")][page.tables[0][0].index("PMf1")]
    assert pm.startswith("1.000") and "★" not in pm
    assert "of different datasets" in page_of(f"XS={folder}", other)


def scored_alone(folder: Path, file: Path, keep: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Path:
    """Write the folder's scores again, each row as `keep` has it (None: without it)."""
    scores = json.loads((folder / "scores.json").read_text())
    scores["scores"] = [kept for row in scores["scores"] if (kept := keep(row)) is not None]
    file.write_text(json.dumps(scores))
    return file


def test_what_a_run_did_not_answer_is_a_dash(folder: Path, tmp_path: Path) -> None:
    part = scored_alone(folder, tmp_path / "part.json", lambda row: None if row["task"] == "PM" else row)
    for runs in ((f"XS={folder}", part), (part, f"XS={folder}")):
        table = Page(page_of(*runs)).tables[0]
        line = next(line for line in table if line[0] == "part")
        assert line[table[0].index("PMf1")].strip() == "–"  # noqa: RUF001
        assert not any(cell.strip() == "None" for line in table for cell in line)


def test_secondary_figures_stand_by_both_rules(folder: Path) -> None:
    known = {
        row["scoring"]: f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
        for row in json.loads((folder / "scores.json").read_text())["scores"]
        if (row["task"], row["setting"], row["metric"]) == ("SA", IND, "macro_recall")
    }
    lines = [line for table in Page(page_of(f"XS={folder}")).tables for line in table]
    assert ["XS", IND, "macro_recall", known["strict"], known["published"]] in lines


def test_figures_of_fewer_rows_are_not_ranked(folder: Path, tmp_path: Path) -> None:
    """Half of the questions may be the easier half."""
    part = scored_alone(
        folder, tmp_path / "part.json", lambda row: {**row, "n": 2, "value": 1.0} if row["task"] == "PM" else row
    )
    (folder / "tfidf_scores.json").unlink()
    table = Page(page_of(f"XS={folder}", part)).tables[0]
    columns = {name: table[0].index(name) for name in ("PMf1", "SRhr@1")}
    lines = [line for line in table if line[0] in ("XS", "part")]
    assert not any("★" in line[columns["PMf1"]] for line in lines)
    assert all("★" in line[columns["SRhr@1"]] for line in lines)


def test_quoted_figures_of_another_scoring_model_name_it(folder: Path) -> None:
    table = Page(page_of(f"XS={folder}")).tables[0]
    (column,) = [place for place, name in enumerate(table[0]) if name.startswith("AG")]
    cells = {line[0]: line[column] for line in table[1:]}
    assert "all-MiniLM-L6-v2" in table[0][column]
    assert all("by roberta-large" in cells[name] for name in quoted_rows(IND) if "AG" in quoted_rows(IND)[name])
    assert "roberta" not in cells["XS"]
    assert "0.841 (by roberta-large)" in report_markdown(read_report([read_run(f"XS={folder}")], "T", 1))


def test_the_data_card_says_what_was_left_out_and_how_it_was_built(folder: Path) -> None:
    manifest = json.loads((folder / "dataset" / "manifest.json").read_text())
    manifest["config"] = {"seed": 7, "tasks": {"PM": {"negatives": "near"}}}
    (folder / "dataset" / "manifest.json").write_text(json.dumps(manifest))
    text = page_of(f"XS={folder}")
    lines = [line for table in Page(text).tables for line in table]
    assert ["SA", "too short", "1,200"] in lines and ["x.csv", "not UTF-8", "34"] in lines
    assert "&#34;negatives&#34;: &#34;near&#34;" in text


@pytest.mark.parametrize("count", [1, 3, 8])
def test_any_number_of_runs_are_told_apart(folder: Path, tmp_path: Path, count: int) -> None:
    (folder / "tfidf_scores.json").unlink()
    names = [f"run {number} " + "with a long name " * (number % 3) for number in range(count)]
    text = page_of(*[f"{name}={folder / 'scores.json'}" for name in names])
    page = Page(text)
    page.check_it_stands_alone()
    assert [line[0] for line in page.tables[0]][1 : count + 1] == names
    assert text.count(" against run") == count - 1
    marks = {(MARKS[number % len(MARKS)], COLOURS[number % len(COLOURS)]) for number in range(count)}
    assert len(marks) == count


def test_the_tables_are_markdown_too(folder: Path) -> None:
    text = report_markdown(read_report([read_run(f"XS={folder}")], "T", 1))
    lines = text.splitlines()
    assert lines[0] == "# T" and "## In domain" in lines and "## XS against XS: TF-IDF baseline" in lines
    (line,) = [line for line in lines if line.startswith("| *eCeLLM-M* (quoted)")][:1]
    assert "| **0.995** |" in line
    tables = [line for line in lines if line.startswith("|")]
    assert all(line.count(" | ") == tables[0].count(" | ") for line in tables[:15])


def test_the_quoted_figures_are_the_papers() -> None:
    rows = quoted_rows(IND)
    assert [round(rows["eCeLLM-L"][task].value, 3) for task in TASKS] == [
        {"AVE": 0.582, "PRP": 0.611, "PM": 0.995, "SA": 0.648, "SR": 0.526, "MPC": 0.684, "PSI": 0.501, "QPR": 0.870,
         "AP": 0.851, "AG": 0.841}[task] for task in TASKS
    ]  # fmt: skip
    assert rows["best task-specific model"]["SR"].model == "Recformer" and rows["GPT-4 Turbo"]["AVE"].failed == 6
    assert {task for cells in quoted_rows(OOD).values() for task in cells} == {"AVE", "PRP", "SA", "SR", "AP", "AG"}
    assert len(rows) == 10 and len(study_rows(IND)) == 12
    assert not quoted_rows(UNSEEN) and not study_rows(UNSEEN)


def test_the_verb_writes_and_replaces_only_when_told(folder: Path, tmp_path: Path, run: Run) -> None:
    out, tables = tmp_path / "report.html", tmp_path / "report.md"
    line = ["report", folder, "--out", out, "--markdown", tables, "--title", "Mine"]
    code, output, _ = run(*line)
    assert code == 0 and f"Report written to {out}." in output and f"Tables written to {tables}." in output
    assert "<title>Mine</title>" in out.read_text() and tables.read_text().startswith("# Mine")
    before = out.read_bytes()
    code, _, err = run(*line)
    assert code == 1 and "exists already" in err
    assert run(*line, "--overwrite")[0] == 0 and out.read_bytes() == before
    (folder / "model" / "log.jsonl").write_text('{"eval_loss": "low"}\n')
    code, _, err = run(*line, "--overwrite")
    assert code == 1 and "no tuning log" in err and out.read_bytes() == before
    code, _, err = run("report", tmp_path / "nothing", "--out", tmp_path / "x.html")
    assert code == 1 and "There is no run" in err


def test_scores_by_another_model_are_not_drawn_on_the_papers_scale(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[set[str]] = []
    monkeypatch.setattr(
        "ecellm.reports.report_page.overview_picture", lambda *given: drawn.append(set(given[4])) or Markup()
    )
    page_of(f"XS={folder}")
    assert "PM" in drawn[0] and "AG" not in drawn[0]
    scores = folder / "scores.json"
    scores.write_text(
        scores.read_text().replace("sentence-transformers/all-MiniLM-L6-v2", "FacebookAI/roberta-large")
    )
    (folder / "tfidf_scores.json").unlink()
    (folder / "tfidf.jsonl").unlink()
    drawn.clear()
    page_of(f"XS={folder}")
    assert "AG" in drawn[0]


def shown(page: str, folder: Path, width: int, scheme: str) -> tuple[dict[str, Any], Path]:
    """What Chromium says of a page, and its picture."""
    if browser() is None and "CI" not in os.environ:
        pytest.skip("Chromium is not here: .ci/run installs it")
    (folder / "page.html").write_text(page)
    script = REPOSITORY / "tests" / "show_in_browser.py"
    picture = folder / "shot.png"
    line = [sys.executable, str(script), str(folder / "page.html"), str(picture), str(width), scheme]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, env={**os.environ})
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1]), picture


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_browser_shows_it(folder: Path, tmp_path: Path, width: int, scheme: str) -> None:
    seen, picture = shown(page_of(f"XS={folder}"), tmp_path, width, scheme)
    assert seen["messages"] == [] and seen["requests"] == []
    assert seen["tables"] >= 10 and seen["pictures"] >= 6
    assert seen["overflow"] <= 0, "the page itself scrolls sideways"
    assert seen["letters"] >= 9, "words in pictures are too small to read"
    levels = imread(picture)[..., :3]
    assert len(np.unique((levels[::3, ::3] * 255).reshape(-1, 3), axis=0)) > 50, "the picture is blank"
    assert (levels[2, 2].mean() < 0.25) == (scheme == "dark")


@pytest.mark.slow
def test_a_browser_tells_of_a_page_s_errors(tmp_path: Path) -> None:
    page = "<script>nothing.there</script><img src='http://127.0.0.1:9/x.png'>"
    seen, _ = shown(page, tmp_path, 400, "light")
    assert any("nothing is not defined" in message for message in seen["messages"])
    assert seen["requests"] == ["http://127.0.0.1:9/x.png"]
