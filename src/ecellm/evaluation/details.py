"""What stands behind the figures of a task under a setting: unparsed texts, confusion, calibration, lengths."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ecellm.evaluation.predictions import PredictedText
from ecellm.tasks.task import Task
from ecellm.types import Example

#: Unparsed texts that are named, and how much of each.
MOST_TEXTS, LONGEST_TEXT = 5, 200


def details(
    task: Task, examples: Sequence[Example], predictions: Sequence[PredictedText], answers: Sequence[Any]
) -> dict[str, Any]:
    """Return what the strict reading of some rows shows, JSON values by name; what does not apply is omitted.

    unparsed_texts: the commonest, with rows. confusion: rows by label and answer (the last column: none).
    The answer type adds its own, such as the lengths of free texts.
    """
    found: dict[str, Any] = {"unparsed_texts": _unparsed(predictions, answers)}
    if task.answer.has_classes:
        found["confusion"] = _confusion(task, examples, answers)
    return {**found, **task.answer.details(examples, [one.text for one in predictions], list(answers))}


def _unparsed(predictions: Sequence[PredictedText], answers: Sequence[Any]) -> list[dict[str, Any]]:
    texts = Counter(
        one.text[:LONGEST_TEXT] for one, answer in zip(predictions, answers, strict=True) if answer is None
    )
    ordered = sorted(texts.items(), key=lambda item: (-item[1], item[0]))
    return [{"text": text, "rows": rows} for text, rows in ordered[:MOST_TEXTS]]


def _confusion(task: Task, examples: Sequence[Example], answers: Sequence[Any]) -> dict[str, Any]:
    labels = [task.answer.label(example) for example in examples]
    classes = {*labels, *(answer for answer in answers if answer is not None)}
    names = task.answer.ordered(classes)
    counts = Counter(zip(labels, answers, strict=True))
    return {"classes": names, "rows": [[counts[label, answer] for answer in (*names, None)] for label in names]}
