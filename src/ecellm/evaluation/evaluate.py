"""Scores of a predictions file: every task, setting, scoring and metric, with intervals and floors."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ecellm import __version__
from ecellm.dataset.dataset import Dataset
from ecellm.evaluation.bootstrap import DRAWS, LEVEL, ends, resampled
from ecellm.evaluation.calibration import calibration, calibration_stats
from ecellm.evaluation.details import details
from ecellm.evaluation.floors import Floor, best_floors
from ecellm.evaluation.metrics import mean_figures
from ecellm.evaluation.predictions import Group, Said, read_bleurt, read_groups, tests_of
from ecellm.evaluation.scoring import (
    SCORINGS,
    NotScorableError,
    PairScorer,
    Scored,
    Scoring,
    read_answers,
    row_values,
    score_answers,
)
from ecellm.evaluation.slices import Slicer
from ecellm.files import whole_file
from ecellm.records import Sample
from ecellm.tasks.answers import FreeText, Triples
from ecellm.tasks.task import Task

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
) -> dict[str, Any]:
    """Return the scores of a predictions file, in the form of SCORES.json.

    `scores` has one row per task, setting, scoring and metric; rows without predictions are counted in
    `missing`, and what cannot be scored at all is listed in `not_scored` with the reason. `details` has what
    stands behind the figures of each task and setting (see `details.details`), and the calibration of choices
    that have a probability; `slices` the strict scores of
    parts of the rows, for each of `by` (see `Slicer`). `pairs` compares free texts (None: BERTScore with the
    local MiniLM, loaded only where needed); `bleurt` is a file of values that another program computed. Equal
    seeds give equal numbers, whatever the order of the lines. Raises ValueError as `read_predictions` does.
    """
    slicers = [Slicer(name, dataset) for name in dict.fromkeys(by)]
    groups = read_groups(predictions, dataset)
    scorer = _Scorer(pairs or pair_scorer(groups), seed)
    values = {} if bleurt is None else read_bleurt(bleurt, tests_of(dataset))
    made: dict[str, list[dict[str, Any]]] = {"scores": [], "not_scored": [], "details": [], "slices": []}
    for group in groups:
        place = {"task": group.task.name, "setting": group.setting}
        if not group.samples:
            made["not_scored"].append({**place, "missing": group.missing, "reason": NO_PREDICTIONS})
            continue
        try:
            rows, found = scorer.rows(group)
        except NotScorableError as error:
            made["not_scored"].append({**place, "missing": group.missing, "reason": str(error)})
            continue
        made["scores"] += [*rows, *scorer.bleurt_rows(group, values)]
        made["details"].append({**place, "n": len(group.samples), **found})
        for slicer in slicers:
            made["slices"] += scorer.slice_rows(group, slicer)
    if not slicers:
        del made["slices"]
    return {
        **made,
        "dataset": dataset.hash(),
        "seed": seed,
        "bootstrap": {"draws": DRAWS, "level": LEVEL},
        "version": __version__,
    }


def pair_scorer(groups: Collection[Group]) -> PairScorer | None:
    """Return BERTScore with the local MiniLM where a group of free texts was answered."""
    if not any(isinstance(group.task.answer, FreeText) and group.samples for group in groups):
        return None
    from ecellm.evaluation.bertscore import local_scorer

    return local_scorer()


def is_calibrated(group: Group) -> bool:
    """Say whether the group's answers are choices that have a probability."""
    is_choice = not isinstance(group.task.answer, Triples | FreeText)
    return is_choice and any(one.probability is not None for one in group.said)


