"""Decision thresholds of fixed-class tasks, fitted on validation data for the metric that counts."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ecellm.evaluation.metrics import class_metric
from ecellm.inference.decide import fit_offsets
from ecellm.models.examples import CHOICE, Example
from ecellm.models.lexical.pooling import EVEN, pooled
from ecellm.models.prefix_lm import PrefixLM, make_batch
from ecellm.tasks import TASKS

#: Fewer validation rows than this say too little about a threshold.
FEWEST_ROWS = 40
#: Metrics of tasks whose answers are fixed classes.
CLASS_METRICS = ("accuracy", "f1", "macro_f1")


@torch.no_grad()
def fit_thresholds(
    model: PrefixLM, examples: Sequence[Example], pools: Mapping[str, Sequence[float]], rows_at_once: int = 32
) -> dict[str, list[float]]:
    """Return, per task whose classes are fixed, what to add to each class's log-probability."""
    model.eval()  # type: ignore[no-untyped-call]
    offsets: dict[str, list[float]] = {}
    for task in TASKS:
        rows = [example for example in examples if example.task == task and example.kind == CHOICE]
        if TASKS[task].metric not in CLASS_METRICS or len(rows) < FEWEST_ROWS:
            continue
        rows.sort(key=lambda example: len(example.ids))
        logs, labels = [], []
        for first in range(0, len(rows), rows_at_once):
            chosen = rows[first : first + rows_at_once]
            batch = make_batch(chosen, pad=0, device=model.device)
            states = model.states(batch)
            answers = model.answer_states(states, batch)
            scores = model.option_scores(states, answers, batch, list(range(len(chosen))))
            both = [
                pooled(row, one.lexical, pools.get(task, EVEN))
                for row, one in zip(scores.tolist(), chosen, strict=True)
            ]
            logs.append(torch.tensor(both).log_softmax(-1).numpy())
            labels += [example.label for example in chosen]
        metric = class_metric(TASKS[task].metric, logs[0].shape[1])
        offsets[task] = fit_offsets(np.concatenate(logs), np.array(labels), metric).tolist()
    return offsets
