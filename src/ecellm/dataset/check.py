"""Checking any dataset, an imported one included: what crosses its splits, and what is odd about its rows.

Two things make test scores untrue and fail a check: an exact input in two splits, and a judgement or question
that labels a test row of one task and a training or validation row of any. The rest is reported and fails only a
strict check, for the paper's own tasks have it by definition: near-duplicates, shared products, shared shoppers.
"""

import ast
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from ecellm.dataset.dataset import Dataset
from ecellm.dataset.near import NearIndex
from ecellm.dataset.quality import words_of
from ecellm.keys import keyed_hash
from ecellm.records import DOMAINS, SPLITS, Sample, Split
from ecellm.tasks import TASKS
from ecellm.tasks.answers import FreeText

#: Rows a task and side for near-duplicates: as many as the published dataset has.
MOST_ROWS = 10_000
#: A class with more of a task's training rows than this is said to be unbalanced.
UNBALANCED = 0.9
#: About the 2,048 tokens to which the paper's models cut prompt and answer: 1.3 tokens a word, room for the rest.
MOST_WORDS = 1_500
EXAMPLES = 5

INPUT = "exact input stands in two splits"
FACT = "judgement or question labels a test row and a training row"
NEAR_INPUT = "test input nearly stands in training"
PRODUCT = "test row shows a product that training shows"
SHOPPER = "test history continues a training history"
CONFLICT = "equal inputs have different answers"
LONG = f"row has more than {MOST_WORDS:,} words: models of 2,048 tokens cut it"
BALANCE = "one answer has nearly all training rows"


@dataclass(frozen=True)
class Finding:
    """One kind of trouble in one task's rows."""

    task: str
    what: str
    rows: int
    """How many rows of the task have it (test rows, where it is about test and training)."""
    of: int
    """Of how many."""
    fatal: bool
    """Whether it fails a check that is not strict."""
    examples: list[str] = field(default_factory=list)
    """Ids of some of the rows."""


def check(dataset: Dataset, say: Callable[[str], None] = lambda step: None) -> list[Finding]:
    """Return what is wrong with the dataset's rows, task by task; `say` is told which step is under way."""
    say("reading rows")
    rows: dict[Split, list[Sample]] = {
        split: [sample for domain in DOMAINS for sample in dataset.samples(split, domain)] for split in SPLITS
    }
    present = {sample.task for samples in rows.values() for sample in samples}
    tested = Counter(sample.task for sample in rows["test"])
    found = [*_crossing_inputs(rows), *_crossing_facts(rows, tested)]
    for task in (task for task in TASKS if task in present):
        say(f"checking {task}")
        test = [sample for sample in rows["test"] if sample.task == task]
        train = [sample for split in SPLITS[:-1] for sample in rows[split] if sample.task == task]
        troubled = {
            NEAR_INPUT: _near(test, train),
            PRODUCT: _shared_products(test, train),
            SHOPPER: _continued(test, train),
        }
        found += [_finding(task, what, samples, len(test)) for what, samples in troubled.items() if samples]
        long = [sample for sample in [*train, *test] if words_of(sample) > MOST_WORDS]
        found += [_finding(task, LONG, long, len(train) + len(test))] if long else []
        found += _odd_answers(task, [*train, *test], [sample for sample in rows["train"] if sample.task == task])
    return found


def _finding(task: str, what: str, samples: Sequence[Sample], of: int, fatal: bool = False) -> Finding:
    return Finding(task, what, len(samples), of, fatal, [sample.id for sample in samples[:EXAMPLES]])


def _crossing_inputs(rows: dict[Split, list[Sample]]) -> Iterator[Finding]:
    """Find inputs that stand in several splits, whatever the tasks."""
    splits: dict[str, set[Split]] = defaultdict(set)
    for split, samples in rows.items():
        for sample in samples:
            splits[sample.input].add(split)
    crossing: dict[str, list[Sample]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for sample in (sample for samples in rows.values() for sample in samples):
        counts[sample.task] += 1
        if len(splits[sample.input]) > 1:
            crossing[sample.task].append(sample)
    for task, samples in crossing.items():
        yield _finding(task, INPUT, samples, counts[task], fatal=True)


def _crossing_facts(rows: dict[Split, list[Sample]], tested: Counter[str]) -> Iterator[Finding]:
    """Find test rows whose judgement or question labels a training or validation row of any task."""
    taught = {fact for split in SPLITS[:-1] for sample in rows[split] for fact in facts_of(sample)}
    crossing: dict[str, list[Sample]] = defaultdict(list)
    for sample in rows["test"]:
        if not taught.isdisjoint(facts_of(sample)):
            crossing[sample.task].append(sample)
    for task, samples in crossing.items():
        yield _finding(task, FACT, samples, tested[task], fatal=True)


def facts_of(sample: Sample) -> tuple[str, ...]:
    """Return what a row's answer gives away: as it was built, or, of an imported row, as its input says."""
    return sample.facts or TASKS[sample.task].facts(sample)


def _near(test: Sequence[Sample], train: Sequence[Sample]) -> list[Sample]:
    """Return the test rows whose input is nearly, and not exactly, a training or validation row's input."""
    test, train = _drawn(test), _drawn(train)
    if not (test and train):
        return []
    index = NearIndex()
    index.add([sample.input for sample in train])
    near = index.near([sample.input for sample in test])
    return [sample for sample, found in zip(test, near, strict=True) if found]


def _drawn(samples: Sequence[Sample]) -> Sequence[Sample]:
    """Return at most `MOST_ROWS`, drawn by key."""
    if len(samples) <= MOST_ROWS:
        return samples
    return sorted(samples, key=lambda sample: keyed_hash("check", sample.id))[:MOST_ROWS]


def _shared_products(test: Sequence[Sample], train: Sequence[Sample]) -> list[Sample]:
    taught = {product for sample in train for product in sample.products}
    return [sample for sample in test if not taught.isdisjoint(sample.products)]


def _continued(test: Sequence[Sample], train: Sequence[Sample]) -> list[Sample]:
    """Return the test rows whose purchase history begins with all of a training row's: the same shopper's."""
    taught = {tuple(history) for sample in train if (history := _history(sample))}
    lengths = sorted({len(history) for history in taught})
    return [
        sample
        for sample in test
        if (history := _history(sample)) and any(tuple(history[:length]) in taught for length in lengths)
    ]


def _history(sample: Sample) -> list[str]:
    if sample.task != "SR":
        return []
    try:
        read = ast.literal_eval(sample.input)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return []
    return [str(item) for item in read] if isinstance(read, list) else []


def _odd_answers(task: str, samples: Sequence[Sample], train: Collection[Sample]) -> Iterator[Finding]:
    """Find equal inputs with different answers, and a class that has nearly all training rows."""
    answer = TASKS[task].answer
    if isinstance(answer, FreeText):
        return  # a question may well have several good answers
    answers: dict[str, set[str]] = defaultdict(set)
    for sample in samples:
        answers[json.dumps([sample.input, sample.options])].add(sample.output)
    torn = [sample for sample in samples if len(answers[json.dumps([sample.input, sample.options])]) > 1]
    if torn:
        yield _finding(task, CONFLICT, torn, len(samples))
    outputs = Counter(sample.output for sample in train)
    if train and len(train) >= 2 * EXAMPLES and outputs.most_common(1)[0][1] > UNBALANCED * len(train):
        common = outputs.most_common(1)[0][0]
        yield _finding(task, BALANCE, [sample for sample in train if sample.output == common], len(train))
