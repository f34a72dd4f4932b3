"""Every family is fitted by the one policy: through calibrate, baseline and tune."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from calibration_models import Logits, example, generator
from ecellm.data.dataset import MANIFEST, Dataset, read_dataset, write_split
from ecellm.errors import EcellmError
from ecellm.inference.recalibration import recalibrate
from ecellm.models.base import Reply, Request
from ecellm.models.calibration.fitting import fit_calibration
from ecellm.models.folder import read_info, write_info
from ecellm.models.load import load_generator
from ecellm.training.recipe import Recipe, read_recipe
from ecellm.training.tune import tune
from ecellm.types import SPLITS, Example
from model_folders import describe

Run = Callable[..., tuple[int, str, str]]


# Whose: every family, through the verbs.


def dataset(folder: Path, validation: int, tasks: Sequence[str] = ("PM", "SA")) -> Dataset:
    """A dataset of these tasks."""
    folder.mkdir(exist_ok=True)
    for split in SPLITS:
        count = validation if split == "validation" else 60
        made = [example(number, task, split) for task in tasks for number in range(count)]
        write_split(made, folder / f"{split}.parquet")
    (folder / MANIFEST).write_text('{"seed": 1}')
    return read_dataset(folder)


def test_calibrate_fits_both_again_saves_them_with_the_model_and_says_what_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    model, data = tmp_path / "model", tmp_path / "data"
    model.mkdir()
    dataset(data, 100)
    offsets = {"AP": [0.0, 1.0], "SA": [0.0, 1.0, 0.0, 0.0, 0.0]}
    before = {"recipe": {"family": "causal"}, "offsets": offsets, "temperatures": {"PM": 9.0, "AP": 2.0}}
    describe(model, before)

    def loaded(name: str) -> Logits:
        info = read_info(Path(name))
        assert info.offsets == {} == info.temperatures, "fitted without them"
        return generator(offsets=info.offsets, temperatures=info.temperatures)

    monkeypatch.setattr("ecellm.inference.recalibration.load_generator", loaded)
    code, output, error = run("calibrate", model, "--data", data)
    assert code == 0, error
    info = read_info(model)
    assert info.temperatures["AP"] == 2.0 and info.offsets["AP"] == [0.0, 1.0], "not among the tasks: unchanged"
    assert info.temperatures.keys() == {"PM", "AP", "SA"} and info.offsets.keys() == {"AP", "SA", "PM"}
    assert f"Temperatures: PM {info.temperatures['PM']:.2f}, SA {info.temperatures['SA']:.2f}.\n" in output
    assert "Decision thresholds: PM.\n" in output
    assert "No decision thresholds: SA (100 validation rows, 40 for each of 5 classes are needed).\n" in output
    assert info.offsets["SA"] == offsets["SA"] and "Decision thresholds as they were before: SA.\n" in output
    assert run("calibrate", model, "--data", data)[0] == 0 and read_info(model) == info
    dataset(data, 5)
    code, _, error = run("calibrate", model, "--data", data)
    assert code == 1 and "Nothing can be fitted" in error and "5 validation rows, 40 are needed" in error
    assert read_info(model) == info


def test_calibrate_leaves_answers_alone_where_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    model, data = tmp_path / "model", tmp_path / "data"
    model.mkdir()
    dataset(data, 100)
    describe(model, {"recipe": {"family": "causal"}, "offsets": {"PM": [0.0, 1.0]}, "temperatures": {}})
    monkeypatch.setattr("ecellm.inference.recalibration.load_generator", lambda name: generator())
    code, output, error = run("calibrate", model, "--data", data, "--no-thresholds")
    assert code == 0, error
    assert read_info(model).offsets == {"PM": [0.0, 1.0]} and "threshold" not in output


@pytest.fixture(scope="module")
def tfidf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path, list[str]]:
    """A baseline, and the lines that its fitting says."""
    from ecellm.models.baselines.fit import fit_baseline

    folder = tmp_path_factory.mktemp("tfidf")
    data, lines = dataset(folder / "data", 170, ["MPC", "SA"]), list[str]()
    fit_baseline("tfidf", data, folder / "model", say=lines.append)
    return data, folder / "model", lines


def test_a_baseline_is_fitted_by_the_same_policy(tfidf: tuple[Dataset, Path, list[str]], run: Run) -> None:
    data, model, lines = tfidf
    info = read_info(model)
    assert info.offsets.keys() == {"MPC"} and info.temperatures.keys() == {"MPC", "SA"}
    assert any(info.offsets["MPC"]), "there is something to compare"
    assert lines[1:] == [
        "Decision thresholds: MPC.",
        "No decision thresholds: SA (170 validation rows, 40 for each of 5 classes are needed).",
    ]
    # Another model of equal log-probabilities gets equal thresholds.
    own = load_generator(model).models["MPC"]  # type: ignore[attr-defined]

    def logs(one: Example) -> list[float]:
        scores = own.reply([one])[0].scores
        return [float(np.log(share)) for share in scores.values()]

    fitted = fit_calibration(generator(logs), data.view("IND_Diverse_Instruction", "validation", ["MPC"]), data.seed)
    assert fitted.offsets == {"MPC": info.offsets["MPC"]}
    assert fitted.temperatures["MPC"] == pytest.approx(info.temperatures["MPC"], rel=1e-6)
    # `ecellm calibrate` fits them again as they are.
    assert run("calibrate", model, "--data", data.path)[0] == 0 and read_info(model) == info


def test_a_baselines_answers_follow_its_thresholds_and_temperatures(
    tfidf: tuple[Dataset, Path, list[str]],
) -> None:
    data, model, _ = tfidf
    rows = data.view("IND_Diverse_Instruction", "test", ["MPC"])
    info = read_info(model)

    def replies(**fitted: object) -> list[Reply]:
        write_info(model, info.model_copy(update=fitted))
        asking = load_generator(model)
        found = asking.reply([Request(one, prompt) for one, prompt in zip(rows, asking.prompts(rows), strict=True)])
        write_info(model, info)
        return [reply for reply in found if isinstance(reply, Reply)]

    plain = replies(offsets={}, temperatures={})
    cooled = replies(offsets={}, temperatures={"MPC": 0.5})
    moved = replies(offsets={"MPC": [30.0, 0.0, 0.0, 0.0]}, temperatures={})
    assert [one.text for one in plain] == [one.text for one in cooled]
    assert [one.scores for one in plain] != [one.scores for one in cooled]
    assert {one.text for one in moved} == {"A: exact"}
    for one, other in zip(moved, plain, strict=True):
        assert one.scores == pytest.approx(other.scores), "thresholds move no probability"
    assert all(sum((one.scores or {}).values()) == pytest.approx(1.0) for one in plain)


def test_an_older_baseline_is_refused(tfidf: tuple[Dataset, Path, list[str]]) -> None:
    model = tfidf[1]
    info = read_info(model)
    describe(model, info.model_dump(exclude={"offsets"}, exclude_unset=True))
    with pytest.raises(EcellmError, match="fitted by an older version of ecellm: fit it again"):
        load_generator(model)
    write_info(model, info)


def test_the_verb_baseline_says_which_tasks_got_none_and_why(tmp_path: Path, run: Run) -> None:
    dataset(tmp_path / "data", 30)
    code, output, error = run("baseline", "tfidf", "--data", tmp_path / "data", "--out", tmp_path / "model")
    assert code == 0, error
    assert "No temperature: PM, SA (30 validation rows, 40 are needed)." in output
    assert "No decision thresholds: PM (30 validation rows, 40 for each of 2 classes are needed), SA (30 " in output


def quick(recipe: Recipe, *changes: str) -> list[str]:
    """Arguments of `tune` for one short pass of a tiny XS."""
    changes = (f"base={recipe.base}", "optimisation.epochs=1", "optimisation.precision=fp32", *changes)
    return ["xs", *(part for change in changes for part in ("--set", change))]


def test_tune_fits_by_the_policy_and_says_which_tasks_got_none_and_why(
    tiny_recipe: Recipe, tmp_path: Path, run: Run
) -> None:
    data = dataset(tmp_path / "data", 85)
    code, _, error = run("tune", *quick(tiny_recipe), "--data", data.path, "--out", tmp_path / "model", "--limit", 12)
    assert code == 0, error
    info = read_info(tmp_path / "model")
    assert info.temperatures.keys() == {"PM", "SA"} and info.offsets.keys() == {"PM"}
    message = " ".join(error.split())
    assert "SA (85 validation rows, 40 for each of 5 classes are needed)" in message
    # Question as it is without them, it gives the same ones again.
    again = recalibrate(str(tmp_path / "model"), data.view("IND_Diverse_Instruction", "validation"), data.seed)
    assert again.temperatures == info.temperatures and again.offsets == info.offsets


@pytest.mark.parametrize(("thresholds", "calibrate"), [(False, True), (True, False), (False, False)])
def test_a_recipe_says_which_of_both_are_fitted(
    thresholds: bool, calibrate: bool, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    data = dataset(tmp_path / "data", 80, ["PM"])
    chosen = {"fit_thresholds": thresholds, "calibrate": calibrate}
    recipe = tiny_recipe.model_copy(update={"validation": tiny_recipe.validation.model_copy(update=chosen)})
    tune(recipe, data, tmp_path / "model", limit=8)
    info = read_info(tmp_path / "model")
    assert ("PM" in info.offsets, "PM" in info.temperatures) == (thresholds, calibrate)


def test_a_run_that_ends_before_they_are_fitted_is_not_finished_and_goes_on(
    tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path / "data", 80, ["PM"])
    tune(tiny_recipe, data, tmp_path / "whole", limit=8)

    def cut(*given: object, **how: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ecellm.training.tune.fit_calibration", cut)
        with pytest.raises(KeyboardInterrupt):
            tune(tiny_recipe, data, tmp_path / "cut", limit=8)
    assert not (tmp_path / "cut" / "ecellm.json").exists()
    tune(tiny_recipe, data, tmp_path / "cut", limit=8, resume=True)
    whole, cut_short = (read_info(tmp_path / name) for name in ("whole", "cut"))
    assert cut_short.temperatures == whole.temperatures != {}


def test_the_papers_recipes_fit_no_thresholds() -> None:
    for name in ("s", "m", "l", "llama-2-7b", "flan-t5-xl", "flan-t5-xxl"):
        assert not read_recipe(name).validation.fit_thresholds
