"""The worst errors of each task and setting: the question, the answer and the reference."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from ecellm.data.dataset import Dataset
from ecellm.evaluation.evaluate import SEED, pair_scorer
from ecellm.evaluation.predictions import Group, read_groups
from ecellm.io.files import atomic_write
from ecellm.io.hashing import keyed_hash
from ecellm.tasks.scored import NotScorableError, PairScorer
from ecellm.tasks.scoring import read_answers, row_values, score_answers
from ecellm.types import Question

#: Of one task under one setting.
MOST = 20
DIGITS = 6


class WorstError(TypedDict):
    """A row that is not wholly right."""

    id: str
    task: str
    setting: str
    score: float
    """From 0 to 1."""
    parsed: bool
    instruction: str
    input: str
    options: str | None
    answer: str
    """The text."""
    reference: str
    probability: NotRequired[float]


def worst_errors(
    predictions: Path,
    dataset: Dataset,
    *,
    most: int = MOST,
    seed: int = SEED,
    pairs: PairScorer | None = None,
    settings: Collection[str] | None = None,
) -> list[WorstError]:
    """Return the rows that are not wholly right, by setting and task, the worst first, at most `most` of each.

    Rows are ordered by their strict value (see `row_values`), then the most confident first, then by keyed hash.
    `settings` restricts the settings (None: all with predictions). Tasks that cannot be scored are omitted. Raises
    DataError as `read_predictions` does.
    """
    groups = [group for group in read_groups(predictions, dataset) if settings is None or group.setting in settings]
    pairs = pairs or pair_scorer(group.task for group in groups if group.examples)
    found: list[WorstError] = []
    for group in (group for group in groups if group.examples):
        try:
            worst = _worst(group, pairs, most, seed)
        except NotScorableError:
            continue
        questions = {row.example.id: row for row in dataset.view(group.setting, "test", [group.task.name])}
        found += [_error(group, place, value, parsed, questions) for place, value, parsed in worst]
    return found


def write_errors(errors: Sequence[WorstError], out: Path) -> None:
    """Write errors as JSON lines, atomically."""
    with atomic_write(out) as temporary:
        text = "".join(json.dumps(error, ensure_ascii=False) + "\n" for error in errors)
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _worst(group: Group, pairs: PairScorer | None, most: int, seed: int) -> list[tuple[int, float, bool]]:
    """Return place, value and whether it was parsed, of the worst rows."""
    answers, _ = read_answers(
        group.task, "strict", group.examples, [predicted.text for predicted in group.predictions]
    )
    values = row_values(group.task, score_answers(group.task, "strict", group.examples, answers, pairs))

    def order(place: int) -> tuple[float, float, str]:
        sure = group.predictions[place].probability or 0.0
        return round(values[place], DIGITS), -sure, keyed_hash(seed, "errors", group.examples[place].id)

    wrong = sorted(np.flatnonzero(values < 1 - 1e-6).tolist(), key=order)
    return [(place, float(values[place]), answers[place] is not None) for place in wrong[:most]]


def _error(group: Group, place: int, value: float, parsed: bool, questions: dict[str, Question]) -> WorstError:
    example, predicted = group.examples[place], group.predictions[place]
    row = WorstError(
        id=example.id,
        task=group.task.name,
        setting=group.setting,
        score=round(value, DIGITS),
        parsed=parsed,
        # An imported dataset may lack the row under this setting.
        instruction=questions[example.id].instruction if example.id in questions else "",
        input=example.input,
        options=example.options,
        answer=predicted.text,
        reference=example.output,
    )
    if predicted.probability is not None:
        row["probability"] = predicted.probability
    return row
