"""The model's probability for each candidate pair, kept in a journal, so that a killed run is resumed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecellm.errors import EcellmError, ModelError
from ecellm.inference.row_questions import row_question
from ecellm.inference.run import Run, RunCounts, replies_as_they_come, write_failures
from ecellm.io.journal import Entry, Journal
from ecellm.io.tables.json_objects import json_value
from ecellm.linking.assignment import Floats, Pairs
from ecellm.linking.candidates import Candidates
from ecellm.linking.records import Record
from ecellm.models.base import Failure, Generator, Progress, Reply, Request
from ecellm.tasks import Task

#: The candidate that says that two records are one product.
YES = "yes"
#: Pairs whose prompts are held at a time.
CHUNK = 4096


@dataclass(frozen=True)
class _PairRequest:
    """A pair by its number among the candidates, with its request."""

    number: int
    request: Request


def journal_file(out: Path) -> Path:
    """Return the file that holds the probabilities of an unfinished run."""
    return out.with_name(out.name + ".part.jsonl")


def score_candidates(
    generator: Generator,
    task: Task,
    left: Sequence[Record],
    right: Sequence[Record],
    candidates: Candidates,
    out: Path,
    identity: Mapping[str, object],
    progress: Progress | None = None,
) -> Pairs:
    """Return the probability of yes for each candidate pair; the journal stays until the caller has written `out`.

    Raises DataError where an earlier run's journal has another identity, ModelError where the model gives no
    probabilities or answers in another form, and EcellmError where too many pairs fail.
    """
    journal: Journal[int]
    with Journal(journal_file(out), identity, lambda entry: _pair(entry, len(candidates.left))) as journal:
        done = journal.keys()
        journal.begin()
        counts = RunCounts(len(candidates.left), skipped=len(done))
        run = Run[_PairRequest, int](journal, counts, _entry, progress)
        places = zip(candidates.left, candidates.right, strict=True)
        questions = [(left[one], right[other]) for one, other in places]
        try:
            run.keep(_by_chunk(generator, task, questions, done, run))
        finally:
            write_failures(out, [{"pair": item.number, "reason": reason} for item, reason in run.failures])
    if run.failures:
        raise ModelError(
            f"{len(run.failures):,} pairs got no answer ({run.failures[0][1]}): run the command again to resume."
        )
    return Pairs(candidates.left, candidates.right, _probabilities(journal_file(out), len(questions)))


def _by_chunk(
    generator: Generator,
    task: Task,
    questions: Sequence[tuple[Record, Record]],
    done: set[int],
    run: Run[_PairRequest, int],
) -> Iterator[list[tuple[_PairRequest, Reply | Failure]]]:
    for first in range(0, len(questions), CHUNK):
        numbers = range(first, min(first + CHUNK, len(questions)))
        if done.issuperset(numbers):
            continue
        items = _requests(generator, task, questions, numbers)
        yield from replies_as_they_come(generator, items, [item.number not in done for item in items], run.halt)
        if run.halt.is_set():
            return


def _requests(
    generator: Generator, task: Task, questions: Sequence[tuple[Record, Record]], numbers: range
) -> list[_PairRequest]:
    made = [row_question(task, _row(*questions[number]), str(number)).question for number in numbers]
    try:
        prompts = generator.prompts(made)
    except EcellmError as error:
        raise ModelError(f"A pair's records do not fit into the model's prompt: {error}") from error
    return [_PairRequest(*one) for one in zip(numbers, map(Request, made, prompts), strict=True)]


def _row(left: Record, right: Record) -> dict[str, object]:
    return {f"{name}_{number}": text for number, one in ((1, left), (2, right)) for name, text in one.fields.items()}


def _entry(item: _PairRequest, reply: Reply) -> Entry:
    if reply.scores is None or YES not in reply.scores:
        raise ModelError(
            "The model gives its answers no probabilities, by which pairs are chosen: name another model."
        )
    return {"pair": item.number, "answer": reply.text, "p": reply.scores[YES]}


def _pair(entry: Entry, pairs: int) -> int:
    """Return the number of an entry's pair; raises ValueError where it has none, or no probability."""
    number, probability = entry["pair"], entry["p"]
    if type(number) is not int or not 0 <= number < pairs:
        raise ValueError("no pair")
    if not isinstance(probability, float | int) or not 0 <= probability <= 1:
        raise ValueError("no probability")
    return number


def _probabilities(journal: Path, pairs: int) -> Floats:
    found = np.zeros(pairs)
    with journal.open("rb") as file:
        next(file)
        for line in file:
            entry = json_value(line.decode("utf-8"))
            assert isinstance(entry, dict)
            found[int(str(entry["pair"]))] = float(str(entry["p"]))
    return found
