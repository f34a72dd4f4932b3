"""The page of results is what the command makes of the stored scores, and nothing else."""

import json
from pathlib import Path

import pytest

from ecellm.errors import EcellmError
from ecellm.evaluation.compare import Difference, write_differences
from ecellm.evaluation.evaluate import evaluate, write_scores
from ecellm.reports.results_page import results_page, write_results_page
from published_rows import dataset, predictions, yes_no

DOCS = Path(__file__).parents[2] / "docs"
PM = yes_no(["yes", "no", "no", "no"])
FACTS = {
    "title": "A small shop",
    "model": "XS",
    "machine": "two cores",
    "commands": ["ecellm build", "ecellm tune"],
    "seconds": {"build": 3.2, "tune": 1800.0},
    "facts": {"peak memory": "2.1 GB"},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = dataset(tmp_path / "data", PM)
    run = tmp_path / "results" / "1-shop"
    run.mkdir(parents=True)
    first = predictions(tmp_path / "p.jsonl", PM, ["yes", "no", "no", "yes"]).read_text()
    unseen = predictions(tmp_path / "p.jsonl", PM, ["no"] * 4, "IND_Unseen_Instruction").read_text()
    (tmp_path / "p.jsonl").write_text(first + unseen)
    write_scores(evaluate(tmp_path / "p.jsonl", data), run / "scores.json")
    tfidf = evaluate(predictions(tmp_path / "p.jsonl", PM, ["yes", "yes", "perhaps", "no"]), data)
    write_scores(tfidf, run / "tfidf.json")
    (run / "run.json").write_text(json.dumps(FACTS))
    (run / "manifest.json").write_text(json.dumps({"counts": {"PM": {"train IND": 2022, "test IND": 4}}}))
    (run / "text.md").write_text("It shows little.\n")
    (tmp_path / "results" / "introduction.md").write_text("# Results\n")
    return tmp_path / "results"


def test_a_line_has_model_the_baselines_and_unseen(folder: Path) -> None:
    page = results_page(folder)
    lines = page.splitlines()
    assert lines[0] == "# Results" and page.rstrip().endswith("It shows little.")
    assert "## A small shop" in lines and "- Times: build 3 s, tune 1,800 s." in lines
    assert "    ecellm tune" in lines and "- Peak memory: 2.1 GB." in lines
    assert "| PM | 2,022 | 0 | 4 | 0 |" in lines
    (line,) = [line for line in lines if line.startswith("| PM | f1")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[2].startswith("0.667 [") and cells[3].startswith("0.667 [")
    assert cells[4] == "0.400 (always yes)"
    assert cells[5].startswith("0.000 [") and cells[6:] == ["0.667", "4", "0", "0"]
    assert "| PM | 0.995 | 0.995 | 0.995 | 0.991 |" in lines  # the paper's
    assert "Out of domain" not in page


def test_learning_curves_are_shown_where_they_were_taken(folder: Path) -> None:
    assert "By training rows" not in results_page(folder) and "Validation loss" not in results_page(folder)
    run = folder / "1-shop"
    checks = [{"step": 9, "loss": 2.0}, {"epoch": 0.5, "eval_loss": 1.25, "eval_loss_PM": 0.5}]
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in checks))
    (run / "rows").mkdir()
    (run / "rows" / "500.json").write_text((run / "tfidf.json").read_text())
    page = results_page(folder)
    assert "| 0.50 | 1.250 | 0.500 |" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| PM | 0.667 [")]
    assert line.count("0.667 [") == 2 and "| task | 500 rows | all rows |" in page
    (run / "log.jsonl").write_text('{"eval_loss": "low"}\n')
    with pytest.raises(EcellmError, match="no tuning log"):
        results_page(folder)


def test_other_seeds_stand_beside_ours_with_their_mean(folder: Path) -> None:
    run = folder / "1-shop"
    assert "By seed" not in results_page(folder)
    (run / "seeds").mkdir()
    text = (run / "tfidf.json").read_text()
    (run / "seeds" / "43.json").write_text(text)
    scores = json.loads(text)
    for row in scores["scores"]:
        row["value"] = 0.367
    (run / "seeds" / "44.json").write_text(json.dumps(scores))
    page = results_page(folder)
    assert "| task | rows | XS | seed 43 | seed 44 | mean | apart at most | best trivial baseline |" in page
    assert "| PM | in domain | 0.667 | 0.667 | 0.367 | 0.567 | 0.300 | 0.400 |" in page


def test_models_made_for_one_task_stand_beside_ours(folder: Path) -> None:
    run = folder / "1-shop"
    assert "made for one task" not in results_page(folder)
    (run / "models").mkdir()
    (run / "models" / "encoder.json").write_text((run / "tfidf.json").read_text())
    with pytest.raises(EcellmError, match=r"models\.md"):
        results_page(folder)
    (run / "models.md").write_text("The encoder is no better.\n")
    page = results_page(folder)
    (line,) = [line for line in page.splitlines() if "| encoder |" in line]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:2] == ["PM", "in domain"] and all(cells[place].startswith("0.667 [") for place in (3, 5, 6))
    assert cells[4] == "–" and cells[7:] == ["0.400", "0.995 (BERT)", "–"]  # noqa: RUF001
    assert page.index("made for the task") < page.index("The encoder is no better.")
    (run / "run.json").write_text(json.dumps({**FACTS, "fitted": {"encoder": {"PM": 61.7}}}))
    assert "| 62 |" in results_page(folder)


