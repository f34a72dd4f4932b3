"""The run of `predict` and `ask`: answers go into a journal as they come, failures into a file beside it.

A run that was killed is resumed: its answers stay, and the same batches are formed again, so that the answers are
those of an uninterrupted run. Questions without an answer stand in OUT.failed.jsonl; the next run retries them.
"""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Generic, Protocol, TypeVar

from ecellm.errors import EcellmError
from ecellm.io.files import atomic_write
from ecellm.io.journal import Entry, Journal
from ecellm.models.base import Failure, Generator, Progress, Reply, Request, Spent, Streaming, Usage
from ecellm.models.decoding.batching import batches
from ecellm.models.failure_limit import ConsecutiveFailures


@dataclass
class RunCounts:
    """What a run did."""

    questions: int = 0
    """Questions in all, of this run and earlier ones."""
    skipped: int = 0
    """Answered, or rejected, by an earlier run."""
    answered: int = 0
    """By this run."""
    unparsed: int = 0
    """Of those: texts that the strict parser does not take."""
    truncated_prompts: int = 0
    """Of those: prompts that were truncated."""
    truncated: Counter[str] = field(default_factory=Counter)
    """What was truncated, by kind."""
    failed: Counter[str] = field(default_factory=Counter)
    """Questions without an answer, by reason; the next run retries them."""
    rejected: int = 0
    """Rows that are no valid question."""
    usage: Usage | None = None
    """The tokens of this run's answers, where a server counted them."""

    @property
    def done(self) -> int:
        """Return the number of questions that this run need not answer any more."""
        return self.skipped + self.answered + self.failed.total() + self.rejected

    def count(self, request: Request, reply: Reply, entry: Entry) -> None:
        """Count an answer with its journal entry."""
        self.answered += 1
        self.unparsed += entry["answer"] is None
        self.truncated_prompts += bool(request.prompt.truncated)
        self.truncated.update(request.prompt.truncated)
        if reply.usage is not None:
            self.usage = reply.usage + self.usage


class HasRequest(Protocol):
    """An item of a run: a request, and whatever its journal entry needs."""

    @property
    def request(self) -> Request:
        """The question with its prompt."""


Item = TypeVar("Item", bound=HasRequest)
Key = TypeVar("Key", bound=Hashable)


def replies_as_they_come(
    generator: Generator, items: Sequence[Item], fresh: Sequence[bool], halt: Event
) -> Iterator[list[tuple[Item, Reply | Failure]]]:
    """Yield replies to the fresh items, one by one where the generator streams, else by batch, until `halt` is set.

    A batch with any fresh item is answered in full, so that every item has the padding of an uninterrupted run.
    """
    if isinstance(generator, Streaming):
        left = [item for item, is_fresh in zip(items, fresh, strict=True) if is_fresh]
        for place, reply in generator.stream([item.request for item in left], halt):
            yield [(left[place], reply)]
        return
    places = {id(item.request): place for place, item in enumerate(items)}
    for batch in batches([item.request for item in items]):
        numbers = [places[id(request)] for request in batch]
        if halt.is_set():
            return
        if any(fresh[number] for number in numbers):
            replies = zip(numbers, generator.reply(batch), strict=True)
            yield [(items[number], reply) for number, reply in replies if fresh[number]]


class Run(Generic[Item, Key]):
    """Keeps answers as they arrive, and ends where too many questions fail or the run costs too much."""

    def __init__(
        self,
        journal: Journal[Key],
        counts: RunCounts,
        entry: Callable[[Item, Reply], Entry],
        progress: Progress | None = None,
        spent: Spent | None = None,
    ):
        """Take a journal that has begun; `entry` makes the line of an answer."""
        self.journal, self.counts, self.entry, self.progress, self.spent = journal, counts, entry, progress, spent
        self.halt = Event()
        self.failures: list[tuple[Item, str]] = []
        """Items without an answer, with the reason."""
        self._consecutive = ConsecutiveFailures()

    def reject(self, entries: Sequence[Entry]) -> None:
        """Keep the entries of rejected rows."""
        self.journal.append(entries)
        self.counts.rejected += len(entries)
        self._report()

    def keep(self, groups: Iterable[Sequence[tuple[Item, Reply | Failure]]]) -> None:
        """Append the answers of each group to the journal.

        Raises EcellmError where too many questions in a row fail or `spent` ends the run, once the answers under
        way then, which may have to be paid for, have been kept.
        """
        reason: Exception | None = None
        self._report()
        for group in groups:
            self.journal.append([self._count(item, reply) for item, reply in group if isinstance(reply, Reply)])
            for item, reply in group:
                self._consecutive.count(reply)
                if isinstance(reply, Failure):
                    self.counts.failed[reply.reason] += 1
                    self.failures.append((item, reply.reason))
            self._report()
            if reason is None:
                try:
                    self._check()
                except EcellmError as error:
                    reason = error
                    self.halt.set()
        if reason is not None:
            raise reason

    def _count(self, item: Item, reply: Reply) -> Entry:
        entry = self.entry(item, reply)
        self.counts.count(item.request, reply, entry)
        return entry

    def _check(self) -> None:
        self._consecutive.check()
        if self.spent is not None and self.counts.usage is not None:
            self.spent(self.counts.usage)

    def _report(self) -> None:
        if self.progress is not None:
            self.progress(self.counts.done, self.counts.questions)


def failed_file(out: Path) -> Path:
    """Return the file of the questions that the last run got no answer to; there is none where all are answered."""
    return out.with_name(out.name + ".failed.jsonl")


def write_failures(out: Path, failures: Sequence[Mapping[str, object]]) -> None:
    """Write which questions this run got no answer to, in place of those of an earlier run."""
    file = failed_file(out)
    if not failures:
        file.unlink(missing_ok=True)
        return
    with atomic_write(file) as path, path.open("w", encoding="utf-8", errors="backslashreplace") as written:
        written.writelines(json.dumps(failure, ensure_ascii=False) + "\n" for failure in failures)
