"""Scores of a predictions file: every task, setting, scoring and metric, with intervals and trivial baselines."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from ecellm import __version__
from ecellm.data.dataset import Dataset
from ecellm.errors import DataError
from ecellm.evaluation.bootstrap import DRAWS, LEVEL, ends, resampled
from ecellm.evaluation.calibration_error import Calibration, calibration, calibration_stats
from ecellm.evaluation.details import details
from ecellm.evaluation.predictions import Group, PredictedText, read_bleurt, read_groups, tests_of
from ecellm.evaluation.score_rows import GroupDetails, NotScored, ScoreRow, Scores
from ecellm.evaluation.slices import Slicer
from ecellm.evaluation.trivial_baselines import TrivialScore, best_trivial_scores
from ecellm.inference.predict import record_file
from ecellm.io.files import atomic_write
from ecellm.io.journal import read_record
from ecellm.tasks.metrics import Floats, mean_figures
from ecellm.tasks.scored import SCORINGS, NotScorableError, PairScorer, Scored, Scoring
from ecellm.tasks.scoring import read_answers, row_values, score_answers
from ecellm.tasks.task import Task
from ecellm.types import Example

DIGITS = 6
SEED = 42
NO_PREDICTIONS = "no predictions"
#: What a slice is scored by: the main metric of its task, and this one where the task has it.
OF_SLICES = "accuracy"
BLEURT = "bleurt"


def evaluate(
    predictions: Path,
    dataset: Dataset,
    *,
    seed: int = SEED,
    pairs: PairScorer | None = None,
    by: Sequence[str] = (),
    bleurt: Path | None = None,
) -> Scores:
    """Return the scores of a predictions file, in the form of SCORES.json.

    `scores` has one row per task, setting, scoring and metric; rows without predictions are counted in
    `missing`, and what cannot be scored at all is listed in `not_scored` with the reason. `details` has what
    stands behind the figures of each task and setting (see `details.details`), and the calibration of choices
    that have a probability; `slices` the strict scores of
    parts of the rows, for each of `by` (see `Slicer`). `pairs` compares free texts (None: BERTScore with the
    local MiniLM, loaded only where needed); `bleurt` is a file of values that another program computed. Equal
    seeds give equal numbers, whatever the order of the lines. Raises DataError as `read_predictions` does, and where
    nothing can be scored.
    """
    slicers = [Slicer(name, dataset) for name in dict.fromkeys(by)]
    groups = read_groups(predictions, dataset)
    scorer = _Scorer(pairs or pair_scorer(group.task for group in groups if group.examples), seed)
    values = {} if bleurt is None else read_bleurt(bleurt, tests_of(dataset))
    made = Scores(
        scores=[],
        not_scored=[],
        details=[],
        dataset=dataset.hash(),
        seed=seed,
        bootstrap={"draws": DRAWS, "level": LEVEL},
        version=__version__,
    )
    if isinstance(model := (read_record(record_file(predictions)) or {}).get("model"), str):
        made["model"] = model
    slices: list[ScoreRow] = []
    for group in groups:
        if not group.examples:
            made["not_scored"].append(_not_scored(group, NO_PREDICTIONS))
            continue
        try:
            rows, found = scorer.rows(group)
        except NotScorableError as error:
            made["not_scored"].append(_not_scored(group, str(error)))
            continue
        made["scores"] += [*rows, *scorer.bleurt_rows(group, values)]
        made["details"].append({"task": group.task.name, "setting": group.setting, "n": len(group.examples), **found})
        for slicer in slicers:
            slices += scorer.slice_rows(group, slicer)
    if not made["scores"]:
        reasons = dict.fromkeys(one["reason"] for one in made["not_scored"] if one["reason"] != NO_PREDICTIONS)
        raise DataError(f"Nothing in {predictions} can be scored. {' '.join(reasons)}".rstrip())
    return {**made, "slices": slices} if slicers else made


def _not_scored(group: Group, reason: str) -> NotScored:
    return NotScored(task=group.task.name, setting=group.setting, missing=group.missing, reason=reason)


def pair_scorer(tasks: Iterable[Task]) -> PairScorer | None:
    """Return BERTScore with the local MiniLM where one of the tasks has answers that a model compares."""
    if not any(task.answer.is_compared for task in tasks):
        return None
    from ecellm.evaluation.bertscore import local_scorer

    return local_scorer()


def is_calibrated(group: Group) -> bool:
    """Say whether the group's answers are choices that have a probability."""
    return group.task.answer.is_multiple_choice and any(one.probability is not None for one in group.predictions)


