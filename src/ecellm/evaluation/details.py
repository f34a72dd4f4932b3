"""What stands behind the figures of a task under a setting: unparsed texts, confusion, calibration, lengths."""

from collections import Counter
from collections.abc import Sequence

from ecellm.evaluation.predictions import PredictedText
from ecellm.evaluation.score_rows import Confusion, GroupDetails, UnparsedText
from ecellm.tasks.task import Task
from ecellm.types import Example

#: Unparsed texts that are named, and how much of each.
MOST_TEXTS, LONGEST_TEXT = 5, 200


def details(
    task: Task, examples: Sequence[Example], predictions: Sequence[PredictedText], answers: Sequence[object]
) -> GroupDetails:
    """Return what the strict reading of some rows shows; what does not apply is omitted.

    The answer type adds its own, such as the lengths of free texts.
    """
    found = GroupDetails(unparsed_texts=_unparsed(predictions, answers))
    if task.answer.has_classes:
        found["confusion"] = _confusion(task, examples, answers)
    return {**found, **task.answer.details(examples, [one.text for one in predictions], answers)}


def _unparsed(predictions: Sequence[PredictedText], answers: Sequence[object]) -> list[UnparsedText]:
    texts = Counter(
        one.text[:LONGEST_TEXT] for one, answer in zip(predictions, answers, strict=True) if answer is None
    )
    ordered = sorted(texts.items(), key=lambda item: (-item[1], item[0]))
    return [{"text": text, "rows": rows} for text, rows in ordered[:MOST_TEXTS]]


def _confusion(task: Task, examples: Sequence[Example], answers: Sequence[object]) -> Confusion:
    labels = [task.answer.label(example) for example in examples]
    classes = {*labels, *(answer for answer in answers if isinstance(answer, str))}
    names = task.answer.ordered(classes)
    counts = Counter(zip(labels, answers, strict=True))
    return {"classes": names, "rows": [[counts[label, answer] for answer in (*names, None)] for label in names]}
