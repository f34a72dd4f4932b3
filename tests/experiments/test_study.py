"""Studies: grids of ordinary runs that can be interrupted anywhere, and what they say."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.experiments import reproduce
from ecellm.experiments.plans import STUDIES, Study
from ecellm.experiments.runner import Grid
from tiny_models import save_tiny

Run = Callable[..., tuple[int, str, str]]
RECIPE = """
name = "tiny"
family = "causal"
base = "{base}"
template = "alpaca"
max_tokens = 400
max_response_tokens = 60
[optimisation]
epochs = 1
learning_rate = 1e-2
batch_tokens = 1500
examples = 8
precision = "fp32"
[validation]
per_epoch = 1
rows = 6
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    base = save_tiny("llama", folder / "base")
    (folder / "tiny.toml").write_text(RECIPE.format(base=base))
    return folder / "tiny.toml"


def made(name: str, data: Dataset, *recipes: str, sizes: tuple[int, ...] = ()) -> Study:
    return STUDIES[name](data, recipes or ("xs",), sizes)


def test_a_generalist_is_compared_with_a_model_for_each_task(tiny_data: Dataset) -> None:
    study = made("generalist", tiny_data)
    everything, apart = study.sides
    assert len(everything.arms) == 1
    assert [arm.tasks for arm in apart.arms] == [(task,) for task in everything.arms[0].tasks]


def test_instructions_differ_in_the_setting_that_is_tuned_and_all_are_asked_the_unseen_ones(
    tiny_data: Dataset,
) -> None:
    study = made("instructions", tiny_data)
    assert [side.arms[0].setting for side in study.sides] == ["IND_Diverse_Instruction", "IND_Single_Instruction"]
    settings = study.settings(tiny_data, study.sides[0].arms[0])
    assert "IND_Unseen_Instruction" in settings and "IND_Diverse_Instruction_1-shot" not in settings


def test_sizes_are_the_papers_shares_or_those_named(tiny_data: Dataset) -> None:
    rows = len(tiny_data.examples("train", "IND"))
    assert [side.size for side in made("scale", tiny_data, sizes=(5, 9)).sides] == [rows, 9, 5]
    assert made("scale", tiny_data).sides[0].arms[0].limit is None
    with pytest.raises(EcellmError, match=f"the dataset has {rows} training rows"):
        made("scale", tiny_data, sizes=(rows,))


def test_bases_takes_several_recipes_and_the_others_one(tiny_data: Dataset) -> None:
    assert [side.name for side in made("bases", tiny_data, "xs", "m").sides] == ["xs", "m"]
    with pytest.raises(EcellmError, match="two or more recipes"):
        made("bases", tiny_data, "xs")
    with pytest.raises(EcellmError, match="takes one --recipe"):
        made("scale", tiny_data, "xs", "m")


