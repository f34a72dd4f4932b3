"""Two models side by side: what differs by task and setting, and whether chance alone could do it.

With the answers of both to the same rows the test is paired: approximate randomisation (Noreen 1989; for such
figures as F1, Yeh 2000), where the two answers to a row change places by the toss of a coin, a few thousand
times over. With stored scores alone it is a z-test on the widths of their intervals, which needs larger
differences. Either way p-values are Holm's (1979), over everything compared at once.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_type_hints

import numpy as np
from scipy.stats import norm

from ecellm.errors import DataError
from ecellm.evaluation.bootstrap import LEVEL, ends, resampled
from ecellm.evaluation.evaluate import pair_scorer
from ecellm.evaluation.predictions import Group, read_groups
from ecellm.evaluation.runs import ScoredRun, main_rows
from ecellm.evaluation.score_rows import ScoreRow
from ecellm.io.files import write_text
from ecellm.io.hashing import keyed_hash
from ecellm.io.json_files import read_json
from ecellm.io.json_types import json_fault
from ecellm.tasks.metrics import Floats
from ecellm.tasks.scored import NotScorableError, PairScorer, Scored, Scoring
from ecellm.tasks.scoring import read_answers, score_answers

#: Tosses of all rows' coins.
TOSSES = 5_000
TOSSES_AT_ONCE = 500
#: A difference is beyond noise where its adjusted p-value is below this.
ALPHA = 1 - LEVEL
#: The share of differences of the detectable size that a test of this level would find.
POWER = 0.8

Verdict = Literal["better", "worse", "within noise"]


@dataclass(frozen=True)
class Difference:
    """How the main metric of a task under a setting differs: `after` minus `before`."""

    task: str
    setting: str
    metric: str
    before: float
    after: float
    low: float
    high: float
    """The 95 % interval of the difference."""
    n: int
    """Rows that both answered; of unpaired scores, the fewer."""
    left_out: int
    """Rows that only one of the two answered."""
    detectable: float
    """The smallest true difference that would be found four times in five, given these rows."""
    p: float
    adjusted: float = 1.0
    """The p-value after Holm's correction."""

    @property
    def change(self) -> float:
        """Return the difference."""
        return self.after - self.before

    @property
    def verdict(self) -> Verdict:
        """Say whether the difference is beyond noise, and which way."""
        if self.adjusted >= ALPHA:
            return "within noise"
        return "better" if self.change > 0 else "worse"


def compare_runs(
    before: ScoredRun, after: ScoredRun, seed: int, scoring: Scoring = "strict", pairs: PairScorer | None = None
) -> tuple[list[Difference], bool]:
    """Return the differences of two runs, and whether they come of the same rows, answer by answer.

    Raises DataError where the runs are of different datasets, or share nothing that can be compared.
    """
    hashes = before.dataset_hash(), after.dataset_hash()
    if None not in hashes and hashes[0] != hashes[1]:
        raise DataError(f"{before.path} and {after.path} are of different datasets: no row is in both.")
    dataset = before.dataset or after.dataset
    if before.predictions is None or after.predictions is None or dataset is None:
        return compare_scores(before.rows(), after.rows(), scoring), False
    groups = read_groups(before.predictions, dataset), read_groups(after.predictions, dataset)
    pairs = pairs or pair_scorer(group.task for group in (*groups[0], *groups[1]) if group.examples)
    return compare_answers(*groups, seed, pairs, scoring), True


def not_compared(
    before: ScoredRun, after: ScoredRun, differences: Sequence[Difference], scoring: Scoring = "strict"
) -> dict[str, list[str]]:
    """Return the settings and tasks without a difference, in words, by the reason."""
    compared = {(found.task, found.setting) for found in differences}
    places = before.places(scoring), after.places(scoring)
    found: dict[str, dict[str, list[str]]] = {}
    for place in [*places[0], *(place for place in places[1] if place not in places[0])]:
        if place in compared:
            continue
        lacks = [run.name for run, known in zip((before, after), places, strict=True) if place not in known]
        why = f"{lacks[0]} has no answers" if lacks else "no row, or no scoring model, in common"
        found.setdefault(why, {}).setdefault(place[1], []).append(place[0])
    return {
        why: [f"{setting} ({', '.join(tasks)})" for setting, tasks in settings.items()]
        for why, settings in found.items()
    }


def compare_answers(
    before: Sequence[Group],
    after: Sequence[Group],
    seed: int,
    pairs: PairScorer | None,
    scoring: Scoring = "strict",
) -> list[Difference]:
    """Return the differences in every task and setting that both answered, tested on the same rows.

    Raises DataError where they have no row in common.
    """
    others = {(group.task.name, group.setting): group for group in after}
    found = []
    for group in before:
        other = others.get((group.task.name, group.setting))
        if other is None:
            continue
        try:
            difference = _paired(group, other, seed, pairs, scoring)
        except NotScorableError:
            continue
        if difference is not None:
            found.append(difference)
    if not found:
        raise DataError("The two have no answered row in common: predict the same settings with both.")
    return holm(found)


