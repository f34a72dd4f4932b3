"""From what the tasks drew to what the dataset holds: no duplicates, no leaks, no more than the quotas.

Pure functions over samples, so that each rule can be tested alone. Whatever is filtered out is counted.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ecellm.data.filters.near_duplicates import NearIndex
from ecellm.types import Domain, Example, Split, sample_id

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
    """Out-of-domain products may stand in training rows: domains are split by time."""
    near_apart: bool = False
    """No row is nearly a row of another split."""
    as_given: bool = False
    """The user's own table says each row's split: all rows stay, whatever they repeat or share."""


@dataclass
class Selection:
    """What stays, per task and part, and what was filtered out, per task and reason.

    Per task, the samples that came in are those that stay and those that were filtered out.
    """

    examples: dict[str, dict[Part, list[Example]]] = field(default_factory=lambda: defaultdict(dict))
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    lost: dict[str, list[tuple[str, Example]]] = field(default_factory=lambda: defaultdict(list))
    """The samples filtered out, with the reason, but for those beyond the quotas."""

    def drop(self, reason: str, example: Example) -> None:
        """Leave a sample out."""
        self.dropped[example.task][reason] += 1
        self.lost[example.task].append((reason, example))

    def split(self, split: Split) -> list[Example]:
        """Return a split's samples: task by task, in-domain rows before out-of-domain ones."""
        return [
            example
            for parts in self.examples.values()
            for domain in ("IND", "OOD")
            for example in parts.get((split, domain), [])
        ]


def select(
    drawn: Mapping[str, Sequence[Example]],
    quotas: Mapping[str, Mapping[Part, int]],
    rules: Mapping[str, Rules] = MappingProxyType({}),
) -> Selection:
    """Choose each task's samples, in drawing order, up to its quotas.

    An exact input (with its options) stands once per task, and an input text in one split only, whatever the
    task. Out-of-domain products stand in none of the task's training or validation rows. No fact stands in a
    test row of any task and in a training or validation row of any task. Equal inputs with different answers
    are filtered out. What `rules` says of a task comes on top, or is excepted. Rows that are taken as they are given
    get ids of their own where inputs repeat.
    """
    chosen = Selection()
    own = {task: rules.get(task, Rules()) for task in drawn}
    distinct = {
        task: _as_given(examples) if own[task].as_given else _distinct(examples, own[task], chosen)
        for task, examples in drawn.items()
    }
    facts: set[str] = set()
    inputs: set[str] = set()
    near = {task: NearIndex() for task in drawn if own[task].near_apart and not own[task].as_given}
    for split in ORDER:
        for task, parts in distinct.items():
            for part in (part for part in PRIORITY if part[0] == split):
                examples = parts[part]
                if split != "test" and not own[task].as_given:
                    abroad = {key for example in chosen.examples[task]["test", "OOD"] for key in example.products}
                    forbidden = set() if own[task].products_shared else abroad
                    examples = _without(examples, inputs, facts, forbidden, chosen)
                    examples = _apart(examples, near[task], chosen) if task in near else examples
                kept = examples[: quotas[task].get(part, 0)]
                chosen.dropped[task][BEYOND] += len(examples) - len(kept)
                chosen.examples[task][part] = kept
        for task, index in near.items():
            index.add(
                [example.input for part in PRIORITY if part[0] == split for example in chosen.examples[task][part]]
            )
        fixed = chosen.split(split)
        inputs |= {example.input for example in fixed}
        if split == "test":
            facts = {fact for example in fixed for fact in example.facts}
    return chosen


def _as_given(examples: Sequence[Example]) -> dict[Part, list[Example]]:
    """Return all samples by part; the n-th of equal inputs, those of higher priority first, gets the n-th id."""
    by_part: dict[Part, list[Example]] = {part: [] for part in PRIORITY}
    for example in examples:
        by_part[example.split, example.domain].append(example)
    seen: Counter[tuple[Domain, str, str | None]] = Counter()
    for part, rows in by_part.items():
        for place, example in enumerate(rows):
            same = (example.domain, example.input, example.options)
            by_part[part][place] = replace(example, id=sample_id(example.task, *same, occurrence=seen[same]))
            seen[same] += 1
    return by_part


def _distinct(examples: Sequence[Example], rules: Rules, chosen: Selection) -> dict[Part, list[Example]]:
    """Return the samples by part with each exact input once, in the part of the highest priority.

    Inputs whose rows answer differently are filtered out altogether, unless there may be many answers.
    """
    answers: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    by_part: dict[Part, list[Example]] = {part: [] for part in PRIORITY}
    for example in examples:
        assert (example.split, example.domain) in PRIORITY, example.id
        answers[example.input, example.options].add(example.output)
        by_part[example.split, example.domain].append(example)
    kept: dict[Part, list[Example]] = {part: [] for part in PRIORITY}
    seen: set[tuple[str, str | None]] = set()
    for part in PRIORITY:
        for example in by_part[part]:
            key = (example.input, example.options)
            if len(answers[key]) > 1 and not rules.many_answers:
                chosen.drop(CONFLICT, example)
            elif key in seen:
                chosen.drop(DUPLICATE, example)
            else:
                seen.add(key)
                kept[part].append(example)
    return kept


def _without(
    examples: Sequence[Example], inputs: set[str], facts: set[str], abroad: set[str], chosen: Selection
) -> list[Example]:
    """Return the samples that share no input with another split, no fact with a test row and no product with
    an out-of-domain row."""
    kept = []
    for example in examples:
        if example.input in inputs:
            chosen.drop(CROSSING, example)
        elif not facts.isdisjoint(example.facts):
            chosen.drop(FACT, example)
        elif not abroad.isdisjoint(example.products):
            chosen.drop(PRODUCT, example)
        else:
            kept.append(example)
    return kept


def _apart(examples: Sequence[Example], index: NearIndex, chosen: Selection) -> list[Example]:
    """Return the samples that are no near-duplicates of what the index holds."""
    kept = []
    for example, near in zip(examples, index.near([example.input for example in examples]), strict=True):
        if near:
            chosen.drop(NEAR, example)
        else:
            kept.append(example)
    return kept
