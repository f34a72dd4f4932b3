"""One policy of temperatures and decision thresholds for every model: what is fitted, on which rows, what is said."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ecellm.dataset.dataset import MANIFEST, Asked, Dataset, read_dataset, write_split
from ecellm.evaluation.metrics import class_metric
from ecellm.inference.closed import candidates_of, closed_reply, decided_again, right_candidate
from ecellm.inference.generator import Failure, Question, Reply
from ecellm.inference.load import load_generator
from ecellm.inference.policy import NO_CLASSES, NO_GAIN, NO_PROBABILITIES, fit_policy, refit
from ecellm.inference.thresholds import decide
from ecellm.keys import keyed_choice, keyed_number
from ecellm.models.folder import read_facts, write_facts
from ecellm.records import SPLITS, Sample, Split
from ecellm.tasks import TASKS
from ecellm.tuning.recipe import Recipe, read_recipe
from ecellm.tuning.tune import tune
from scored import ScoredGenerator
from shop_rows import rows as shop_rows

JUDGED = '["A: exact", "B: substitute", "C: complement", "D: irrelevant"]'
Logs = Callable[[Sample], Sequence[float]]
Run = Callable[..., tuple[int, str, str]]
STARS = json.dumps(
    [f"{letter}: {name}" for letter, name in zip("ABCDE", ["great", "good", "fine", "poor", "bad"], strict=True)]
)


def sample(number: int, task: str = "PM", split: Split = "validation") -> Sample:
    """A row whose answer is drawn: of PM one in four is yes, of MPC two in three are exact."""
    if task == "PM":
        options, output = None, "yes" if keyed_choice(4, split, number) == 0 else "no"
        pair = [{"title": f"mug {split} {number}"}, {"title": "mug"}]
        for record in pair:
            record |= {"manufacturer": "nan", "price": "5", "description": "for tea"}
        text = json.dumps({"product 1": pair[0], "product 2": pair[1]})
    elif task == "MPC":
        text = json.dumps({"query": f"mug {number}", "product title": f"cup {keyed_choice(9, split, number, 'cup')}"})
        options, output = JUDGED, json.loads(JUDGED)[max(0, keyed_choice(9, split, number) - 5)]
    else:
        text, options = f"A mug, bought on day {number} of {split}.", STARS
        output = json.loads(STARS)[keyed_choice(5, split, number)]
    return Sample(f"{task}-{split}-{number}", task, "IND", split, text, options, output)


def asked(count: int, task: str = "PM", split: Split = "validation") -> list[Asked]:
    return [Asked(sample(number, task, split), "Which?") for number in range(count)]


def evidence(one: Sample) -> list[float]:
    """Log-odds that say something of the right answer, and are too low for yes: thresholds help."""
    right = right_candidate(one)
    noise = [4 * keyed_number("noise", one.id, place) for place in range(len(candidates_of(one) or ()))]
    return [value + 2.0 * (place == right) - 2.0 * (place == 0) for place, value in enumerate(noise)]


def noise(one: Sample) -> list[float]:
    """Log-odds that say nothing of the answer."""
    return [4 * keyed_number("noise", one.id, place) for place in range(len(candidates_of(one) or ()))]


class Logits(ScoredGenerator):
    """Answers by given log-probabilities."""

    def __init__(self, logs: Logs, offsets: dict[str, list[float]], temperatures: dict[str, float]) -> None:
        super().__init__()
        self.logs, self.offsets, self.temperatures = logs, offsets, temperatures

    def _reply(self, question: Question) -> Reply | Failure:
        self.asked.append(question.asked.sample.id)
        if question.asked.sample.id in self.failing:
            return Failure("the server is busy")
        one = question.asked.sample
        return closed_reply(one, self.logs(one), self.offsets, self.temperatures)


def generator(logs: Logs = evidence, **fitted: dict[str, list[float]] | dict[str, float]) -> Logits:
    return Logits(logs, fitted.get("offsets", {}), fitted.get("temperatures", {}))  # type: ignore[arg-type]


def answers(model: Logits, questions: Sequence[Asked]) -> list[Reply]:
    replies = model.reply(
        [Question(one, prompt) for one, prompt in zip(questions, model.prompts(questions), strict=True)]
    )
    return [reply for reply in replies if isinstance(reply, Reply)]


# What is fitted.


def test_a_temperature_changes_probabilities_and_no_answer() -> None:
    rows = asked(200)
    for offsets in ({}, {"PM": [0.0, 3.0]}):
        fitted = fit_policy(generator(lambda one: [9 * log for log in evidence(one)]), rows, 1)
        assert fitted.temperatures["PM"] > 4
        before, after = (
            answers(generator(offsets=offsets, temperatures=by), rows) for by in ({}, fitted.temperatures)
        )
        assert [one.text for one in before] == [one.text for one in after]
        assert [one.probability for one in before] != [one.probability for one in after]


def test_thresholds_help_on_rows_that_they_were_not_fitted_on() -> None:
    fitted = fit_policy(generator(), asked(200), 1)
    assert not fitted.no_thresholds
    rows = [one.sample for one in asked(1000, split="test")]
    logs, labels = np.array([evidence(one) for one in rows]), np.array([right_candidate(one) for one in rows])
    f1 = class_metric("f1", 2)
    assert f1(labels, decide(logs, np.array(fitted.offsets["PM"]))) > f1(labels, decide(logs, np.zeros(2))) + 0.05


@pytest.mark.parametrize("task", ["PM", "SA"])
def test_thresholds_that_do_not_help_such_rows_are_not_kept(task: str) -> None:
    """Log-odds that know no better answer than the likeliest one."""
    certain = [Asked(one.sample, one.instruction) for one in asked(200, task)]
    fitted = fit_policy(
        generator(
            lambda one: [5.0 * (place == right_candidate(one)) for place in range(len(candidates_of(one) or ()))]
        ),
        certain,
        1,
    )
    assert fitted.no_thresholds == {task: NO_GAIN}
    assert set(fitted.offsets[task]) == {0.0}


def test_equal_log_probabilities_give_equal_thresholds_whichever_order_rows_come_in() -> None:
    rows = asked(120)
    once = fit_policy(generator(), rows, 1)
    assert any(once.offsets["PM"]) and fit_policy(generator(), rows[::-1], 1) == once
    beside_others = fit_policy(generator(), [*asked(60, "SA"), *rows], 1)
    assert beside_others.offsets == once.offsets
    # Log-probabilities need not be normalised, and thresholds do not depend on whether temperatures are fitted, too.
    shifted = fit_policy(generator(lambda one: [log + 8 for log in evidence(one)]), rows, 1, temperatures=False)
    assert shifted.offsets == once.offsets and shifted.temperatures == {}
    assert fit_policy(generator(), rows, 1, thresholds=False).temperatures == once.temperatures


# On which rows.


def test_each_row_is_asked_once_up_to_a_thousand_of_a_task_and_three_hundred_where_thresholds_are_not_fitted() -> (
    None
):
    counts = []
    for thresholds in (True, False):
        model = generator()
        fit_policy(model, asked(1200), 1, thresholds=thresholds)
        assert len(set(model.asked)) == len(model.asked)
        counts.append(len(model.asked))
    assert counts == [1000, 300]


@pytest.mark.parametrize(("task", "needed"), [("PM", 80), ("SA", 200)])
def test_thresholds_take_forty_rows_a_class(task: str, needed: int) -> None:
    assert task in fit_policy(generator(), asked(needed, task), 1).offsets
    few = fit_policy(generator(), asked(needed - 1, task), 1)
    assert few.offsets == {} and task in few.temperatures
    classes = needed // 40
    assert few.no_thresholds == {task: f"{needed - 1} validation rows, 40 for each of {classes} classes are needed"}


def test_temperatures_take_forty_rows() -> None:
    assert "PM" in fit_policy(generator(), asked(40), 1).temperatures
    model = generator()
    few = fit_policy(model, asked(39), 1)
    assert few.temperatures == {} == few.offsets and not model.asked
    assert few.no_temperature == {"PM": "39 validation rows, 40 are needed"}


def test_tasks_whose_options_change_from_row_to_row_get_a_temperature_and_no_thresholds() -> None:
    rows = [Asked(one, "?") for one in shop_rows("validation", 50) if one.task in ("SR", "QPR", "AVE", "AG")]
    fitted = fit_policy(generator(noise), rows, 1)
    assert set(fitted.temperatures) == {"SR", "QPR"} == set(fitted.no_thresholds)
    assert set(fitted.no_thresholds.values()) == {NO_CLASSES} and fitted.offsets == {}
    assert fitted.lines()[1:] == ["No decision thresholds: SR, QPR (no fixed classes)."]


def test_a_task_whose_answers_carry_no_probabilities_is_asked_no_further() -> None:
    class Silent(ScoredGenerator):
        def _reply(self, question: Question) -> Reply:
            self.asked.append(question.asked.sample.id)
            return Reply("yes")

    model = Silent()
    fitted = fit_policy(model, asked(1000), 1)
    assert 0 < len(model.asked) < 100
    assert fitted.no_temperature == {"PM": NO_PROBABILITIES} == fitted.no_thresholds


def test_rows_without_an_answer_are_counted_and_a_server_that_is_down_ends_it() -> None:
    model = generator()
    model.failing = {one.sample.id for one in asked(20)}
    fitted = fit_policy(model, asked(95), 1)
    assert fitted.failed == 20 and "Validation rows without an answer: 20." in fitted.lines()
    assert fitted.no_thresholds == {"PM": "75 validation rows, 40 for each of 2 classes are needed"}
    model.failing = {one.sample.id for one in asked(200)}
    with pytest.raises(ValueError, match="questions in a row got no answer, the last because: the server is busy"):
        fit_policy(model, asked(200), 1)


def test_a_row_whose_answer_is_none_of_its_candidates_counts_for_nothing() -> None:
    odd = Sample("PM-odd", "PM", "IND", "validation", sample(1).input, None, "perhaps")
    assert fit_policy(generator(), [*asked(90), Asked(odd, "?")], 1) == fit_policy(generator(), asked(90), 1)


def test_a_reply_is_decided_again_by_what_was_fitted() -> None:
    rows = asked(200)
    fitted = fit_policy(generator(), rows, 1)
    own = answers(generator(), rows)
    told = answers(generator(offsets=fitted.offsets, temperatures=fitted.temperatures), rows)
    again = [
        decided_again(one.sample, reply, fitted.offsets, fitted.temperatures)
        for one, reply in zip(rows, own, strict=True)
    ]
    assert [one.text for one in again] == [one.text for one in told] != [one.text for one in own]
    assert [one.probability for one in again] == pytest.approx([one.probability for one in told])


# Whose: every family, through the verbs.


def dataset(folder: Path, validation: int, tasks: Sequence[str] = ("PM", "SA")) -> Dataset:
    """A dataset of these tasks."""
    folder.mkdir(exist_ok=True)
    for split in SPLITS:
        count = validation if split == "validation" else 60
        made = [sample(number, task, split) for task in tasks for number in range(count)]
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
    write_facts(model, before)

    def loaded(name: str) -> Logits:
        facts = read_facts(Path(name))
        assert facts["offsets"] == {} == facts["temperatures"], "asked as it is without them"
        return generator(offsets=facts["offsets"], temperatures=facts["temperatures"])

    monkeypatch.setattr("ecellm.inference.load.load_generator", loaded)
    code, said, error = run("calibrate", model, "--data", data)
    assert code == 0, error
    facts = read_facts(model)
    assert facts["temperatures"]["AP"] == 2.0 and facts["offsets"]["AP"] == [0.0, 1.0], "not asked: as they were"
    assert facts["temperatures"].keys() == {"PM", "AP", "SA"} and facts["offsets"].keys() == {"AP", "SA", "PM"}
    assert f"Temperatures: PM {facts['temperatures']['PM']:.2f}, SA {facts['temperatures']['SA']:.2f}.\n" in said
    assert "Decision thresholds: PM.\n" in said
    assert "No decision thresholds: SA (100 validation rows, 40 for each of 5 classes are needed).\n" in said
    assert facts["offsets"]["SA"] == offsets["SA"] and "Decision thresholds as they were before: SA.\n" in said
    assert run("calibrate", model, "--data", data)[0] == 0 and read_facts(model) == facts
    dataset(data, 5)
    code, _, error = run("calibrate", model, "--data", data)
    assert code == 1 and "Nothing can be fitted" in error and "5 validation rows, 40 are needed" in error
    assert read_facts(model) == facts


def test_calibrate_leaves_answers_alone_where_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    model, data = tmp_path / "model", tmp_path / "data"
    model.mkdir()
    dataset(data, 100)
    write_facts(model, {"recipe": {"family": "causal"}, "offsets": {"PM": [0.0, 1.0]}, "temperatures": {}})
    monkeypatch.setattr("ecellm.inference.load.load_generator", lambda name: generator())
    code, said, error = run("calibrate", model, "--data", data, "--no-thresholds")
    assert code == 0, error
    assert read_facts(model)["offsets"] == {"PM": [0.0, 1.0]} and "threshold" not in said


@pytest.fixture(scope="module")
def cheap(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path, list[str]]:
    """A baseline, and the lines that its fitting says."""
    from ecellm.baselines.fit import fit_baseline

    folder = tmp_path_factory.mktemp("cheap")
    data, said = dataset(folder / "data", 170, ["MPC", "SA"]), list[str]()
    fit_baseline("cheap", data, folder / "model", say=said.append)
    return data, folder / "model", said


def test_a_baseline_is_fitted_by_the_same_policy(cheap: tuple[Dataset, Path, list[str]], run: Run) -> None:
    data, model, said = cheap
    facts = read_facts(model)
    assert facts["offsets"].keys() == {"MPC"} and facts["temperatures"].keys() == {"MPC", "SA"}
    assert any(facts["offsets"]["MPC"]), "there is something to compare"
    assert said[1:] == [
        "Decision thresholds: MPC.",
        "No decision thresholds: SA (170 validation rows, 40 for each of 5 classes are needed).",
    ]
    # Another model of equal log-probabilities gets equal thresholds.
    own = load_generator(model).models["MPC"]  # type: ignore[attr-defined]

    def logs(one: Sample) -> list[float]:
        scores = own.reply([one])[0].scores
        return [float(np.log(share)) for share in scores.values()]

    fitted = fit_policy(generator(logs), data.view("IND_Diverse_Instruction", "validation", ["MPC"]), data.seed)
    assert fitted.offsets == {"MPC": facts["offsets"]["MPC"]}
    assert fitted.temperatures["MPC"] == pytest.approx(facts["temperatures"]["MPC"], rel=1e-6)
    # `ecellm calibrate` fits them again as they are.
    assert run("calibrate", model, "--data", data.path)[0] == 0 and read_facts(model) == facts


def test_a_baselines_answers_follow_its_thresholds_and_temperatures(
    cheap: tuple[Dataset, Path, list[str]],
) -> None:
    data, model, _ = cheap
    rows = data.view("IND_Diverse_Instruction", "test", ["MPC"])
    facts = read_facts(model)

    def replies(**fitted: object) -> list[Reply]:
        write_facts(model, {**facts, **fitted})
        asking = load_generator(model)
        found = asking.reply([Question(one, prompt) for one, prompt in zip(rows, asking.prompts(rows), strict=True)])
        write_facts(model, facts)
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


def test_an_older_baseline_is_refused(cheap: tuple[Dataset, Path, list[str]]) -> None:
    model = cheap[1]
    facts = read_facts(model)
    write_facts(model, {name: value for name, value in facts.items() if name != "offsets"})
    with pytest.raises(ValueError, match="fitted by an older version of ecellm: fit it again"):
        load_generator(model)
    write_facts(model, facts)


def test_the_verb_baseline_says_which_tasks_got_none_and_why(tmp_path: Path, run: Run) -> None:
    dataset(tmp_path / "data", 30)
    code, said, error = run("baseline", "cheap", "--data", tmp_path / "data", "--out", tmp_path / "model")
    assert code == 0, error
    assert "No temperature: PM, SA (30 validation rows, 40 are needed)." in said
    assert "No decision thresholds: PM (30 validation rows, 40 for each of 2 classes are needed), SA (30 " in said


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
    facts = read_facts(tmp_path / "model")
    assert facts["temperatures"].keys() == {"PM", "SA"} and facts["offsets"].keys() == {"PM"}
    said = " ".join(error.split())
    assert "SA (85 validation rows, 40 for each of 5 classes are needed)" in said
    # Asked as it is without them, it gives the same ones again.
    again = refit(str(tmp_path / "model"), data.view("IND_Diverse_Instruction", "validation"), data.seed)
    assert again.temperatures == facts["temperatures"] and again.offsets == facts["offsets"]


@pytest.mark.parametrize(("thresholds", "calibrate"), [(False, True), (True, False), (False, False)])
def test_a_recipe_says_which_of_both_are_fitted(
    thresholds: bool, calibrate: bool, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    data = dataset(tmp_path / "data", 80, ["PM"])
    chosen = {"fit_thresholds": thresholds, "calibrate": calibrate}
    recipe = tiny_recipe.model_copy(update={"validation": tiny_recipe.validation.model_copy(update=chosen)})
    tune(recipe, data, tmp_path / "model", limit=8)
    facts = read_facts(tmp_path / "model")
    assert ("PM" in facts["offsets"], "PM" in facts["temperatures"]) == (thresholds, calibrate)


def test_a_run_that_ends_before_they_are_fitted_is_not_finished_and_goes_on(
    tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = dataset(tmp_path / "data", 80, ["PM"])
    tune(tiny_recipe, data, tmp_path / "whole", limit=8)

    def cut(*given: object, **how: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ecellm.tuning.tune.fit_policy", cut)
        with pytest.raises(KeyboardInterrupt):
            tune(tiny_recipe, data, tmp_path / "cut", limit=8)
    assert not (tmp_path / "cut" / "ecellm.json").exists()
    tune(tiny_recipe, data, tmp_path / "cut", limit=8, resume=True)
    whole, cut_short = (read_facts(tmp_path / name) for name in ("whole", "cut"))
    assert cut_short["temperatures"] == whole["temperatures"] != {}


def test_the_papers_recipes_fit_no_thresholds() -> None:
    for name in ("s", "m", "l", "llama-2-7b", "flan-t5-xl", "flan-t5-xxl"):
        assert not read_recipe(name).validation.fit_thresholds
    assert all(TASKS[task].metric for task in TASKS)
