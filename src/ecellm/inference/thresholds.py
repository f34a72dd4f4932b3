"""Decision thresholds of fixed-class tasks, fitted on validation data for the metric that counts."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score

from ecellm.inference.decide import fit_offsets
from ecellm.models.examples import CHOICE, Example
from ecellm.models.prefix_lm import PrefixLM, make_batch
from ecellm.tasks import TASKS

Metric = Callable[[NDArray[np.int64], NDArray[np.int64]], float]

#: Fewer validation rows than this say too little about a threshold.
FEWEST_ROWS = 40


def _f1_of_yes(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
    return float(f1_score(labels, chosen, pos_label=0, zero_division=0.0))


def _macro_f1(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
    return float(f1_score(labels, chosen, average="macro", zero_division=0.0))


def _accuracy(labels: NDArray[np.int64], chosen: NDArray[np.int64]) -> float:
    return float(accuracy_score(labels, chosen))


METRICS: dict[str, Metric] = {"f1": _f1_of_yes, "macro_f1": _macro_f1, "accuracy": _accuracy}


@torch.no_grad()
def fit_thresholds(model: PrefixLM, examples: Sequence[Example], rows_at_once: int = 32) -> dict[str, list[float]]:
    """Return, per task whose classes are fixed, what to add to each class's log-probability."""
    model.eval()
    offsets: dict[str, list[float]] = {}
    for task in TASKS:
        rows = [example for example in examples if example.task == task and example.kind == CHOICE]
        metric = METRICS.get(TASKS[task].metric)
        if metric is None or len(rows) < FEWEST_ROWS:
            continue
        rows.sort(key=lambda example: len(example.ids))
        logs, labels = [], []
        for first in range(0, len(rows), rows_at_once):
            chosen = rows[first : first + rows_at_once]
            batch = make_batch(chosen, pad=0, device=model.device)
            states = model.states(batch)
            answers = model.answer_states(states, batch)
            scores = model.option_scores(states, answers, batch, list(range(len(chosen))))
            logs.append(scores.log_softmax(-1).cpu().numpy())
            labels += [example.label for example in chosen]
        offsets[task] = fit_offsets(np.concatenate(logs), np.array(labels), metric).tolist()
    return offsets
