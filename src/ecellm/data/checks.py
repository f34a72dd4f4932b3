"""Checking any dataset, an imported one included: what crosses its splits, and what is odd about its rows.

What makes test scores untrue, or none, fails a check: an exact input in two splits, a judgement or question that
labels a test row of one task and a training or validation row of any, an output that is no answer, an input that is
not in its task's form, no test row at all. The rest is reported and fails only a strict check, for the paper's own
tasks have it by definition: near-duplicates, shared products, shared shoppers.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

from ecellm.data.dataset import Dataset
from ecellm.data.dataset_columns import answer_fault
from ecellm.data.filters.near_duplicates import NearIndex
from ecellm.data.filters.quality import words_of
from ecellm.errors import EcellmError
from ecellm.io.hashing import keyed_hash
from ecellm.tasks import TASKS
from ecellm.tasks.answers import option_texts
from ecellm.types import DOMAINS, SPLITS, Example, Split

#: Rows a task and side for near-duplicates: as many as the published dataset has.
MOST_ROWS = 10_000
#: A class with more of a task's training rows than this counts as unbalanced.
UNBALANCED = 0.9
#: About the 2,048 tokens to which the paper's models cut prompt and answer: 1.3 tokens a word, room for the rest.
MOST_WORDS = 1_500
EXAMPLES = 5

INPUT = "exact input stands in two splits"
WRONG = "output is no answer of the task, or the options are no list of texts"
FORM = "input is not in the form of the task, or there are no options to choose from"
UNTESTED = "there are no test rows"
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
    """Return what is wrong with the dataset's rows, task by task; `say(step)` is called as each step begins."""
    say("reading rows")
    rows: dict[Split, list[Example]] = {
        split: [example for domain in DOMAINS for example in dataset.examples(split, domain)] for split in SPLITS
    }
    present = {example.task for samples in rows.values() for example in samples}
    tested = Counter(example.task for example in rows["test"])
    found = [*_crossing_inputs(rows), *_crossing_facts(rows, tested), *_impossible(rows)]
    for task in (task for task in TASKS if task in present):
        say(f"checking {task}")
        test = [example for example in rows["test"] if example.task == task]
        train = [example for split in SPLITS[:-1] for example in rows[split] if example.task == task]
        troubled = {
            NEAR_INPUT: _near(test, train),
            PRODUCT: _shared_products(test, train),
            SHOPPER: _continued(test, train),
        }
        found += [_finding(task, what, samples, len(test)) for what, samples in troubled.items() if samples]
        long = [example for example in [*train, *test] if words_of(example) > MOST_WORDS]
        found += [_finding(task, LONG, long, len(train) + len(test))] if long else []
        found += _odd_answers(task, [*train, *test], [example for example in rows["train"] if example.task == task])
    return found


def _finding(task: str, what: str, samples: Sequence[Example], of: int, fatal: bool = False) -> Finding:
    return Finding(task, what, len(samples), of, fatal, [example.id for example in samples[:EXAMPLES]])