class _Scorer:
    """Scores one task under one setting; settings with the same rows share the trivial baselines."""

    def __init__(self, pairs: PairScorer | None, seed: int):
        self.pairs, self.seed = pairs, seed
        self._trivial: dict[tuple[str, Scoring, tuple[str, ...]], dict[str, TrivialScore]] = {}

    def rows(self, group: Group, scorings: Sequence[Scoring] = SCORINGS) -> tuple[list[ScoreRow], GroupDetails]:
        """Return the score rows of the answered examples, and the details of their strict reading."""
        task, examples = group.task, group.examples
        texts = [one.text for one in group.predictions]
        read = {scoring: read_answers(task, scoring, examples, texts) for scoring in scorings}
        scored = [score_answers(task, scoring, examples, read[scoring][0], self.pairs) for scoring in scorings]
        stats = [one.stats for one in scored]
        strict = scorings.index("strict")
        found = details(task, examples, group.predictions, read["strict"][0])
        if is_calibrated(group):
            stats.append(
                calibration_stats([one.probability for one in group.predictions], row_values(task, scored[strict]))
            )
        # All are resampled at once: the same draws, drawn once.
        drawn = resampled(np.hstack(stats), self.seed, task.name, group.setting)
        parts = np.split(drawn, np.cumsum([part.shape[1] for part in stats])[:-1], axis=1)
        if is_calibrated(group):
            found["calibration"] = cast(Calibration, _rounded(calibration(stats[-1].sum(0), parts[-1])))
        rows: list[ScoreRow] = []
        for scoring, one, part in zip(scorings, scored, parts, strict=False):
            rows += _score_rows(
                group, scoring, one, part, read[scoring][1], self._trivial_scores(task, scoring, examples)
            )
        return rows, found

    def bleurt_rows(self, group: Group, values: Mapping[tuple[str, str], float]) -> Iterator[ScoreRow]:
        """Yield the rows of BLEURT, the same under both scorings; the values of trivial baselines are not known."""
        known = [values[key] for example in group.examples if (key := (example.id, group.setting)) in values]
        if not group.task.answer.is_compared or not known:
            return
        scored = Scored(np.array([known, np.ones(len(known))]).T, partial(mean_figures, names=(BLEURT,)))
        sums = resampled(scored.stats, self.seed, group.task.name, group.setting)
        missing = group.missing + len(group.examples) - len(known)
        for scoring in SCORINGS:
            for row in _score_rows(group, scoring, scored, sums, 0, {}):
                yield {**row, "n": len(known), "missing": missing}

    def slice_rows(self, group: Group, slicer: Slicer) -> Iterator[ScoreRow]:
        """Yield the strict rows of each slice of a group: its main metric, and accuracy where it has that."""
        for name, places in slicer.slices(group.task, group.examples).items():
            examples = tuple(group.examples[place] for place in places)
            predictions: tuple[PredictedText, ...] = tuple(group.predictions[place] for place in places)
            part = Group(group.task, group.setting, examples, predictions, 0)
            for row in self.rows(part, ["strict"])[0]:
                if row["main"] or row["metric"] == OF_SLICES:
                    yield {**row, "by": slicer.by, "slice": name}

    def _trivial_scores(self, task: Task, scoring: Scoring, examples: Sequence[Example]) -> dict[str, TrivialScore]:
        key = (task.name, scoring, tuple(example.id for example in examples))
        if key not in self._trivial:
            self._trivial[key] = best_trivial_scores(task, scoring, examples, self.pairs, self.seed)
        return self._trivial[key]


def _score_rows(
    group: Group, scoring: Scoring, scored: Scored, sums: Floats, unparsed: int, trivial: Mapping[str, TrivialScore]
) -> Iterator[ScoreRow]:
    """Yield a row per metric; `sums` are those of the bootstrap's draws, [draws, k]."""
    draws = scored.figures(sums)
    for metric, value in scored.values().items():
        low, high = ends(draws[metric])
        baseline = trivial.get(metric)
        row = ScoreRow(
            task=group.task.name,
            setting=group.setting,
            scoring=scoring,
            metric=metric,
            main=metric == group.task.metric,
            value=round(value, DIGITS),
            low=round(low, DIGITS),
            high=round(high, DIGITS),
            n=len(group.examples),
            unparsed=unparsed,
            missing=group.missing,
            floor=None if baseline is None else round(baseline.value, DIGITS),
            floor_name=None if baseline is None else baseline.name,
        )
        model = scored.models.get(metric)
        yield row if model is None else {**row, "model": model}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def write_scores(scores: Scores, path: Path) -> None:
    """Write SCORES.json atomically."""
    with atomic_write(path) as temporary:
        text = json.dumps(scores, indent=1, ensure_ascii=False) + "\n"
        # A lone half of a surrogate pair, from an answer, stands as JSON's escape for it.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