def test_models_that_share_the_tasks_share_the_rows_that_are_asked(tiny_data: Dataset, tmp_path: Path) -> None:
    study = made("generalist", tiny_data)
    grid = Grid(study, tiny_data, tmp_path, [42], test_rows=60)
    commands = {arm.name: list(grid.commands(arm, 42))[1][-1] for arm, _ in grid.arms()}
    tasks = len(study.sides[0].arms[0].tasks)
    assert commands["xs-all"] == "60" and commands["xs-only-PM"] == str(60 // tasks)


def test_a_plan_is_printed_and_mistakes_are_one_sentence(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    given = ("--recipe", "xs", "--data", tiny_data.path, "--out", tmp_path / "study")
    code, output, _ = run("study", "instructions", *given, "--plan", "--seeds", 2)
    assert code == 0 and output.count("ecellm tune xs") == 4 and "optimisation.seed=43" in output
    assert not (tmp_path / "study").exists()
    for name, wrong, why in (
        ("generlist", (), "There is no study 'generlist': choose from generalist"),
        ("scale", ("--sizes", "a,b"), "give whole numbers with commas"),
        ("scale", ("--set", "optimisation.epoch=1"), "did you mean"),
    ):
        code, _, error = run("study", name, *given, *wrong)
        assert code == 1 and why in error and len(error.strip().splitlines()) == 1


def scale_study(data: Dataset, recipe: Path, out: Path) -> list[str]:
    """The command of a study of two models, of which the second is tuned on 12 rows."""
    line = [sys.executable, "-m", "ecellm", "study", "scale", "--sizes", "12", "--limit", "24"]
    return [*line, "--recipe", str(recipe), "--data", str(data.path), "--out", str(out)]


@pytest.fixture(scope="module")
def whole(tiny_data: Dataset, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that nothing interrupted."""
    out = tmp_path_factory.mktemp("study") / "whole"
    done = subprocess.run(scale_study(tiny_data, recipe, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.slow
def test_a_study_compares_its_models_in_a_table_a_chart_and_a_report(
    whole: Path, tiny_data: Dataset, recipe: Path
) -> None:
    text = (whole / "study.md").read_text()
    assert "| PM | IND_Diverse_Instruction | f1 |" in text and ("within noise" in text or "worse" in text)
    page = (whole / "study.html").read_text()
    assert "<svg" in page and "12 rows" in page and (whole / "report.html").is_file()
    line = [*scale_study(tiny_data, recipe, whole), "--seeds", "2"]
    other = subprocess.run(line, capture_output=True, text=True, check=False)
    assert other.returncode == 1 and "a study with another seeds" in other.stderr


#: Files that are there from some point of a study on.
TUNED, PREDICTED, SCORED = "runs/tiny-all-seed42/model/log.jsonl", "runs/tiny-*/predictions.jsonl", "sides/*/*"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("by", "point", "files"),
    [
        (signal.SIGINT, TUNED, 1),
        (signal.SIGKILL, PREDICTED, 2),
        (signal.SIGKILL, SCORED, 2),
    ],
)
def test_a_study_that_was_interrupted_goes_on_and_ends_the_same(
    by: signal.Signals, point: str, files: int, whole: Path, tiny_data: Dataset, recipe: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    line = scale_study(tiny_data, recipe, cut)
    process = subprocess.Popen(
        line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=by == signal.SIGKILL
    )
    until = time.monotonic() + 180
    while len(list(cut.glob(point))) < files and time.monotonic() < until:
        time.sleep(0.02)
    assert len(list(cut.glob(point))) >= files, "the study never came to this point"
    if by == signal.SIGKILL:  # the commands that it runs end with it, as when a machine goes down
        os.killpg(process.pid, by)
        assert process.wait(60) == -by
    else:
        process.send_signal(by)
        assert process.wait(60) == 130
    assert not (cut / "study.md").exists()
    again = subprocess.run(line, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert (cut / "study.md").read_bytes() == (whole / "study.md").read_bytes()


@pytest.mark.slow
def test_a_run_that_fails_is_named_with_its_log_and_why(tiny_data: Dataset, recipe: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text(recipe.read_text().replace("max_tokens = 400", "max_tokens = 40"))
    line = ["study", "scale", "--sizes", "12", "--recipe", str(broken), "--data", str(tiny_data.path)]
    done = subprocess.run(
        [sys.executable, "-m", "ecellm", *line, "--out", str(tmp_path / "study")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "ecellm tune failed" in done.stderr and "run.log" in done.stderr and "does not fit into 40" in done.stderr


def test_a_reproduction_shares_its_runs_and_says_what_it_takes(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    code, output, _ = run("reproduce", "--data", tiny_data.path, "--out", tmp_path / "all", "--plan")
    rows, tasks = len(tiny_data.examples("train", "IND")), 6
    assert (
        code == 0
        and output.startswith(f"m: {1 + tasks + 1 + 2} models on ")
        and "52 GB of GPU memory" in output
        and "AdamW" not in output
    )
    assert f"l: {1 + tasks} models on {2 * rows:,} training rows in all, about " in output
    assert output.count(" models on ") == output.count(" hours of tuning on one H100. ") == 6
    assert output.splitlines()[-1].startswith(f"All: {5 * (1 + tasks) + 1 + tasks + 1 + 2} models, about ")
    assert not (tmp_path / "all").exists()
    code, output, _ = run("reproduce", "--data", tiny_data.path, "--out", tmp_path / "all", "--plan", "--small")
    assert code == 0 and output.startswith("xs: 10 models on ") and output.count(" models on ") == 1
    assert " hours of tuning on two cores" in output and "6 GB of memory" in output


def test_hours_grow_with_rows_and_are_unknown_where_no_header_says_them(recipe: Path) -> None:
    rate = reproduce.rate("m")
    assert rate == (pytest.approx(2.2 / 92_022), "one H100")
    assert "about 2.2 hours of tuning on one H100. 36 GB" in reproduce.Needs("m", 1, 92_022, "36 GB", rate).text()
    assert "about 6.6 hours" in reproduce.Needs("m", 3, 3 * 92_022, "36 GB", rate).text()
    assert reproduce.rate(str(recipe)) is None
    assert "hours unknown" in reproduce.Needs(str(recipe), 1, 9, "", None).text()


@pytest.mark.slow
def test_studies_of_one_reproduction_tune_a_shared_model_once(
    tiny_data: Dataset, recipe: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    for name, sizes in (("instructions", ()), ("scale", (12,))):
        study = made(name, tiny_data, str(recipe), sizes=sizes)
        lines: list[str] = []
        Grid(study, tiny_data, tmp_path / name, [42], test_rows=12, runs=runs).run(lines.append)
        assert (tmp_path / name / "sides").is_dir()
    assert {path.name for path in runs.iterdir()} == {"tiny-all-seed42", "tiny-single-seed42", "tiny-rows-12-seed42"}
    assert any("tiny-all-seed42 was done before" in line for line in lines)
    answers = (tmp_path / "scale" / "sides" / "all-36-rows-seed42" / "predictions.jsonl").read_text()
    assert "Unseen" not in answers and "IND_Diverse_Instruction" in answers
