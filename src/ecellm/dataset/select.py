"""From what the tasks drew to what the dataset holds: no duplicates, no leaks, no more than the quotas.

Pure functions over samples, so that each rule can be tested alone. Whatever is left out is counted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ecellm.dataset.near import NearIndex
from ecellm.records import Domain, Sample, Split, sample_id

Part = tuple[Split, Domain]

#: Test rows keep their places first: a training row gives way to them, never the other way round.
PRIORITY: tuple[Part, ...] = (("test", "OOD"), ("test", "IND"), ("validation", "IND"), ("train", "IND"))
ORDER: tuple[Split, ...] = ("test", "validation", "train")

DUPLICATE = "input stands there already"
CONFLICT = "equal inputs have different answers"
CROSSING = "input stands in another split"
FACT = "judgement or question labels a test row"
PRODUCT = "product stands in an out-of-domain row"
NEAR = "input nearly stands in another split"
BEYOND = "beyond the quota"


@dataclass(frozen=True)
class Rules:
    """What holds for one task's rows beside what holds for all."""

    many_answers: bool = False
    """A question may well have several good answers: of equal inputs the first drawn stays."""
    products_shared: bool = False
    """Out-of-domain products may stand in training rows: domains are told by time."""
    near_apart: bool = False
    """No row is nearly a row of another split."""
    as_given: bool = False
    """The user's own table says each row's split: all rows stay, whatever they repeat or share."""


@dataclass
class Selection:
    """What stays, per task and part, and what was left out, per task and reason.

    Per task, the samples that came in are those that stay and those that were left out.
    """

    samples: dict[str, dict[Part, list[Sample]]] = field(default_factory=lambda: defaultdict(dict))
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lost: dict[str, list[tuple[str, Sample]]] = field(default_factory=lambda: defaultdict(list))
    """The samples left out, with the reason, but for those beyond the quotas."""

    def drop(self, reason: str, sample: Sample) -> None:
        """Leave a sample out."""
        self.dropped[sample.task][reason] += 1
        self.lost[sample.task].append((reason, sample))

    def split(self, split: Split) -> list[Sample]:
        """Return a split's samples: task by task, in-domain rows before out-of-domain ones."""
        return [
            sample
            for parts in self.samples.values()
            for domain in ("IND", "OOD")
            for sample in parts.get((split, domain), [])
        ]


def select(
    drawn: Mapping[str, Sequence[Sample]],
    quotas: Mapping[str, Mapping[Part, int]],
    rules: Mapping[str, Rules] = MappingProxyType({}),
) -> Selection:
    """Choose each task's samples, in drawing order, up to its quotas.

    An exact input (with its options) stands once per task, and an input text in one split only, whatever the
    task. Out-of-domain products stand in none of the task's training or validation rows. No fact stands in a
    test row of any task and in a training or validation row of any task. Equal inputs with different answers
    are left out. What `rules` says of a task comes on top, or is excepted. Rows that are taken as they are given
    get ids of their own where inputs repeat.
    """
    chosen = Selection()
    own = {task: rules.get(task, Rules()) for task in drawn}
    distinct = {
        task: _as_given(samples) if own[task].as_given else _distinct(samples, own[task], chosen)
        for task, samples in drawn.items()
    }
    facts: set[str] = set()
    inputs: set[str] = set()
    near = {task: NearIndex() for task in drawn if own[task].near_apart and not own[task].as_given}
    for split in ORDER:
        for task, parts in distinct.items():
            for part in (part for part in PRIORITY if part[0] == split):
                samples = parts[part]
                if split != "test" and not own[task].as_given:
                    abroad = {key for sample in chosen.samples[task]["test", "OOD"] for key in sample.products}
                    forbidden = set() if own[task].products_shared else abroad
                    samples = _without(samples, inputs, facts, forbidden, chosen)
                    samples = _apart(samples, near[task], chosen) if task in near else samples
                kept = samples[: quotas[task].get(part, 0)]
                chosen.dropped[task][BEYOND] += len(samples) - len(kept)
                chosen.samples[task][part] = kept
        for task, index in near.items():
            index.add(
                [sample.input for part in PRIORITY if part[0] == split for sample in chosen.samples[task][part]]
            )
        fixed = chosen.split(split)
        inputs |= {sample.input for sample in fixed}
        if split == "test":
            facts = {fact for sample in fixed for fact in sample.facts}
    return chosen


def _as_given(samples: Sequence[Sample]) -> dict[Part, list[Sample]]:
    """Return all samples by part; the n-th of equal inputs, those of higher priority first, gets the n-th id."""
    by_part: dict[Part, list[Sample]] = {part: [] for part in PRIORITY}
    for sample in samples:
        by_part[sample.split, sample.domain].append(sample)
    seen: Counter[tuple[Domain, str, str | None]] = Counter()
    for part, rows in by_part.items():
        for place, sample in enumerate(rows):
            same = (sample.domain, sample.input, sample.options)
            by_part[part][place] = replace(sample, id=sample_id(sample.task, *same, occurrence=seen[same]))
            seen[same] += 1
    return by_part


def _distinct(samples: Sequence[Sample], rules: Rules, chosen: Selection) -> dict[Part, list[Sample]]:
    """Return the samples by part with each exact input once, in the part of the highest priority.

    Inputs whose rows answer differently are left out altogether, unless there may be many answers.
    """
    answers: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    by_part: dict[Part, list[Sample]] = {part: [] for part in PRIORITY}
    for sample in samples:
        assert (sample.split, sample.domain) in PRIORITY, sample.id
        answers[sample.input, sample.options].add(sample.output)
        by_part[sample.split, sample.domain].append(sample)
    kept: dict[Part, list[Sample]] = {part: [] for part in PRIORITY}
    seen: set[tuple[str, str | None]] = set()
    for part in PRIORITY:
        for sample in by_part[part]:
            key = (sample.input, sample.options)
            if len(answers[key]) > 1 and not rules.many_answers:
                chosen.drop(CONFLICT, sample)
            elif key in seen:
                chosen.drop(DUPLICATE, sample)
            else:
                seen.add(key)
                kept[part].append(sample)
    return kept


def _without(
    samples: Sequence[Sample], inputs: set[str], facts: set[str], abroad: set[str], chosen: Selection
) -> list[Sample]:
    """Return the samples that share no input with another split, no fact with a test row and no product with
    an out-of-domain row."""
    kept = []
    for sample in samples:
        if sample.input in inputs:
            chosen.drop(CROSSING, sample)
        elif not facts.isdisjoint(sample.facts):
            chosen.drop(FACT, sample)
        elif not abroad.isdisjoint(sample.products):
            chosen.drop(PRODUCT, sample)
        else:
            kept.append(sample)
    return kept


def _apart(samples: Sequence[Sample], index: NearIndex, chosen: Selection) -> list[Sample]:
    """Return the samples that are no near-duplicates of what the index holds."""
    kept = []
    for sample, near in zip(samples, index.near([sample.input for sample in samples]), strict=True):
        if near:
            chosen.drop(NEAR, sample)
        else:
            kept.append(sample)
    return kept
