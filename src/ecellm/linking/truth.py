"""How good the pairs are, where the true ones are known.

A pair that the table of true pairs does not list is counted as wrong: it should list all. Intervals are over the left
catalogue's records, drawn with replacement, with all pairs of each.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ecellm.errors import ConfigError, DataError
from ecellm.evaluation.bootstrap import intervals
from ecellm.io.tables.formats import open_table
from ecellm.io.tables.rows import Row
from ecellm.linking.assignment import Pairs
from ecellm.linking.candidates import Candidates
from ecellm.linking.records import Catalogue, cell_text
from ecellm.tasks.metrics import Figures, Floats

LEFT, RIGHT = "left_id", "right_id"
#: A column of labelled pairs, not all of which are true.
LABEL = "label"
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
    rejected: int = 0
    """True pairs of a record that was rejected: they count as missing."""
    unknown: int = 0
    """Pairs of the table that name a record which is not there; they do not count."""
    example: str = ""
    """The ids of the first of these."""

    @property
    def total(self) -> int:
        """Return how many pairs are to be found."""
        return len(self.pairs) + self.rejected


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
    rejected_pairs: int
    """Of these, those of a rejected record."""
    unknown_pairs: int
    """Beside these, those of a record that is not there."""
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


def read_truth(path: Path, left: Catalogue, right: Catalogue, within: bool) -> Truth:
    """Read the table of true pairs; `within` one catalogue their order does not matter.

    Raises DataError where it has no such columns, or a label, a row cannot be read or pairs a record with itself, or
    none of its pairs is of these records.
    """
    sides = [{record.key: place for place, record in enumerate(one.records)} for one in (left, right)]
    pairs: set[Place] = set()
    rejected: set[tuple[str, str]] = set()
    unknown: list[tuple[str, str]] = []
    for rows in open_table(path).chunks():
        for row in rows:
            one, other = _keys(path, row)
            if within and one == other:
                raise DataError(f"{path}, row {row.number} pairs {one} with itself: remove it.")
            if one in sides[0] and other in sides[1]:
                places = sides[0][one], sides[1][other]
                pairs.add((min(places), max(places)) if within else places)
            elif (one in sides[0] or one in left.rejected_keys) and (
                other in sides[1] or other in right.rejected_keys
            ):
                rejected.add((min(one, other), max(one, other)) if within else (one, other))
            else:
                unknown.append((one, other))
    example = " and ".join(map(repr, unknown[0])) if unknown else ""
    if not pairs:
        why = f", such as {example}, where records have ids such as {left.records[0].key!r}" if example else ""
        raise DataError(f"{path} has no pair of these records{why}.")
    return Truth(frozenset(pairs), len(rejected), len(unknown), example)


def _keys(path: Path, row: Row) -> tuple[str, str]:
    if row.fault:
        raise DataError(f"{path}, row {row.number}: {row.fault}")
    if LABEL in row.values:
        raise DataError(f"{path} has a column {LABEL}: give a table of the true pairs alone.")
    one, other = (cell_text(name, row.values.get(name)) for name in (LEFT, RIGHT))
    if one is None or other is None:
        raise DataError(f"{path}, row {row.number} has no {LEFT} and {RIGHT}: both are texts or numbers.")
    return one, other


def threshold_for(precision: float, assigned: Pairs, truth: Truth) -> float:
    """Return the lowest threshold at which the assigned pairs, likeliest first, have a precision; raises ConfigError
    where none has."""
    right = _right(assigned, truth)
    reached = np.cumsum(right) / np.arange(1, len(right) + 1)
    # A threshold takes all pairs of an equal probability.
    last = np.append(assigned.probability[:-1] != assigned.probability[1:], True)[: len(right)]
    enough = np.flatnonzero(last & (reached >= precision))
    if not len(enough):
        raise ConfigError(f"No threshold gives a precision of {precision:g} on the true pairs: name a lower one.")
    return float(assigned.probability[enough[-1]])


def evidence(candidates: Candidates, truth: Truth, threshold: float, assigned: Pairs, records: int) -> Evidence:
    """Return the quality of the candidates, and of the assigned pairs from a threshold on; `records` on the left."""
    pairs = above(assigned, threshold)
    stats = _counts(pairs, truth, records)
    values = {name: float(value[0]) for name, value in _figures(stats.sum(axis=0, keepdims=True)).items()}
    ranges = intervals(stats, _figures, SEED, "link")
    figures = {name: Figure(value, *ranges[name]) for name, value in values.items()}
    curve = [_point(at, above(assigned, at), truth) for at in THRESHOLDS]
    found = _recall_by_rank(candidates, truth)
    return Evidence(truth.total, truth.rejected, truth.unknown, found, threshold, len(pairs), curve=curve, **figures)


def above(pairs: Pairs, threshold: float) -> Pairs:
    """Return the pairs of at least a probability."""
    return pairs.where(pairs.probability >= threshold)


def _right(pairs: Pairs, truth: Truth) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    found = zip(pairs.left.tolist(), pairs.right.tolist(), strict=True)
    return np.fromiter((pair in truth.pairs for pair in found), np.bool_, len(pairs))


def _counts(pairs: Pairs, truth: Truth, records: int) -> Floats:
    """Return by left record [records, 3] the pairs that are right, those that are wrong, and the missing ones; true
    pairs of rejected records stand below."""
    stats = np.zeros((records + truth.rejected, 3))
    stats[records:, 2] = 1
    right = _right(pairs, truth)
    np.add.at(stats, (pairs.left, np.where(right, 0, 1)), 1)
    np.add.at(stats[:, 2], np.array([one for one, _ in truth.pairs]), 1)
    stats[:records, 2] -= stats[:records, 0]
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
    sums = np.array([[right, len(pairs) - right, truth.total - right]], dtype=np.float64)
    values = {name: float(value[0]) for name, value in _figures(sums).items()}
    return Point(threshold, pairs=len(pairs), **values)


def _recall_by_rank(candidates: Candidates, truth: Truth) -> dict[int, float]:
    places = zip(candidates.left.tolist(), candidates.right.tolist(), strict=True)
    rank = dict(zip(places, candidates.rank.tolist(), strict=True))
    found = np.array([rank[pair] for pair in truth.pairs if pair in rank])
    most = int(candidates.rank.max(initial=0)) + 1
    ranks = sorted({*(one for one in RANKS if one < most), most})
    return {at: float((found < at).sum() / truth.total) for at in ranks}