def test_their_tests_against_ours_are_corrected_over_all_of_them(folder: Path) -> None:
    run = folder / "1-shop"
    setting = "IND_Diverse_Instruction"
    (run / "models.md").write_text("Beyond noise, or not.\n")
    for name in ("models", "compared"):
        (run / name).mkdir()
    for name, p in (("encoder", 0.02), ("other", 0.03)):
        (run / "models" / f"{name}.json").write_text((run / "tfidf.json").read_text())
        found = Difference("PM", setting, "f1", 0.5, 0.6, 0.01, 0.2, 4, 0, 0.1, p, adjusted=p)
        write_differences([found], True, run / "compared" / f"{name}.json")

    def verdicts() -> list[str]:
        lines = [line for line in results_page(folder).splitlines() if line.startswith("| PM | in domain |")]
        return [line.strip("|").split("|")[4].strip() for line in lines]

    assert verdicts() == ["better", "better"]
    (run / "models" / "third.json").write_text((run / "tfidf.json").read_text())
    write_differences(
        [Difference("PM", setting, "f1", 0.5, 0.5, -0.1, 0.1, 4, 0, 0.1, 0.9)], False, run / "compared" / "third.json"
    )
    assert verdicts() == ["within noise", "within noise", "within noise, by intervals"]
    (run / "compared" / "third.json").write_text("{}")
    with pytest.raises(EcellmError, match="has no differences"):
        results_page(folder)


def test_a_study_stands_among_the_runs_as_it_was_written(folder: Path) -> None:
    study = folder / "2-scale"
    study.mkdir()
    (study / "study.md").write_text("# More and fewer rows\n\n| task |\n| --- |\n")
    with pytest.raises(EcellmError, match=r"text\.md"):
        results_page(folder)
    (study / "text.md").write_text("More is better.\n")
    page = results_page(folder)
    assert page.endswith("It shows little.\n\n## More and fewer rows\n\n| task |\n| --- |\n\nMore is better.\n")


def test_runs_stand_in_the_order_of_their_folders(folder: Path) -> None:
    second = folder / "0-earlier"
    second.mkdir()
    for file in (folder / "1-shop").iterdir():
        (second / file.name).write_text(file.read_text().replace("A small shop", "Another shop"))
    page = results_page(folder)
    assert 0 < page.index("## Another shop") < page.index("## A small shop")
    # The paper's figures are the same for all, and stand with the first.
    assert page.count("Quoted from") == 1 and page.index("Quoted from") < page.index("## A small shop")


def test_without_a_run_the_page_is_the_introduction(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match=r"has no results: put introduction\.md there"):
        results_page(tmp_path)
    with pytest.raises(EcellmError, match="has no results"):
        results_page(tmp_path / "nothing")
    (tmp_path / "introduction.md").write_text("# Results\n\nNone are stored.\n\n")
    assert results_page(tmp_path) == "# Results\n\nNone are stored.\n"


def test_runs_without_an_introduction_are_refused(folder: Path) -> None:
    (folder / "introduction.md").unlink()
    with pytest.raises(EcellmError, match=r"no file .*introduction\.md"):
        results_page(folder)


def test_a_study_needs_no_run_beside_it(tmp_path: Path) -> None:
    (tmp_path / "introduction.md").write_text("# Results\n")
    (tmp_path / "scale").mkdir()
    (tmp_path / "scale" / "study.md").write_text("# More and fewer rows\n")
    (tmp_path / "scale" / "text.md").write_text("More is better.\n")
    assert results_page(tmp_path) == "# Results\n\n## More and fewer rows\n\nMore is better.\n"


@pytest.mark.parametrize("name", ["run.json", "scores.json", "tfidf.json", "manifest.json", "text.md"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / "1-shop" / name).unlink()
    with pytest.raises(EcellmError, match=name):
        results_page(folder)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("run.json", "{", "is not valid JSON"),
        ("run.json", "[]", "not a JSON object"),
        ("run.json", json.dumps({**FACTS, "titel": ""}), "unknown key 'titel'"),
        ("scores.json", "{}", "has no scores"),
        ("manifest.json", "{}", "has no counts"),
    ],
)
def test_a_file_out_of_form_is_named(folder: Path, name: str, content: str, problem: str) -> None:
    (folder / "1-shop" / name).write_text(content)
    with pytest.raises(EcellmError, match=problem):
        write_results_page(folder, folder / "page.md")
    assert not (folder / "page.md").exists()


@pytest.mark.skipif(not (DOCS / "results").is_dir(), reason="no documents in this checkout")
def test_the_committed_page_is_what_the_command_makes() -> None:
    assert (DOCS / "results.md").read_text(encoding="utf-8") == results_page(DOCS / "results")
