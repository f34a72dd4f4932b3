"""How good the pairs are, where the true ones are known.

A pair that the table of true pairs does not list is counted as wrong: it should list all. Intervals are over the left
catalogue's records, drawn with replacement, with all pairs of each.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ecellm.errors import ConfigError, DataError
from ecellm.evaluation.bootstrap import intervals
from ecellm.io.tables.cells import text_of
from ecellm.io.tables.formats import open_table
from ecellm.linking.assignment import Pairs
from ecellm.linking.candidates import Candidates
from ecellm.linking.records import Record
from ecellm.tasks.metrics import Figures, Floats

LEFT, RIGHT = "left_id", "right_id"
#: The ranks at which the candidates' recall is reported.
RANKS = (1, 3, 5, 10, 20, 50)
#: Points of the curve.
THRESHOLDS = tuple(round(step / 50, 2) for step in range(1, 50))
SEED = 42
Place = tuple[int, int]


@dataclass(frozen=True)
class Truth:
    """The true pairs, by the places of their records."""

    pairs: frozenset[Place]
    unknown: int
    """Pairs of the table that name a record which is not there; they are not among `pairs`."""


@dataclass(frozen=True)
class Figure:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Point:
    """The quality of the pairs above a threshold."""

    threshold: float
    precision: float
    recall: float
    f1: float
    pairs: int


@dataclass(frozen=True)
class Evidence:
    """What is known of a run's quality."""

    true_pairs: int
    unknown_pairs: int
    candidate_recall: dict[int, float]
    """By rank: the part of the true pairs that are among so many candidates of the left record."""
    threshold: float
    pairs: int
    precision: Figure
    recall: Figure
    f1: Figure
    curve: list[Point]

    def as_json(self) -> dict[str, object]:
        """Return it as plain values."""
        return asdict(self)


def read_truth(path: Path, left: Sequence[Record], right: Sequence[Record], within: bool) -> Truth:
    """Read the table of true pairs; `within` one catalogue their order does not matter.

    Raises DataError where it has no such columns, a row cannot be read, or none of its pairs is of these records.
    """
    mine = {record.key: place for place, record in enumerate(left)}
    others = {record.key: place for place, record in enumerate(right)}
    pairs: set[Place] = set()
    unknown = 0
    for rows in open_table(path).chunks():
        for row in rows:
            if row.fault:
                raise DataError(f"{path}, row {row.number}: {row.fault}")
            keys = [text_of(row.values.get(name)) for name in (LEFT, RIGHT)]
            if None in keys:
                raise DataError(f"{path}, row {row.number} has no {LEFT} and {RIGHT}: both are texts or numbers.")
            places = mine.get(str(keys[0]).strip()), others.get(str(keys[1]).strip())
            if places[0] is None or places[1] is None:
                unknown += 1
            else:
                pairs.add(_ordered((places[0], places[1]), within))
    if not pairs:
        raise DataError(f"{path} has no pair of these records ({unknown:,} name records that are not there).")
    return Truth(frozenset(pairs), unknown)


def threshold_for(precision: float, scored: Pairs, truth: Truth, chosen: Callable[[float], Pairs]) -> float:
    """Return the lowest threshold from which on the chosen pairs have a precision; raises ConfigError where none
    has."""
    for threshold in sorted({0.0, *THRESHOLDS, *np.unique(scored.probability.round(6)).tolist()[-200:]}):
        pairs = chosen(threshold)
        if len(pairs) and _right(pairs, truth).mean() >= precision:
            return threshold
    raise ConfigError(f"No threshold gives a precision of {precision:g} on the true pairs: name a lower one.")


def evidence(
    candidates: Candidates, truth: Truth, threshold: float, chosen: Callable[[float], Pairs], records: int
) -> Evidence:
    """Return the quality of the candidates, and of the pairs that `chosen` gives for a threshold."""
    pairs = chosen(threshold)
    stats = _counts(pairs, truth, records)
    values = {name: float(value[0]) for name, value in _figures(stats.sum(axis=0, keepdims=True)).items()}
    ranges = intervals(stats, _figures, SEED, "link")
    figures = {name: Figure(value, *ranges[name]) for name, value in values.items()}
    curve = [_point(at, chosen(at), truth) for at in THRESHOLDS]
    found = _recall_by_rank(candidates, truth)
    return Evidence(len(truth.pairs), truth.unknown, found, threshold, len(pairs), curve=curve, **figures)


def _ordered(pair: Place, within: bool) -> Place:
    return (min(pair), max(pair)) if within else pair


def _right(pairs: Pairs, truth: Truth) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    return np.fromiter((pair in truth.pairs for pair in found), np.bool_, len(pairs))


def _counts(pairs: Pairs, truth: Truth, records: int) -> Floats:
    """Return by left record [records, 3] the pairs that are right, those that are wrong, and the missing ones."""
    stats = np.zeros((records, 3))
    right = _right(pairs, truth)
    np.add.at(stats, (pairs.left, np.where(right, 0, 1)), 1)
    np.add.at(stats[:, 2], np.array([one for one, _ in truth.pairs]), 1)
    stats[:, 2] -= stats[:, 0]
    return stats


def _figures(sums: Floats) -> Figures:
    right, wrong, absent = sums.T
    return {
        "precision": right / np.maximum(right + wrong, 1),
        "recall": right / np.maximum(right + absent, 1),
        "f1": 2 * right / np.maximum(2 * right + wrong + absent, 1),
    }


def _point(threshold: float, pairs: Pairs, truth: Truth) -> Point:
    right = int(_right(pairs, truth).sum())
    sums = np.array([[right, len(pairs) - right, len(truth.pairs) - right]], dtype=np.float64)
    values = {name: float(value[0]) for name, value in _figures(sums).items()}
    return Point(threshold, pairs=len(pairs), **values)


def _recall_by_rank(candidates: Candidates, truth: Truth) -> dict[int, float]:
    begins = np.searchsorted(candidates.left, candidates.left, side="left")
    ranks = (np.arange(len(candidates.left)) - begins).tolist()
    rank = dict(zip(zip(candidates.left.tolist(), candidates.right.tolist(), strict=True), ranks, strict=True))
    found = np.array([rank.get(pair, RANKS[-1]) for pair in truth.pairs])
    most = max(ranks, default=0) + 1
    return {at: float((found < at).mean()) for at in sorted({*(one for one in RANKS if one < most), most})}