class _Scorer:
    """Scores one task under one setting; floors are the same for settings that ask the same rows."""

    def __init__(self, pairs: PairScorer | None, seed: int):
        self.pairs, self.seed = pairs, seed
        self._floors: dict[tuple[str, Scoring, tuple[str, ...]], dict[str, Floor]] = {}

    def rows(
        self, group: Group, scorings: Sequence[Scoring] = SCORINGS
    ) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the score rows of the answered samples, and the details of their strict reading."""
        task, asked, texts = group.task, group.samples, [one.text for one in group.said]
        read = {scoring: read_answers(task, scoring, asked, texts) for scoring in scorings}
        scored = [score_answers(task, scoring, asked, read[scoring][0], self.pairs) for scoring in scorings]
        stats = [one.stats for one in scored]
        strict = scorings.index("strict")
        found = details(task, asked, group.said, read["strict"][0])
        if is_calibrated(group):
            stats.append(calibration_stats([one.probability for one in group.said], row_values(task, scored[strict])))
        # All are resampled at once: the same draws, drawn once.
        drawn = resampled(np.hstack(stats), self.seed, task.name, group.setting)
        parts = np.split(drawn, np.cumsum([part.shape[1] for part in stats])[:-1], axis=1)
        if is_calibrated(group):
            found["calibration"] = _rounded(calibration(stats[-1].sum(0), parts[-1]))
        rows: list[dict[str, Any]] = []
        for scoring, one, part in zip(scorings, scored, parts, strict=False):
            rows += _score_rows(group, scoring, one, part, read[scoring][1], self._best_floors(task, scoring, asked))
        return rows, found

    def bleurt_rows(self, group: Group, values: Mapping[tuple[str, str], float]) -> Iterator[dict[str, Any]]:
        """Yield the rows of BLEURT, the same under both scorings; what trivial answers get is not known."""
        known = [values[key] for sample in group.samples if (key := (sample.id, group.setting)) in values]
        if not isinstance(group.task.answer, FreeText) or not known:
            return
        scored = Scored(np.array([known, np.ones(len(known))]).T, partial(mean_figures, names=(BLEURT,)))
        sums = resampled(scored.stats, self.seed, group.task.name, group.setting)
        missing = group.missing + len(group.samples) - len(known)
        for scoring in SCORINGS:
            for row in _score_rows(group, scoring, scored, sums, 0, {}):
                yield {**row, "n": len(known), "missing": missing}

    def slice_rows(self, group: Group, slicer: Slicer) -> Iterator[dict[str, Any]]:
        """Yield the strict rows of each slice of a group: its main metric, and accuracy where it has that."""
        for name, places in slicer.slices(group.task, group.samples).items():
            samples = tuple(group.samples[place] for place in places)
            said: tuple[Said, ...] = tuple(group.said[place] for place in places)
            part = Group(group.task, group.setting, samples, said, 0)
            for row in self.rows(part, ["strict"])[0]:
                if row["main"] or row["metric"] == OF_SLICES:
                    yield {**row, "by": slicer.by, "slice": name}

    def _best_floors(self, task: Task, scoring: Scoring, asked: Sequence[Sample]) -> dict[str, Floor]:
        key = (task.name, scoring, tuple(sample.id for sample in asked))
        if key not in self._floors:
            self._floors[key] = best_floors(task, scoring, asked, self.pairs, self.seed)
        return self._floors[key]


def _score_rows(
    group: Group, scoring: Scoring, scored: Scored, sums: Any, unparsed: int, floors: Mapping[str, Floor]
) -> Iterator[dict[str, Any]]:
    """Yield a row per metric; `sums` are those of the bootstrap's draws, [draws, k]."""
    draws = scored.figures(sums)
    for metric, value in scored.values().items():
        low, high = ends(draws[metric])
        floor = floors.get(metric)
        row = {
            "task": group.task.name,
            "setting": group.setting,
            "scoring": scoring,
            "metric": metric,
            "main": metric == group.task.metric,
            "value": round(value, DIGITS),
            "low": round(low, DIGITS),
            "high": round(high, DIGITS),
            "n": len(group.samples),
            "unparsed": unparsed,
            "missing": group.missing,
            "floor": None if floor is None else round(floor.value, DIGITS),
            "floor_name": None if floor is None else floor.name,
        }
        model = scored.models.get(metric)
        yield row if model is None else {**row, "model": model}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def write_scores(scores: dict[str, Any], path: Path) -> None:
    """Write SCORES.json, whole or not at all."""
    with whole_file(path) as beside:
        text = json.dumps(scores, indent=1, ensure_ascii=False) + "\n"
        # A lone half of a surrogate pair, from an answer, stands as JSON's escape for it.
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")
