"""The worst errors of each task and setting: what was asked, what was answered, what would have been right."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecellm.dataset.dataset import Asked, Dataset
from ecellm.evaluation.evaluate import SEED, pair_scorer
from ecellm.evaluation.predictions import Group, read_groups
from ecellm.evaluation.scoring import NotScorableError, PairScorer, read_answers, row_values, score_answers
from ecellm.files import whole_file
from ecellm.keys import keyed_hash

#: Of one task under one setting.
MOST = 20
DIGITS = 6


def worst_errors(
    predictions: Path,
    dataset: Dataset,
    *,
    most: int = MOST,
    seed: int = SEED,
    pairs: PairScorer | None = None,
    settings: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """Return the rows that are not wholly right, by setting and task, the worst first, at most `most` of each.

    Worst is what is worth least by the strict rules (see `row_values`), then what the model was surest of, then
    the smallest keyed hash. Each has id, task, setting, score (0 to 1), parsed, instruction, input, options,
    answer (the text), reference, and probability where there is one. `settings` keeps to some (None: all that
    were answered). Tasks that cannot be scored are left out. Raises ValueError as `read_predictions` does.
    """
    groups = [group for group in read_groups(predictions, dataset) if settings is None or group.setting in settings]
    pairs = pairs or pair_scorer(groups)
    found: list[dict[str, Any]] = []
    for group in (group for group in groups if group.samples):
        try:
            worst = _worst(group, pairs, most, seed)
        except NotScorableError:
            continue
        asked = {row.sample.id: row for row in dataset.view(group.setting, "test", [group.task.name])}
        found += [_error(group, place, value, parsed, asked) for place, value, parsed in worst]
    return found


def write_errors(errors: Sequence[dict[str, Any]], out: Path) -> None:
    """Write errors as JSON lines, whole or not at all."""
    with whole_file(out) as beside:
        text = "".join(json.dumps(error, ensure_ascii=False) + "\n" for error in errors)
        beside.write_text(text, encoding="utf-8", errors="backslashreplace")


def _worst(group: Group, pairs: PairScorer | None, most: int, seed: int) -> list[tuple[int, float, bool]]:
    """Return place, value and whether it was parsed, of the worst rows."""
    answers, _ = read_answers(group.task, "strict", group.samples, [said.text for said in group.said])
    values = row_values(group.task, score_answers(group.task, "strict", group.samples, answers, pairs))

    def order(place: int) -> tuple[float, float, str]:
        sure = group.said[place].probability or 0.0
        return round(values[place], DIGITS), -sure, keyed_hash(seed, "errors", group.samples[place].id)

    wrong = sorted(np.flatnonzero(values < 1 - 1e-6).tolist(), key=order)
    return [(place, float(values[place]), answers[place] is not None) for place in wrong[:most]]


def _error(group: Group, place: int, value: float, parsed: bool, asked: dict[str, Asked]) -> dict[str, Any]:
    sample, said = group.samples[place], group.said[place]
    row = {
        "id": sample.id,
        "task": group.task.name,
        "setting": group.setting,
        "score": round(value, DIGITS),
        "parsed": parsed,
        # An imported dataset may lack the row under this setting.
        "instruction": asked[sample.id].instruction if sample.id in asked else "",
        "input": sample.input,
        "options": sample.options,
        "answer": said.text,
        "reference": sample.output,
    }
    return row if said.probability is None else {**row, "probability": said.probability}
