"""Scores of a predictions file: every task, setting, scoring and metric, with intervals and floors."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ecellm import __version__
from ecellm.dataset.dataset import Dataset, split_setting
from ecellm.evaluation.bootstrap import DRAWS, LEVEL, intervals
from ecellm.evaluation.floors import Floor, best_floors
from ecellm.evaluation.predictions import read_predictions
from ecellm.evaluation.scoring import (
    SCORINGS,
    NotScorableError,
    PairScorer,
    Scoring,
    read_answers,
    score_answers,
)
from ecellm.files import whole_file
from ecellm.records import DOMAINS, Domain, Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import FreeText
from ecellm.tasks.task import Task

DIGITS = 6
SEED = 42
NO_PREDICTIONS = "no predictions"


def evaluate(
    predictions: Path, dataset: Dataset, *, seed: int = SEED, pairs: PairScorer | None = None
) -> dict[str, Any]:
    """Return the scores of a predictions file, in the form of SCORES.json.

    `scores` has one row per task, setting, scoring and metric; rows without predictions are counted in
    `missing`, and what cannot be scored at all is listed in `not_scored` with the reason. `pairs` compares
    free texts (None: BERTScore with the local MiniLM, loaded only where needed). Equal seeds give equal
    numbers, whatever the order of the lines. Raises ValueError as `read_predictions` does.
    """
    rows: dict[tuple[str, Domain], list[Sample]] = defaultdict(list)
    for domain in DOMAINS:
        for sample in dataset.samples("test", domain):
            rows[sample.task, domain].append(sample)
    tests = {sample.id: sample for samples in rows.values() for sample in samples}
    texts = read_predictions(predictions, tests)
    if pairs is None and any(isinstance(TASKS[task].answer, FreeText) for task, _ in texts):
        from ecellm.evaluation.bertscore import BertScorer

        pairs = BertScorer()
    scorer = _Scorer(pairs, seed)
    scores: list[dict[str, Any]] = []
    not_scored: list[dict[str, Any]] = []
    for setting in dataset.settings():
        domain, _ = split_setting(setting)
        for task in TASKS.values():
            samples = rows.get((task.name, domain), [])
            answered = texts.get((task.name, setting), {})
            place = {"task": task.name, "setting": setting}
            if samples and not answered:
                not_scored.append({**place, "missing": len(samples), "reason": NO_PREDICTIONS})
            if not answered:
                continue
            try:
                scores += scorer.rows(task, setting, samples, answered)
            except NotScorableError as error:
                not_scored.append({**place, "missing": len(samples) - len(answered), "reason": str(error)})
    return {
        "scores": scores,
        "not_scored": not_scored,
        "dataset": dataset.hash(),
        "seed": seed,
        "bootstrap": {"draws": DRAWS, "level": LEVEL},
        "version": __version__,
    }


class _Scorer:
    """Scores one task under one setting; floors are the same for settings that ask the same rows."""

    def __init__(self, pairs: PairScorer | None, seed: int):
        self.pairs, self.seed = pairs, seed
        self._floors: dict[tuple[str, Scoring, tuple[str, ...]], dict[str, Floor]] = {}

    def rows(
        self, task: Task, setting: str, samples: Sequence[Sample], texts: dict[str, str]
    ) -> list[dict[str, Any]]:
        """Return the score rows of the samples that have a text."""
        asked = [sample for sample in samples if sample.id in texts]
        said = [texts[sample.id] for sample in asked]
        found: list[dict[str, Any]] = []
        for scoring in SCORINGS:
            answers, unparsed = read_answers(task, scoring, asked, said)
            scored = score_answers(task, scoring, asked, answers, self.pairs)
            between = intervals(scored.stats, scored.figures, self.seed, task.name, setting)
            floors = self._best_floors(task, scoring, asked)
            for metric, value in scored.values().items():
                low, high = between[metric]
                row = {
                    "task": task.name,
                    "setting": setting,
                    "scoring": scoring,
                    "metric": metric,
                    "main": metric == task.metric,
                    "value": round(value, DIGITS),
                    "low": round(low, DIGITS),
                    "high": round(high, DIGITS),
                    "n": len(asked),
                    "unparsed": unparsed,
                    "missing": len(samples) - len(asked),
                    "floor": round(floors[metric].value, DIGITS),
                    "floor_name": floors[metric].name,
                }
                found.append(row if scored.model is None else {**row, "model": scored.model})
        return found

    def _best_floors(self, task: Task, scoring: Scoring, asked: Sequence[Sample]) -> dict[str, Floor]:
        key = (task.name, scoring, tuple(sample.id for sample in asked))
        if key not in self._floors:
            self._floors[key] = best_floors(task, scoring, asked, self.pairs, self.seed)
        return self._floors[key]


def write_scores(scores: dict[str, Any], path: Path) -> None:
    """Write SCORES.json, whole or not at all."""
    with whole_file(path) as beside:
        beside.write_text(json.dumps(scores, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
