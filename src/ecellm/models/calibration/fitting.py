"""Fitting temperatures and decision thresholds, by one policy for every model.

Each task's validation rows are predicted once, and both are fitted on the same log-probabilities of the candidates:

- A temperature (`temperature.py`) for every multiple-choice task, on its first 300 rows, where it has 40.
- Decision thresholds (`thresholds.py`) for tasks whose classes are fixed and whose metric counts
  classes, on the first 1,000 rows, where there are 40 for each class. They are kept only where they help on rows that
  they were not fitted on. SR's options and QPR's orders change from row to row: these tasks get none.

Rows come in the order of a keyed hash of the dataset's seed and their ids. So every model is fitted on the same rows,
and equal log-probabilities give equal thresholds, whichever model they come from.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ecellm.io.hashing import keyed_hash
from ecellm.models.base import Before, Failure, Generator, Progress, Reply, Request, Spent, Usage
from ecellm.models.calibration.applying import log_probabilities
from ecellm.models.calibration.temperature import ScoredRow, fit_temperature
from ecellm.models.calibration.thresholds import CLASS_METRICS, ROWS_A_CLASS, enough_rows, fit_offsets
from ecellm.models.decoding.batching import batches
from ecellm.models.decoding.candidates import candidates_of, right_candidate
from ecellm.models.failure_limit import ConsecutiveFailures
from ecellm.models.folder import ModelInfo
from ecellm.tasks import TASKS
from ecellm.tasks.metrics import class_metric
from ecellm.types import Example, Question

#: A temperature is fitted on so many rows: fewer are too noisy, more add little.
MIN_TEMPERATURE_ROWS, MAX_TEMPERATURE_ROWS = 40, 300
#: Thresholds are fitted on at most so many rows of a task: about as many as ECInstruct has for validation.
MAX_THRESHOLD_ROWS = 1000

#: Rows of a task that are predicted first: where they are answered without probabilities, the others are not.
FIRST_ROWS = 8

NO_CLASSES = "no fixed classes"
NO_GAIN = "no gain in cross-validation"
NO_PROBABILITIES = "its answers carry no probabilities"


@dataclass
class FittedCalibration:
    """What was fitted, by task, and why other multiple-choice tasks got none."""

    temperatures: dict[str, float] = field(default_factory=dict)
    offsets: dict[str, list[float]] = field(default_factory=dict)
    """One a class; all 0 where thresholds brought no gain in cross-validation."""
    no_temperature: dict[str, str] = field(default_factory=dict)
    """The reason, by task."""
    no_thresholds: dict[str, str] = field(default_factory=dict)
    """The reason, by task."""
    kept: list[str] = field(default_factory=list)
    """Tasks that got no thresholds now and keep those which the model had."""
    failed: int = 0
    """Validation rows that got no answer."""

    def added_to(self, info: ModelInfo) -> ModelInfo:
        """Return a model's description with these; a task that nothing could be fitted for keeps what it had."""
        temperatures = {**info.temperatures, **self.temperatures}
        return info.model_copy(update={"temperatures": temperatures, "offsets": {**info.offsets, **self.offsets}})

    def lines(self) -> list[str]:
        """Return the summary for the user, a line each."""
        parts = {
            "Temperatures": ", ".join(f"{task} {value:.2f}" for task, value in self.temperatures.items()),
            "No temperature": _reasons(self.no_temperature),
            "Decision thresholds": ", ".join(task for task in self.offsets if task not in self.no_thresholds),
            "No decision thresholds": _reasons(self.no_thresholds),
            "Decision thresholds as they were before": ", ".join(self.kept),
            "Validation rows without an answer": f"{self.failed:,}" if self.failed else "",
        }
        return [f"{name}: {text}." for name, text in parts.items() if text]


def threshold_rows(examples: Sequence[Example], seed: int) -> list[Example]:
    """Return the validation rows of one task that thresholds are fitted on, in their order."""
    return sorted(examples, key=lambda example: _key(example, seed))[:MAX_THRESHOLD_ROWS]


def fit_calibration(
    generator: Generator,
    validation: Sequence[Question],
    seed: int,
    *,
    tasks: Collection[str] | None = None,
    temperatures: bool = True,
    thresholds: bool = True,
    progress: Progress | None = None,
    before: Before | None = None,
    spent: Spent | None = None,
) -> FittedCalibration:
    """Predict each task's validation rows once, and fit temperatures and thresholds on their log-probabilities.

    The generator must have neither: its replies' `scores` are taken for its own probabilities. `seed` is the
    dataset's. `tasks` None: all that have validation rows. Raises ServerError where every
    further request would fail, such as for a server that is down.
    """
    fitted = FittedCalibration()
    chosen: dict[str, list[Request]] = {}
    for task in TASKS:
        rows = [one for one in validation if one.example.task == task and candidates_of(one.example) is not None]
        if not rows or (tasks is not None and task not in tasks):
            continue
        rows.sort(key=lambda one: _key(one.example, seed))
        most = 0
        if temperatures:
            most = MAX_TEMPERATURE_ROWS if _enough_for_temperature(task, len(rows), fitted) else 0
        if thresholds and _enough_for_thresholds(task, len(rows), _classes(task, rows), fitted):
            most = MAX_THRESHOLD_ROWS
        if most:
            rows = rows[:most]
            chosen[task] = [Request(one, prompt) for one, prompt in zip(rows, generator.prompts(rows), strict=True)]
    if before is not None and chosen:
        before([request for requests in chosen.values() for request in requests])
    answered = _Answered(generator, sum(map(len, chosen.values())), progress, spent)
    for task, requests in chosen.items():
        scored = answered.scored(requests)
        if temperatures and _enough_for_temperature(task, len(scored), fitted):
            fitted.temperatures[task] = fit_temperature(scored[:MAX_TEMPERATURE_ROWS])
        classes = _classes(task, [request.question for request in requests])
        if thresholds and _enough_for_thresholds(task, len(scored), classes, fitted):
            _fit_thresholds(task, scored, fitted)
    fitted.failed = answered.failed
    return fitted