def compare_scores(
    before: Sequence[ScoreRow], after: Sequence[ScoreRow], scoring: Scoring = "strict"
) -> list[Difference]:
    """Return the differences of the main metrics of two models' score rows, as if of different test rows.

    Raises DataError where they share no task and setting.
    """
    others = main_rows(after, scoring)
    found = []
    for place, row in main_rows(before, scoring).items():
        other = others.get(place)
        if other is None or other.get("model") != row.get("model"):
            continue
        spread = float(np.hypot(_deviation(row), _deviation(other)))
        change = other["value"] - row["value"]
        margin = float(norm.isf(ALPHA / 2)) * spread
        p = float(2 * norm.sf(abs(change) / spread)) if spread else float(change == 0)
        found.append(
            Difference(
                *place,
                row["metric"],
                row["value"],
                other["value"],
                change - margin,
                change + margin,
                min(row["n"], other["n"]),
                0,
                _detectable(spread),
                p,
            )
        )
    if not found:
        raise DataError("The two scores have no task and setting in common that was scored by the same model.")
    return holm(found)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Return the differences with Holm's adjusted p-values: the k-th smallest of m times m - k + 1, never falling."""
    order = sorted(range(len(differences)), key=lambda place: differences[place].p)
    found, highest = list(differences), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, differences[place].p * (len(order) - rank)))
        found[place] = replace(differences[place], adjusted=highest)
    return found


def write_differences(differences: Sequence[Difference], paired: bool, path: Path) -> None:
    """Write the differences with their verdicts, and whether the same rows were compared, atomically."""
    rows = [{**asdict(found), "verdict": found.verdict} for found in differences]
    write_text(json.dumps({"paired": paired, "differences": rows}, indent=1) + "\n", path)


def read_differences(path: Path) -> tuple[list[Difference], bool]:
    """Return what was written; raises DataError where it is something else."""
    names = {field.name for field in fields(Difference)}
    read = read_json(path)
    rows = read.get("differences")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and names <= row.keys() for row in rows):
        raise DataError(f"{path} has no differences: write it with `ecellm compare --out`.")
    for place, row in enumerate(rows):
        for name, kind in get_type_hints(Difference).items():
            if fault := json_fault(row[name], kind, where=f"differences[{place}].{name}"):
                raise DataError(f"{path}: {fault}. Write it with `ecellm compare --out`.")
    return [Difference(**{name: row[name] for name in names}) for row in rows], bool(read.get("paired"))


def _paired(before: Group, after: Group, seed: int, pairs: PairScorer | None, scoring: Scoring) -> Difference | None:
    task = before.task
    there = dict(zip((example.id for example in after.examples), after.predictions, strict=True))
    both = [
        (example, predicted, there[example.id])
        for example, predicted in zip(before.examples, before.predictions, strict=True)
        if example.id in there
    ]
    if not both:
        return None
    examples = [example for example, _, _ in both]
    texts = [first.text for _, first, _ in both] + [second.text for _, _, second in both]
    twice = [*examples, *examples]
    # Scored as one, so that both count in the same classes.
    scored = score_answers(task, scoring, twice, read_answers(task, scoring, twice, texts)[0], pairs)
    one, other = np.split(scored.stats, 2)
    n = len(both)
    values = [_figure(scored, task.metric, part.sum(0)) for part in (one, other)]
    sums = resampled(np.hstack([one, other]), seed, task.name, before.setting)
    width = one.shape[1]
    drawn = _figure(scored, task.metric, sums[:, width:]) - _figure(scored, task.metric, sums[:, :width])
    low, high = ends(drawn)
    return Difference(
        task.name,
        before.setting,
        task.metric,
        float(values[0]),
        float(values[1]),
        low,
        high,
        n,
        len(before.examples) + len(after.examples) - 2 * n,
        _detectable(float(drawn.std())),
        randomised(scored, task.metric, one, other, seed, task.name, before.setting),
    )


def randomised(scored: Scored, metric: str, one: Floats, other: Floats, seed: int, *key: object) -> float:
    """Return the share of coin tosses that part the two by at least as much, these answers counted as one toss."""
    generator = np.random.default_rng(int(keyed_hash(seed, "randomisation", *key), 16))
    changed = np.flatnonzero((one != other).any(axis=1))
    first, second, moves = one.sum(0), other.sum(0), (other - one)[changed]
    seen = abs(_figure(scored, metric, second) - _figure(scored, metric, first))
    as_far = 0
    for _ in range(TOSSES // TOSSES_AT_ONCE):
        moved = generator.integers(0, 2, size=(TOSSES_AT_ONCE, len(changed))).astype(np.float64) @ moves
        apart = _figure(scored, metric, second - moved) - _figure(scored, metric, first + moved)
        as_far += int((np.abs(apart) >= seen - 1e-12).sum())
    return (as_far + 1) / (TOSSES + 1)


def _figure(scored: Scored, metric: str, sums: Floats) -> Floats:
    return scored.figures(sums)[metric]


def _deviation(row: ScoreRow) -> float:
    """Return the standard deviation that a 95 % interval stands for."""
    return float(row["high"] - row["low"]) / (2 * float(norm.isf(ALPHA / 2)))


def _detectable(deviation: float) -> float:
    return float(norm.isf(ALPHA / 2) + norm.ppf(POWER)) * deviation
