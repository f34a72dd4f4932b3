"""Probabilities that mean what they say: one temperature per task, fitted on validation data.

Temperature scaling (Guo et al. 2017, section 4.2) divides log-probabilities by one number, which leaves their order
as it is: no answer changes. Offsets, which do change answers, are added to log-probabilities as the model gives them.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from ecellm.dataset.dataset import Asked
from ecellm.inference.closed import candidates_of
from ecellm.inference.generator import Generator, Reply
from ecellm.inference.replies import replies_to
from ecellm.keys import keyed_hash
from ecellm.models.folder import read_facts, write_facts
from ecellm.tasks import TASKS

#: Fewer rows than this say too little; more than that say little more.
FEWEST_ROWS, MOST_ROWS = 40, 300
#: A temperature lies between e^-SPREAD and e^SPREAD.
SPREAD = 3.0
#: Below every probability that a float holds apart from 0.
TINY = 1e-300
BINS = 10

#: The log-probabilities of one row's candidates, and the right one's place.
Scored = tuple[Sequence[float], int]
#: Told (asked by now, rows in all).
Progress = Callable[[int, int], None]


def fit_temperature(rows: Sequence[Scored]) -> float:
    """Return the temperature under which the right answers are likeliest; rows may have different numbers of
    candidates."""
    logs = [np.asarray(scores, dtype=np.float64) for scores, _ in rows]
    right = [label for _, label in rows]

    def loss(spread: float) -> float:
        cold = math.exp(-spread)
        return float(sum(logsumexp(row * cold) - row[label] * cold for row, label in zip(logs, right, strict=True)))

    found = minimize_scalar(loss, bounds=(-SPREAD, SPREAD), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x)) if loss(float(found.x)) < loss(0.0) else 1.0


def calibration_error(probabilities: Sequence[float], right: Sequence[bool]) -> float:
    """Return the expected calibration error (Guo et al. 2017, section 2): answers in ten bins of equal width by
    probability; the mean distance between a bin's mean probability and its share of right answers, by rows."""
    places = np.minimum((np.asarray(probabilities) * BINS).astype(int), BINS - 1)
    distances = np.asarray(probabilities) - np.asarray(right, dtype=float)
    return float(sum(abs(distances[places == place].sum()) for place in range(BINS)) / len(distances))


def fit_temperatures(
    generator: Generator,
    asked: Sequence[Asked],
    known: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Ask validation rows and return a temperature for each closed task with enough of them.

    `known` are the temperatures that the generator has already.
    """
    rows: dict[str, list[Scored]] = {}
    for sample, reply in zip((one.sample for one in asked), replies_to(generator, asked, progress), strict=True):
        if not isinstance(reply, Reply) or reply.scores is None or sample.output not in reply.scores:
            continue
        before = (known or {}).get(sample.task, 1.0)
        logs = [before * math.log(max(score, TINY)) for score in reply.scores.values()]
        rows.setdefault(sample.task, []).append((logs, list(reply.scores).index(sample.output)))
    return {task: fit_temperature(found) for task, found in rows.items() if len(found) >= FEWEST_ROWS}


def calibration_rows(validation: Sequence[Asked], seed: int, tasks: Collection[str] | None = None) -> list[Asked]:
    """Return the rows to fit on: of each closed task that has enough, the first by keyed hash."""
    found: list[Asked] = []
    for task in TASKS:
        rows = [one for one in validation if one.sample.task == task and candidates_of(one.sample) is not None]
        if len(rows) >= FEWEST_ROWS and (tasks is None or task in tasks):
            rows.sort(key=lambda one: keyed_hash(seed, "calibration", one.sample.id))
            found += rows[:MOST_ROWS]
    return found


def calibrate(
    model: Path,
    validation: Sequence[Asked],
    seed: int,
    tasks: Collection[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Fit temperatures on validation rows and save them with the model; returns those fitted now.

    A task with too few rows keeps what it had.
    """
    from ecellm.inference.load import load_generator

    rows = calibration_rows(validation, seed, tasks)
    if not rows:
        return {}
    facts = read_facts(model)
    known: dict[str, float] = facts.get("temperatures", {})
    fitted = fit_temperatures(load_generator(model), rows, known, progress)
    write_facts(model, {**facts, "temperatures": {**known, **fitted}})
    return fitted