def _fit_thresholds(task: str, scored: Sequence[ScoredRow], fitted: FittedCalibration) -> None:
    logs, labels = np.array([row for row, _ in scored]), np.array([label for _, label in scored], dtype=np.int64)
    offsets = fit_offsets(logs, labels, class_metric(TASKS[task].metric, logs.shape[1]))
    fitted.offsets[task] = offsets.tolist()
    if not offsets.any():
        fitted.no_thresholds[task] = NO_GAIN


def _enough_for_temperature(task: str, rows: int, fitted: FittedCalibration) -> bool:
    """Return whether rows are enough; the reason is noted where they are not."""
    if task not in fitted.no_temperature and rows < MIN_TEMPERATURE_ROWS:
        reason = f"{rows:,} validation rows, {MIN_TEMPERATURE_ROWS} are needed"
        fitted.no_temperature[task] = reason if rows else NO_PROBABILITIES
    return task not in fitted.no_temperature


def _enough_for_thresholds(task: str, rows: int, classes: int | None, fitted: FittedCalibration) -> bool:
    """Return whether the task has classes and rows are enough; the reason is noted where they are not."""
    if classes is None:
        fitted.no_thresholds[task] = NO_CLASSES
    elif task not in fitted.no_thresholds and not enough_rows(rows, classes):
        reason = f"{rows:,} validation rows, {ROWS_A_CLASS} for each of {classes} classes are needed"
        fitted.no_thresholds[task] = reason if rows else NO_PROBABILITIES
    return task not in fitted.no_thresholds


def _classes(task: str, rows: Sequence[Question]) -> int | None:
    """Return the number of a task's classes, or None where its candidates are not the same classes in every row."""
    counts = {len(candidates_of(one.example) or ()) for one in rows}
    return counts.pop() if TASKS[task].metric in CLASS_METRICS and len(counts) == 1 else None


def _key(example: Example, seed: int) -> str:
    return keyed_hash(seed, "calibration", example.id)


def _reasons(by_task: Mapping[str, str]) -> str:
    """Return tasks by reason, as in "SR, QPR (no fixed classes)"."""
    tasks: dict[str, list[str]] = {}
    for task in (task for task in TASKS if task in by_task):
        tasks.setdefault(by_task[task], []).append(task)
    return ", ".join(f"{', '.join(of)} ({reason})" for reason, of in tasks.items())


def _is_answer(reply: Reply, request: Request) -> bool:
    example = request.question.example
    return TASKS[example.task].answer.parse(reply.text, example) is not None


class _Answered:
    """Predicts task by task, and counts."""

    def __init__(self, generator: Generator, total: int, progress: Progress | None, spent: Spent | None):
        self.generator, self.total, self.progress, self.spent = generator, total, progress, spent
        self.done = self.failed = 0
        self.consecutive = ConsecutiveFailures()
        self.usage: Usage | None = None
        self._report()

    def scored(self, requests: Sequence[Request]) -> list[ScoredRow]:
        """Return the log-probabilities and right answers of a task's rows that have both, in the order of the rows.

        Stops at a task whose first answers carry no probabilities, or of which a whole batch has no answer.
        """
        places = {id(request): place for place, request in enumerate(requests)}
        found: dict[int, ScoredRow] = {}
        left, carried = len(requests), False
        for batch in [list(requests[:FIRST_ROWS]), *batches(requests[FIRST_ROWS:])]:
            replies = [self._answer(reply) for reply in self.generator.reply(batch)]
            is_answer = False
            for request, reply in zip(batch, replies, strict=True):
                logs = None if reply is None else log_probabilities(reply)
                label = right_candidate(request.question.example)
                if logs is not None and label is not None:
                    found[places[id(request)]] = (logs.tolist(), label)
                carried = carried or logs is not None
                is_answer = is_answer or (reply is not None and _is_answer(reply, request))
            left -= len(batch)
            stop = not carried and None not in replies and (is_answer or len(requests) - left > FIRST_ROWS)
            self.done += len(batch)
            self.total -= left if stop else 0
            self._report()
            if self.spent is not None and self.usage is not None:
                self.spent(self.usage)
            if stop:
                break
        return [found[place] for place in sorted(found)]

    def _answer(self, reply: Reply | Failure) -> Reply | None:
        """Count a reply, and return it unless it is a failure; raises ServerError where too many in a row are."""
        self.consecutive.count(reply)
        if isinstance(reply, Failure):
            self.failed += 1
            self.consecutive.check()
            return None
        self.usage = self.usage if reply.usage is None else reply.usage + self.usage
        return reply

    def _report(self) -> None:
        if self.progress is not None:
            self.progress(self.done, self.total)
