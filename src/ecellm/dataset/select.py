"""From what the tasks drew to what the dataset holds: no duplicates, no leaks, no more than the quotas.

Pure functions over samples, so that each rule can be tested alone. Whatever is left out is counted.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ecellm.records import Domain, Sample, Split

Part = tuple[Split, Domain]

#: Test rows keep their places first: a training row gives way to them, never the other way round.
PRIORITY: tuple[Part, ...] = (("test", "OOD"), ("test", "IND"), ("validation", "IND"), ("train", "IND"))
ORDER: tuple[Split, ...] = ("test", "validation", "train")

DUPLICATE = "input stands there already"
CONFLICT = "equal inputs have different answers"
CROSSING = "input stands in another split"
FACT = "judgement or question labels a test row"
PRODUCT = "product stands in an out-of-domain row"
BEYOND = "beyond the quota"


@dataclass
class Selection:
    """What stays, per task and part, and what was left out, per task and reason.

    Per task, the samples that came in are those that stay and those that were left out.
    """

    samples: dict[str, dict[Part, list[Sample]]] = field(default_factory=lambda: defaultdict(dict))
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

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
    open_tasks: Collection[str] = (),
) -> Selection:
    """Choose each task's samples, in drawing order, up to its quotas.

    An exact input (with its options) stands once per task, and an input text in one split only, whatever the
    task. Out-of-domain products stand in none of the task's training or validation rows. No fact stands in a
    test row of any task and in a training or validation row of any task. Equal inputs with different answers
    are left out, but for `open_tasks`: a question may well have several good answers, of which the first drawn
    stays.
    """
    chosen = Selection()
    distinct = {task: _distinct(samples, task in open_tasks, chosen.dropped[task]) for task, samples in drawn.items()}
    facts: set[str] = set()
    inputs: set[str] = set()
    for split in ORDER:
        for task, parts in distinct.items():
            dropped = chosen.dropped[task]
            for part in (part for part in PRIORITY if part[0] == split):
                samples = parts[part]
                if split != "test":
                    abroad = {key for sample in chosen.samples[task]["test", "OOD"] for key in sample.products}
                    samples = _without(samples, inputs, facts, abroad, dropped)
                kept = samples[: quotas[task].get(part, 0)]
                dropped[BEYOND] += len(samples) - len(kept)
                chosen.samples[task][part] = kept
        fixed = chosen.split(split)
        inputs |= {sample.input for sample in fixed}
        if split == "test":
            facts = {fact for sample in fixed for fact in sample.facts}
    return chosen


def _distinct(samples: Sequence[Sample], many_answers: bool, dropped: Counter[str]) -> dict[Part, list[Sample]]:
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
            if len(answers[key]) > 1 and not many_answers:
                dropped[CONFLICT] += 1
            elif key in seen:
                dropped[DUPLICATE] += 1
            else:
                seen.add(key)
                kept[part].append(sample)
    return kept


def _without(
    samples: Sequence[Sample], inputs: set[str], facts: set[str], abroad: set[str], dropped: Counter[str]
) -> list[Sample]:
    """Return the samples that share no input with another split, no fact with a test row and no product with
    an out-of-domain row."""
    kept = []
    for sample in samples:
        if sample.input in inputs:
            dropped[CROSSING] += 1
        elif not facts.isdisjoint(sample.facts):
            dropped[FACT] += 1
        elif not abroad.isdisjoint(sample.products):
            dropped[PRODUCT] += 1
        else:
            kept.append(sample)
    return kept
