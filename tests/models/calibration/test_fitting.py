"""One policy of temperatures and decision thresholds for every model: what is fitted, and on which rows."""

import numpy as np
import pytest

from calibration_models import answers, evidence, example, generator, noise, questions_of
from ecellm.errors import ServerError
from ecellm.models.base import Reply, Request
from ecellm.models.calibration.applying import calibrated_reply, decide
from ecellm.models.calibration.fitting import NO_CLASSES, NO_GAIN, NO_PROBABILITIES, fit_calibration
from ecellm.models.decoding.candidates import candidates_of, right_candidate
from ecellm.tasks.metrics import class_metric
from ecellm.types import Example, Question
from scored import ScoredGenerator
from shop_rows import rows as shop_rows

# What is fitted.


def test_a_temperature_changes_probabilities_and_no_answer() -> None:
    rows = questions_of(200)
    for offsets in ({}, {"PM": [0.0, 3.0]}):
        fitted = fit_calibration(generator(lambda one: [9 * log for log in evidence(one)]), rows, 1)
        assert fitted.temperatures["PM"] > 4
        before, after = (
            answers(generator(offsets=offsets, temperatures=by), rows) for by in ({}, fitted.temperatures)
        )
        assert [one.text for one in before] == [one.text for one in after]
        assert [one.probability for one in before] != [one.probability for one in after]


def test_thresholds_help_on_rows_that_they_were_not_fitted_on() -> None:
    fitted = fit_calibration(generator(), questions_of(200), 1)
    assert not fitted.no_thresholds
    rows = [one.example for one in questions_of(1000, split="test")]
    logs, labels = np.array([evidence(one) for one in rows]), np.array([right_candidate(one) for one in rows])
    f1 = class_metric("f1", 2)
    assert f1(labels, decide(logs, np.array(fitted.offsets["PM"]))) > f1(labels, decide(logs, np.zeros(2))) + 0.05


@pytest.mark.parametrize("task", ["PM", "SA"])
def test_thresholds_that_do_not_help_such_rows_are_not_kept(task: str) -> None:
    """Log-odds that know no better answer than the likeliest one."""
    certain = [Question(one.example, one.instruction) for one in questions_of(200, task)]
    fitted = fit_calibration(
        generator(
            lambda one: [5.0 * (place == right_candidate(one)) for place in range(len(candidates_of(one) or ()))]
        ),
        certain,
        1,
    )
    assert fitted.no_thresholds == {task: NO_GAIN}
    assert set(fitted.offsets[task]) == {0.0}


def test_equal_log_probabilities_give_equal_thresholds_whichever_order_rows_come_in() -> None:
    rows = questions_of(120)
    once = fit_calibration(generator(), rows, 1)
    assert any(once.offsets["PM"]) and fit_calibration(generator(), rows[::-1], 1) == once
    beside_others = fit_calibration(generator(), [*questions_of(60, "SA"), *rows], 1)
    assert beside_others.offsets == once.offsets
    # Log-probabilities need not be normalised, and thresholds do not depend on whether temperatures are fitted, too.
    shifted = fit_calibration(generator(lambda one: [log + 8 for log in evidence(one)]), rows, 1, temperatures=False)
    assert shifted.offsets == once.offsets and shifted.temperatures == {}
    assert fit_calibration(generator(), rows, 1, thresholds=False).temperatures == once.temperatures


# On which rows.


def test_each_row_is_asked_once_up_to_a_thousand_of_a_task_and_three_hundred_where_thresholds_are_not_fitted() -> (
    None
):
    counts = []
    for thresholds in (True, False):
        model = generator()
        fit_calibration(model, questions_of(1200), 1, thresholds=thresholds)
        assert len(set(model.asked)) == len(model.asked)
        counts.append(len(model.asked))
    assert counts == [1000, 300]


@pytest.mark.parametrize(("task", "needed"), [("PM", 80), ("SA", 200)])
def test_thresholds_take_forty_rows_a_class(task: str, needed: int) -> None:
    assert task in fit_calibration(generator(), questions_of(needed, task), 1).offsets
    few = fit_calibration(generator(), questions_of(needed - 1, task), 1)
    assert few.offsets == {} and task in few.temperatures
    classes = needed // 40
    assert few.no_thresholds == {task: f"{needed - 1} validation rows, 40 for each of {classes} classes are needed"}


def test_temperatures_take_forty_rows() -> None:
    assert "PM" in fit_calibration(generator(), questions_of(40), 1).temperatures
    model = generator()
    few = fit_calibration(model, questions_of(39), 1)
    assert few.temperatures == {} == few.offsets and not model.asked
    assert few.no_temperature == {"PM": "39 validation rows, 40 are needed"}


def test_tasks_whose_options_change_from_row_to_row_get_a_temperature_and_no_thresholds() -> None:
    rows = [Question(one, "?") for one in shop_rows("validation", 50) if one.task in ("SR", "QPR", "AVE", "AG")]
    fitted = fit_calibration(generator(noise), rows, 1)
    assert set(fitted.temperatures) == {"SR", "QPR"} == set(fitted.no_thresholds)
    assert set(fitted.no_thresholds.values()) == {NO_CLASSES} and fitted.offsets == {}
    assert fitted.lines()[1:] == ["No decision thresholds: SR, QPR (no fixed classes)."]


def test_a_task_whose_answers_carry_no_probabilities_is_predicted_no_further() -> None:
    class Silent(ScoredGenerator):
        def _reply(self, request: Request) -> Reply:
            self.asked.append(request.question.example.id)
            return Reply("yes")

    model = Silent()
    fitted = fit_calibration(model, questions_of(1000), 1)
    assert 0 < len(model.asked) < 100
    assert fitted.no_temperature == {"PM": NO_PROBABILITIES} == fitted.no_thresholds


def test_rows_without_an_answer_are_counted_and_a_server_that_is_down_ends_it() -> None:
    model = generator()
    model.failing = {one.example.id for one in questions_of(20)}
    fitted = fit_calibration(model, questions_of(95), 1)
    assert fitted.failed == 20 and "Validation rows without an answer: 20." in fitted.lines()
    assert fitted.no_thresholds == {"PM": "75 validation rows, 40 for each of 2 classes are needed"}
    model.failing = {one.example.id for one in questions_of(200)}
    with pytest.raises(ServerError, match="questions in a row got no answer, the last because: the server is busy"):
        fit_calibration(model, questions_of(200), 1)


def test_a_row_whose_answer_is_none_of_its_candidates_counts_for_nothing() -> None:
    odd = Example("PM-odd", "PM", "IND", "validation", example(1).input, None, "perhaps")
    assert fit_calibration(generator(), [*questions_of(90), Question(odd, "?")], 1) == fit_calibration(
        generator(), questions_of(90), 1
    )


def test_a_reply_is_calibrated_by_what_was_fitted() -> None:
    rows = questions_of(200)
    fitted = fit_calibration(generator(), rows, 1)
    own = answers(generator(), rows)
    calibrated = answers(generator(offsets=fitted.offsets, temperatures=fitted.temperatures), rows)
    again = [
        calibrated_reply(one.example, reply, fitted.offsets, fitted.temperatures)
        for one, reply in zip(rows, own, strict=True)
    ]
    assert [one.text for one in again] == [one.text for one in calibrated] != [one.text for one in own]
    assert [one.probability for one in again] == pytest.approx([one.probability for one in calibrated])
