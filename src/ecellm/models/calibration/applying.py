"""Applying temperatures and decision thresholds to the candidates of a multiple-choice question, for every model.

Thresholds move decisions, temperatures move probabilities, and neither touches the other: the answer is the
candidate of the highest log-probability plus its task's offset; the probabilities are those of the log-probabilities
over the task's temperature. An answer that offsets bring about may therefore have a probability below another's: it
is then the better answer for the task's metric, not the likelier one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ecellm.errors import ModelError
from ecellm.models.base import Reply
from ecellm.models.decoding.candidates import candidates_of
from ecellm.tasks import TASKS
from ecellm.tasks.metrics import Floats
from ecellm.types import Example

Labels = NDArray[np.int64]
#: Class offsets by task, fitted on validation data (`fitting.py`).
Offsets = Mapping[str, Sequence[float]]
#: What a task's log-probabilities are divided by, fitted on validation data (`fitting.py`).
Temperatures = Mapping[str, float]

#: Stands for a probability of 0, such as that of a candidate that a server does not name.
SMALLEST = 1e-12
#: Two answers whose shares differ by less are as likely as far as arithmetic in fp32 can tell.
NEAR = 1e-4
#: The same of arithmetic in half precision or in integers.
NEAR_IN_HALF = 2e-2


def decide(log_probabilities: Floats, offsets: Floats) -> Labels:
    """Return the chosen class of each row, [n], of log-probabilities [n, classes]; the first wins ties."""
    return np.argmax(log_probabilities + offsets, axis=1).astype(np.int64)


def candidate_reply(
    example: Example,
    log_scores: Sequence[float],
    offsets: Offsets,
    temperatures: Temperatures | None = None,
    near: float = NEAR,
) -> Reply:
    """Return the best candidate after the task's offsets, with the calibrated probabilities of all.

    `log_scores` are the candidates' log-probabilities in the order of `candidates_of`; they need not be
    normalised. Offsets are for fixed classes: of a task without them, a row with another number of candidates goes
    without. The answer is a near-tie where, offsets included, another has a share of the whole within `near` of its
    own. Raises ModelError where a task's offsets are not one for each of its classes.
    """
    candidates = candidates_of(example)
    assert candidates is not None and len(candidates) == len(log_scores), example.id
    logs = log_softmax(np.asarray(log_scores, dtype=np.float64))
    assert np.isfinite(logs).all(), example.id
    fitted = offsets.get(example.task, ())
    if len(fitted) not in (0, len(logs)) and TASKS[example.task].answer.has_classes:
        raise ModelError(
            f"The model has {len(fitted)} decision thresholds for {example.task}, and {example.id} has {len(logs)} "
            "candidates: fit them again with `ecellm calibrate`."
        )
    shift = np.array(fitted) if len(fitted) == len(logs) else np.zeros(len(logs))
    best = int(decide(logs[None], shift)[0])
    shares = np.sort(softmax(logs + shift))
    probabilities = softmax(logs / (temperatures or {}).get(example.task, 1.0)).tolist()
    return Reply(
        candidates[best],
        probabilities[best],
        dict(zip(candidates, probabilities, strict=True)),
        near_tie=len(shares) > 1 and bool(shares[-1] - shares[-2] < near),
    )


def log_probabilities(reply: Reply) -> Floats | None:
    """Return the log-probabilities [candidates] that a reply was decided by, or None where it carries none.

    They are divided by the temperature that the reply's generator has.
    """
    if reply.scores is None:
        return None
    return log_softmax(np.log(np.maximum(list(reply.scores.values()), SMALLEST)))


def calibrated_reply(example: Example, reply: Reply, offsets: Offsets, temperatures: Temperatures) -> Reply:
    """Return the reply of a generator that knows neither offsets nor temperatures as it is with these.

    One without probabilities, or of a task that has neither, stays as it is.
    """
    logs = log_probabilities(reply)
    if logs is None or (example.task not in offsets and example.task not in temperatures):
        return reply
    return replace(candidate_reply(example, logs.tolist(), offsets, temperatures), usage=reply.usage)


def log_softmax(scores: Floats) -> Floats:
    """Return normalised log-probabilities [n] of scores [n]."""
    above = scores - scores.max()
    return np.asarray(above - np.log(np.exp(above).sum()), dtype=np.float64)


def softmax(scores: Floats) -> Floats:
    """Return probabilities [n] of scores [n]."""
    shares = np.exp(scores - scores.max())
    return np.asarray(shares / shares.sum(), dtype=np.float64)
