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

DUPLICATE = "input stands there already"
CONFLICT = "equal inputs have different answers"
FACT = "judgement or question labels a test row"
PRODUCT = "product stands in an out-of-domain row"
BEYOND = "beyond the quota"


@dataclass
class Selection:
    """What stays, per task and part, and what was left out, per task and reason."""

    samples: dict[str, dict[Part, list[Sample]]] = field(default_factory=dict)
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def select(
    drawn: Mapping[str, Sequence[Sample]],
    quotas: Mapping[str, Mapping[Part, int]],
    open_tasks: Collection[str] = (),
) -> Selection:
    """Choose each task's samples, in drawing order, up to its quotas.

    An exact input (with its options) stands once per task; out-of-domain products stand in none of the task's
    training or validation rows; no fact stands in a test row of any task and in a training or validation row
    of any task. Equal inputs with different answers are left out, but for `open_tasks`: a question may well
    have several good answers, of which the first drawn stays.
    """
    chosen = Selection()
    for task, samples in drawn.items():
        dropped = chosen.dropped[task]
        distinct = _distinct(samples, task in open_tasks, dropped)
        chosen.samples[task] = _trimmed(
            distinct, quotas[task], dropped, [part for part in PRIORITY if part[0] == "test"]
        )
    tested = {
        fact
        for parts in chosen.samples.values()
        for part, samples in parts.items()
        if part[0] == "test"
        for sample in samples
        for fact in sample.facts
    }
    for task, samples in drawn.items():
        dropped = chosen.dropped[task]
        abroad = {key for sample in chosen.samples[task].get(("test", "OOD"), []) for key in sample.products}
        rest = [sample for sample in _distinct(samples, task in open_tasks, Counter()) if sample.split != "test"]
        clean = _without(rest, tested, abroad, dropped)
        parts = [part for part in PRIORITY if part[0] != "test"]
        chosen.samples[task] |= _trimmed(clean, quotas[task], dropped, parts)
    return chosen


def _distinct(samples: Sequence[Sample], many_answers: bool, dropped: Counter[str]) -> list[Sample]:
    """Return the samples with each exact input once, in the part of the highest priority.

    Inputs whose rows answer differently are left out altogether, unless there may be many answers.
    """
    answers: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for sample in samples:
        answers[sample.input, sample.options].add(sample.output)
    kept: dict[Part, list[Sample]] = defaultdict(list)
    by_part: dict[Part, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_part[sample.split, sample.domain].append(sample)
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
    return [sample for part in PRIORITY for sample in kept[part]]


def _without(samples: Sequence[Sample], tested: set[str], abroad: set[str], dropped: Counter[str]) -> list[Sample]:
    kept = []
    for sample in samples:
        if not tested.isdisjoint(sample.facts):
            dropped[FACT] += 1
        elif not abroad.isdisjoint(sample.products):
            dropped[PRODUCT] += 1
        else:
            kept.append(sample)
    return kept


def _trimmed(
    samples: Sequence[Sample], quotas: Mapping[Part, int], dropped: Counter[str], parts: Sequence[Part]
) -> dict[Part, list[Sample]]:
    trimmed: dict[Part, list[Sample]] = {}
    for part in parts:
        own = [sample for sample in samples if (sample.split, sample.domain) == part]
        trimmed[part] = own[: quotas.get(part, 0)]
        dropped[BEYOND] += len(own) - len(trimmed[part])
    return trimmed
