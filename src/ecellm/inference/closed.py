"""Choosing among the candidates of a multiple-choice question, the same way for every generator.

Thresholds move decisions, temperatures move probabilities, and neither touches the other: the answer is the
candidate of the highest log-probability plus its task's offset; the probabilities are those of the log-probabilities
over the task's temperature. An answer that offsets bring about may therefore have a probability below another's: it
is then the better answer for the task's metric, not the likelier one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from scipy.special import log_softmax, softmax

from ecellm.inference.generator import Reply
from ecellm.inference.thresholds import Floats, decide
from ecellm.records import Sample
from ecellm.tasks import TASKS

#: Class offsets by task, fitted on validation data (`policy.py`).
Offsets = Mapping[str, Sequence[float]]
#: What a task's log-probabilities are divided by, fitted on validation data (`policy.py`).
Temperatures = Mapping[str, float]

#: Stands for a probability of 0, such as that of a candidate that a server does not name.
SMALLEST = 1e-12
#: Two answers whose shares differ by less are as likely as far as arithmetic in fp32 can tell.
NEAR = 1e-4
#: The same of arithmetic in half precision or in integers.
NEAR_IN_HALF = 2e-2


def candidates_of(sample: Sample) -> tuple[str, ...] | None:
    """Return every text that may answer a sample, or None for a free-form question."""
    return TASKS[sample.task].answer.candidates(sample)


def right_candidate(sample: Sample) -> int | None:
    """Return the place of a sample's right answer among its candidates, or None where it is none of them."""
    answer = TASKS[sample.task].answer
    known = answer.parse(sample.output, sample)
    names = [answer.parse(text, sample) for text in candidates_of(sample) or ()]
    return names.index(known) if known is not None and known in names else None


def closed_reply(
    sample: Sample,
    log_scores: Sequence[float],
    offsets: Offsets,
    temperatures: Temperatures | None = None,
    near: float = NEAR,
) -> Reply:
    """Return the best candidate after the task's offsets, with the calibrated probabilities of all.

    `log_scores` are the candidates' log-probabilities in the order of `candidates_of`; they need not be
    normalised. Offsets are for fixed classes: a row with another number of candidates goes without. The answer is a
    near-tie where, offsets included, another has a share of the whole within `near` of its own.
    """
    candidates = candidates_of(sample)
    assert candidates is not None and len(candidates) == len(log_scores), sample.id
    logs = log_softmax(np.asarray(log_scores, dtype=np.float64))
    assert np.isfinite(logs).all(), sample.id
    fitted = offsets.get(sample.task, ())
    shift = np.array(fitted) if len(fitted) == len(logs) else np.zeros(len(logs))
    best = int(decide(logs[None], shift)[0])
    shares = np.sort(softmax(logs + shift))
    probabilities = softmax(logs / (temperatures or {}).get(sample.task, 1.0)).tolist()
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
    return np.asarray(log_softmax(np.log(np.maximum(list(reply.scores.values()), SMALLEST))), dtype=np.float64)


def decided_again(sample: Sample, reply: Reply, offsets: Offsets, temperatures: Temperatures) -> Reply:
    """Return the reply of a generator that knows neither offsets nor temperatures as it is with these.

    One without probabilities, or of a task that has neither, stays as it is.
    """
    logs = log_probabilities(reply)
    if logs is None or (sample.task not in offsets and sample.task not in temperatures):
        return reply
    return replace(closed_reply(sample, logs.tolist(), offsets, temperatures), usage=reply.usage)
