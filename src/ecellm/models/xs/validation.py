"""How good XS is on validation rows: each task's loss, and its own metric, by which a checkpoint is kept.

A loss grows where a model is sure and wrong, even while more of its answers become right; users see the
metric.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from torch import Tensor

from ecellm.models.calibration.thresholds import CLASS_METRICS, enough_rows, score_with_thresholds
from ecellm.models.xs.examples import CHOICE, SPANS, EncodedExample, Span
from ecellm.models.xs.lexical.pool_fitting import ScoredCandidates, fit_pool
from ecellm.models.xs.lexical.pooling import EVEN, PoolWeights, pooled
from ecellm.models.xs.model import Batch, XSModel
from ecellm.models.xs.spans import value_spans
from ecellm.tasks import TASKS
from ecellm.tasks.metrics import class_metric


@dataclass(frozen=True)
class Outcome:
    """The loss and scores of one validation row."""

    example: EncodedExample
    loss: float
    scores: tuple[float, ...] = ()
    """One score a candidate."""
    spans: tuple[tuple[Span, ...], ...] = ()
    """The values found, by attribute."""

    @property
    def guess(self) -> float:
        """The approximate loss of guessing."""
        return self.example.guessing_loss()


def outcomes(model: XSModel, batch: Batch) -> list[Outcome]:
    """Return the outcomes of a batch's rows, in order."""
    states = model.states(batch)
    answers = model.answer_states(states, batch)
    losses = model.losses(states, answers, batch).tolist()
    choosing = [row for row, example in enumerate(batch.examples) if example.has_candidates]
    scores: dict[int, tuple[float, ...]] = {}
    if choosing:
        found = model.option_scores(states, answers, batch, choosing).tolist()
        for row, values in zip(choosing, found, strict=True):
            scores[row] = tuple(values[: len(batch.examples[row].tokens)])
    return [
        Outcome(example, losses[row], scores.get(row, ()), _spans(model, states, answers, batch, row))
        for row, example in enumerate(batch.examples)
    ]


def task_metrics(found: Sequence[Outcome]) -> dict[str, float]:
    """Return each task's metric, in [0, 1] or below where a model does worse than guessing; 0 where a loss is no
    number.

    Choices are made by the pooled scores. Fixed classes: the task's own metric, with thresholds where there are rows
    enough to fit them; changing options: the share of right answers; values: F1 of spans; rankings and free texts: 1
    minus the loss, as a share of the loss of guessing.
    """
    by_task: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in found:
        by_task[outcome.example.task].append(outcome)
    return {task: _metric(task, rows) for task, rows in by_task.items()}


def is_within_noise(score: float, highest: float, rows: int) -> bool:
    """Say whether a score is below another of the same number of rows by no more than a standard error.

    That is at most .5 / sqrt(rows), for a share of right answers of a half. Where the learning rate falls to 0, later
    checkpoints are better than few rows can tell.
    """
    return score >= highest - 0.5 / sqrt(max(1, rows))


def fit_pools(found: Sequence[Outcome]) -> dict[str, PoolWeights]:
    """Return, per task that has candidates and lexical scores, the weights of the stack's and of those, and the
    offsets of fixed classes where there are rows enough for thresholds."""
    by_task: dict[str, list[ScoredCandidates]] = defaultdict(list)
    for one in found:
        if one.example.lexical:
            order = one.example.order or [one.example.label]
            by_task[one.example.task].append(ScoredCandidates(one.scores, one.example.lexical, order))
    return {task: fit_pool(rows, _classes(task, rows)) for task, rows in by_task.items()}


def _classes(task: str, rows: Sequence[ScoredCandidates]) -> int | None:
    """Return the number of classes whose shares count; None where there are too few rows, or where the metric weighs
    classes evenly, as training does."""
    counts = {len(row.lexical) for row in rows}
    fixed = TASKS[task].answer.has_classes and len(counts) == 1
    even = TASKS[task].metric == "macro_f1"
    return counts.pop() if fixed and not even and enough_rows(len(rows), max(counts)) else None


def weighed_mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the mean over tasks; one without a weight counts as 1."""
    known = {task: weights.get(task) or 1.0 for task in values}
    return sum(known[task] * value for task, value in values.items()) / sum(known.values())


def _metric(task: str, rows: Sequence[Outcome]) -> float:
    if not np.isfinite([row.loss for row in rows]).all():
        return 0.0
    if rows[0].example.kind == SPANS:
        return _span_f1(rows)
    if rows[0].example.kind != CHOICE:
        return 1 - float(np.mean([row.loss / row.guess for row in rows]))
    labels = np.array([row.example.label for row in rows], dtype=np.int64)
    weights = fit_pools(rows).get(task, EVEN)
    scores = [pooled(row.scores, row.example.lexical, weights) for row in rows]
    classes = max(len(row) for row in scores)
    if TASKS[task].metric not in CLASS_METRICS or any(len(row) != classes for row in scores):
        return float(np.mean(np.array([int(np.argmax(row)) for row in scores]) == labels))
    logs = np.array([np.array(row) - np.logaddexp.reduce(row) for row in scores])
    return score_with_thresholds(logs, labels, class_metric(TASKS[task].metric, classes))


def _span_f1(rows: Sequence[Outcome]) -> float:
    right = given = wanted = 0
    for row in rows:
        for found, values in zip(row.spans, row.example.values, strict=True):
            right += len(set(found) & set(values))
            given += len(found)
            wanted += len(values)
    return 2 * right / max(1, given + wanted)


def _spans(model: XSModel, states: Tensor, answers: Tensor, batch: Batch, row: int) -> tuple[tuple[Span, ...], ...]:
    example = batch.examples[row]
    if example.kind != SPANS:
        return ()
    start, end = (scores.cpu() for scores in model.span_scores(states, answers, batch, row))
    return tuple(tuple(value_spans(first, last, example.fields)) for first, last in zip(start, end, strict=True))
