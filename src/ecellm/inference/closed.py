"""Choosing among the candidates of a closed question, the same way for every generator."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import logsumexp

from ecellm.inference.decide import decide
from ecellm.inference.generator import Reply
from ecellm.records import Sample
from ecellm.tasks import TASKS

#: Class offsets by task, fitted on validation data.
Offsets = Mapping[str, Sequence[float]]


def candidates_of(sample: Sample) -> tuple[str, ...] | None:
    """Return every text that may answer a sample, or None for an open question."""
    return TASKS[sample.task].answer.candidates(sample)


def closed_reply(sample: Sample, log_scores: Sequence[float], offsets: Offsets) -> Reply:
    """Return the likeliest candidate, after the task's offsets, with the probabilities of all.

    `log_scores` are the candidates' log-probabilities in the order of `candidates_of`; they need not be
    normalised. Offsets are for fixed classes: a row with another number of candidates goes without.
    """
    candidates = candidates_of(sample)
    assert candidates is not None and len(candidates) == len(log_scores), sample.id
    logs = np.asarray(log_scores, dtype=np.float64)
    assert np.isfinite(logs).all(), sample.id
    fitted = offsets.get(sample.task, ())
    shift = np.array(fitted) if len(fitted) == len(logs) else np.zeros(len(logs))
    shifted = logs - logsumexp(logs) + shift
    probabilities = np.exp(shifted - logsumexp(shifted)).tolist()
    best = int(decide(logs[None], shift)[0])
    return Reply(candidates[best], probabilities[best], dict(zip(candidates, probabilities, strict=True)))