def _crossing_inputs(rows: dict[Split, list[Example]]) -> Iterator[Finding]:
    """Find inputs that stand in several splits, whatever the tasks."""
    splits: dict[str, set[Split]] = defaultdict(set)
    for split, samples in rows.items():
        for example in samples:
            splits[example.input].add(split)
    crossing: dict[str, list[Example]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for example in (example for samples in rows.values() for example in samples):
        counts[example.task] += 1
        if len(splits[example.input]) > 1:
            crossing[example.task].append(example)
    for task, samples in crossing.items():
        yield _finding(task, INPUT, samples, counts[task], fatal=True)


def _impossible(rows: dict[Split, list[Example]]) -> Iterator[Finding]:
    """Find tasks without test rows, and rows whose output is no answer or whose input is not of the task's form."""
    by_task: dict[str, list[Example]] = defaultdict(list)
    for example in (example for samples in rows.values() for example in samples):
        by_task[example.task].append(example)
    for task, samples in by_task.items():
        if not any(example.split == "test" for example in samples):
            yield Finding(task, UNTESTED, 0, len(samples), not rows["test"])
        if wrong := [example for example in samples if answer_fault(TASKS[task], example)]:
            yield _finding(task, WRONG, wrong, len(samples), fatal=True)
        if formless := [example for example in samples if not _is_of_form(example)]:
            yield _finding(task, FORM, formless, len(samples), fatal=True)


def _is_of_form(example: Example) -> bool:
    """Say whether an example's input can be read; that its options cannot is another finding."""
    try:
        if example.options:
            option_texts(example.options)
    except EcellmError:
        return True
    try:
        TASKS[example.task].check_input(example)
    except EcellmError:
        return False
    return True


def _crossing_facts(rows: dict[Split, list[Example]], tested: Counter[str]) -> Iterator[Finding]:
    """Find test rows whose judgement or question labels a training or validation row of any task."""
    taught = {fact for split in SPLITS[:-1] for example in rows[split] for fact in facts_of(example)}
    crossing: dict[str, list[Example]] = defaultdict(list)
    for example in rows["test"]:
        if not taught.isdisjoint(facts_of(example)):
            crossing[example.task].append(example)
    for task, samples in crossing.items():
        yield _finding(task, FACT, samples, tested[task], fatal=True)


def facts_of(example: Example) -> tuple[str, ...]:
    """Return what a row's answer gives away: as it was built, or, of an imported row, as its input says."""
    return example.facts or TASKS[example.task].facts(example)


def _near(test: Sequence[Example], train: Sequence[Example]) -> list[Example]:
    """Return the test rows whose input is nearly, and not exactly, a training or validation row's input."""
    test, train = _drawn(test), _drawn(train)
    if not (test and train):
        return []
    index = NearIndex()
    index.add([example.input for example in train])
    near = index.near([example.input for example in test])
    return [example for example, found in zip(test, near, strict=True) if found]


def _drawn(samples: Sequence[Example]) -> Sequence[Example]:
    """Return at most `MOST_ROWS`, drawn by key."""
    if len(samples) <= MOST_ROWS:
        return samples
    return sorted(samples, key=lambda example: keyed_hash("check", example.id))[:MOST_ROWS]


def _shared_products(test: Sequence[Example], train: Sequence[Example]) -> list[Example]:
    taught = {product for example in train for product in example.products}
    return [example for example in test if not taught.isdisjoint(example.products)]


def _continued(test: Sequence[Example], train: Sequence[Example]) -> list[Example]:
    """Return the test rows whose purchase history begins with all of a training row's: the same shopper's."""
    taught = {tuple(history) for example in train if (history := _history(example))}
    lengths = sorted({len(history) for history in taught})
    return [
        example
        for example in test
        if (history := _history(example)) and any(tuple(history[:length]) in taught for length in lengths)
    ]


def _history(example: Example) -> list[str]:
    history = TASKS[example.task].history
    if history is None:
        return []
    try:
        return history(example)
    except EcellmError:
        return []


def _odd_answers(task: str, samples: Sequence[Example], train: Collection[Example]) -> Iterator[Finding]:
    """Find equal inputs with different answers, and a class that has nearly all training rows."""
    answer = TASKS[task].answer
    if answer.has_many_answers:
        return
    answers: dict[str, set[str]] = defaultdict(set)
    for example in samples:
        answers[json.dumps([example.input, example.options])].add(example.output)
    torn = [example for example in samples if len(answers[json.dumps([example.input, example.options])]) > 1]
    if torn:
        yield _finding(task, CONFLICT, torn, len(samples))
    outputs = Counter(example.output for example in train)
    if train and len(train) >= 2 * EXAMPLES and outputs.most_common(1)[0][1] > UNBALANCED * len(train):
        common = outputs.most_common(1)[0][0]
        yield _finding(task, BALANCE, [example for example in train if example.output == common], len(train))
