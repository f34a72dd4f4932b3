"""What stands behind the figures of a task under a setting: unparsed texts, confusion, calibration, lengths."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ecellm.evaluation.metrics import triple_figures
from ecellm.evaluation.predictions import Said
from ecellm.evaluation.scoring import triple_counts
from ecellm.records import Sample
from ecellm.tasks.answers import FreeText, Triples, YesNo
from ecellm.tasks.task import Task

#: Unparsed texts that are named, and how much of each.
MOST_TEXTS, LONGEST_TEXT = 5, 200
DIGITS = 6


def details(task: Task, samples: Sequence[Sample], said: Sequence[Said], answers: Sequence[Any]) -> dict[str, Any]:
    """Return what the strict reading of some rows shows, JSON values by name; what does not apply is left out.

    unparsed_texts: the commonest, with rows. confusion: rows by label and answer (the last column: none).
    value_triples and none_triples (AVE): figures of the triples that have a value, and of those that say the text
    has none. words (AG): lengths.
    """
    found: dict[str, Any] = {"unparsed_texts": _unparsed(said, answers)}
    if task.answer.has_classes:
        found["confusion"] = _confusion(task, samples, answers)
    if isinstance(task.answer, Triples):
        found["value_triples"] = _triples(samples, answers, none=False)
        found["none_triples"] = _triples(samples, answers, none=True)
    if isinstance(task.answer, FreeText):
        texts = {"answers": [one.text for one in said], "references": [sample.output for sample in samples]}
        found["words"] = {name: _lengths(of) for name, of in texts.items()}
    return found


def label_of(task: Task, sample: Sample) -> str:
    """Return the class that a row of such a task has."""
    return sample.output.strip().lower() if isinstance(task.answer, YesNo) else sample.output.strip()[:1]


def _unparsed(said: Sequence[Said], answers: Sequence[Any]) -> list[dict[str, Any]]:
    texts = Counter(one.text[:LONGEST_TEXT] for one, answer in zip(said, answers, strict=True) if answer is None)
    ordered = sorted(texts.items(), key=lambda item: (-item[1], item[0]))
    return [{"text": text, "rows": rows} for text, rows in ordered[:MOST_TEXTS]]


def _confusion(task: Task, samples: Sequence[Sample], answers: Sequence[Any]) -> dict[str, Any]:
    labels = [label_of(task, sample) for sample in samples]
    classes = {*labels, *(answer for answer in answers if answer is not None)}
    names = sorted(classes, reverse=isinstance(task.answer, YesNo))
    counts = Counter(zip(labels, answers, strict=True))
    return {"classes": names, "rows": [[counts[label, answer] for answer in (*names, None)] for label in names]}


def _triples(samples: Sequence[Sample], answers: Sequence[Any], none: bool) -> dict[str, Any]:
    counts = [triple_counts(sample, answer or [], none) for sample, answer in zip(samples, answers, strict=True)]
    sums = np.array(counts, dtype=np.float64).sum(0)
    hits, answered, labelled = (int(value) for value in sums)
    figures = {name: round(float(value), DIGITS) for name, value in triple_figures(sums).items()}
    return {**figures, "hits": hits, "answered": answered, "labelled": labelled}


def _lengths(texts: Sequence[str]) -> dict[str, Any]:
    words = [len(text.split()) for text in texts]
    return {"mean": round(float(np.mean(words)), 1), "median": float(np.median(words)), "most": max(words)}
