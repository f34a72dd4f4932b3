"""The prediction run: ask a model every question of a dataset and append its answers to a file.

A run may be killed at any moment and started again: what is answered stays, a torn last line is cut off, and
the same batches are formed again, so that the answers are those of an uninterrupted run. Questions that got no
answer stand in OUT.failed.jsonl; the next run asks them again.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from ecellm.dataset.dataset import Asked, Dataset, split_setting, spread
from ecellm.files import append_whole, whole_file, written_alone
from ecellm.inference.closed import candidates_of
from ecellm.inference.generator import Failure, Generator, Question, Reply, Streaming, Usage
from ecellm.inference.took import Cost, taking
from ecellm.keys import keyed_choice, keyed_hash
from ecellm.records import Prediction
from ecellm.tasks import TASKS

#: Prompt tokens in one batch, padding included, and the most rows.
BATCH_TOKENS, BATCH_ROWS = 32_768, 64

#: So many questions without an answer one after the other end a run: a server that is down fails them all.
FAILURES_IN_A_ROW = 50

#: Told (asked by now, questions in all); the first call tells where the run starts.
Progress = Callable[[int, int], None]
#: Told what a server is about to be asked; may refuse by a ValueError.
Before = Callable[[Iterable[Question]], None]
#: Told the tokens that a server has counted so far; may end the run by a ValueError.
Spent = Callable[[Usage], None]
Key = tuple[str, str]
Answered = tuple[str, Question, Reply | Failure]


@dataclass
class Counts:
    """What a run did."""

    questions: int = 0
    """Asked for: answered now or before."""
    answered: int = 0
    skipped: int = 0
    """Answered by an earlier run."""
    unparsed: int = 0
    """Of those answered now: texts that the strict parser does not take."""
    cut_prompts: int = 0
    """Of those answered now: prompts that did not fit whole."""
    cut: Counter[str] = field(default_factory=Counter)
    """What was cut from them."""
    failed: int = 0
    """Questions that got no answer."""
    usage: Usage | None = None
    """The tokens of those answered now, where a server counted them."""


def questions(
    dataset: Dataset,
    settings: Sequence[str] | None = None,
    tasks: Collection[str] | None = None,
    limit: int | None = None,
) -> dict[str, list[Asked]]:
    """Return the test rows to ask by setting (None: all settings that have rows).

    `limit` is a total, drawn by keyed hash, spread evenly over tasks and, within a task, over settings.
    Raises ValueError for an unknown setting, for one without rows, and where there is nothing to ask.
    """
    for setting in settings or ():
        split_setting(setting)
    wanted = dataset.settings() if settings is None else settings
    asked = {setting: dataset.view(setting, "test", tasks) for setting in wanted}
    empty = [setting for setting, rows in asked.items() if not rows]
    if len(empty) == len(asked) or (settings is not None and empty):
        of_tasks = "" if tasks is None else f" of {', '.join(tasks)}"
        named = "" if settings is None else f" under {', '.join(empty)}"
        raise ValueError(f"The dataset {dataset.path} has no test rows{of_tasks}{named}.")
    return _limited({setting: rows for setting, rows in asked.items() if rows}, limit, dataset.seed)


def shard(asked: Mapping[str, Sequence[Asked]], number: int, of: int) -> dict[str, list[Asked]]:
    """Return the rows of one shard, counted from 1. A row is in exactly one, with all its settings, by the keyed hash
    of its id alone: shards are the same whatever else is asked."""
    assert 1 <= number <= of
    return {
        setting: [row for row in rows if keyed_choice(of, "shard", row.sample.id) == number - 1]
        for setting, rows in asked.items()
    }


def predict(
    generator: Generator,
    asked: Mapping[str, Sequence[Asked]],
    out: Path,
    run: Mapping[str, str],
    progress: Progress | None = None,
    before: Before | None = None,
    spent: Spent | None = None,
    cost: Cost | None = None,
) -> Counts:
    """Ask the rows of each setting and append the answers to `out`, batch by batch, or as they come.

    `run` says what the answers depend on, such as hashes of model and dataset; it is kept in OUT.meta.json.
    What it took is added to OUT.took.jsonl, with what `cost` says of a server's tokens.
    Raises ValueError where `out` holds the answers of another run, or lines that are no answers, and where asking on
    is useless; what was answered until then is kept.
    """
    with ExitStack() as alone:
        there = out.is_file()
        if there:
            alone.enter_context(written_alone(out))
        done = answers_before(out, run)
        counts = Counts(sum(len(rows) for rows in asked.values()))
        counts.skipped = len({(row.sample.id, setting) for setting, rows in asked.items() for row in rows} & done)
        halt = Event()
        if isinstance(generator, Streaming):
            fresh = [
                (setting, question)
                for setting, rows in asked.items()
                for question in _with_prompts(
                    generator, [row for row in rows if (row.sample.id, setting) not in done]
                )
            ]
            if before is not None and fresh:
                before([question for _, question in fresh])
            groups = _streamed(generator, fresh, halt)
        else:
            groups = _batched(generator, asked, done, halt)
        _begin(out, run)  # what cannot be written is said before the first question
        if not there:
            alone.enter_context(written_alone(out, empty=True))
        with taking(out, lambda: (counts.answered, counts.usage), cost):
            _keep(groups, out, counts, progress, spent, halt)
    return counts


def _keep(
    groups: Iterator[list[Answered]],
    out: Path,
    counts: Counts,
    progress: Progress | None,
    spent: Spent | None,
    halt: Event,
) -> None:
    """Append the answers as they come, and write down the failures; raises ValueError as `predict` does."""
    failures: list[dict[str, str]] = []
    in_a_row, last = 0, ""
    reason: ValueError | None = None
    try:
        _tell(progress, counts)
        for group in groups:
            lines = []
            for setting, question, reply in group:
                if isinstance(reply, Failure):
                    counts.failed += 1
                    in_a_row += 1
                    last = reply.reason
                    failures.append(_failure(question, setting, reply))
                else:
                    in_a_row = 0
                    lines.append(_line(question, setting, reply, counts))
            append_whole(out, "".join(line + "\n" for line in lines))
            _tell(progress, counts)
            if reason is not None:
                continue
            try:
                check_failures(in_a_row, last)
                if spent is not None and counts.usage is not None:
                    spent(counts.usage)
            except ValueError as error:  # what is under way is paid for: it is kept before the run ends
                reason = error
                halt.set()
        if reason is not None:
            raise reason
    finally:
        write_failures(out, failures)


def check_failures(in_a_row: int, last: str) -> None:
    """Raise ValueError where so many questions in a row got no answer that asking on is useless."""
    if in_a_row >= FAILURES_IN_A_ROW:
        raise ValueError(
            f"{in_a_row} questions in a row got no answer, the last because: {last}. What was answered "
            "is kept; run the command again to go on."
        )


def failed_file(out: Path) -> Path:
    """Return the file of the questions that the last run got no answer to; there is none where all are answered."""
    return out.with_name(out.name + ".failed.jsonl")


def _batched(
    generator: Generator, asked: Mapping[str, Sequence[Asked]], done: Collection[Key], halt: Event
) -> Iterator[list[Answered]]:
    """Ask batch by batch, leaving out batches that are answered whole."""
    for setting, rows in asked.items():
        if all((row.sample.id, setting) in done for row in rows):
            continue
        for batch in batches(_with_prompts(generator, rows)):
            new = [(question.asked.sample.id, setting) not in done for question in batch]
            if halt.is_set():
                return
            if not any(new):
                continue
            # The whole batch is asked, answered rows too: a row's padding is then what it always was.
            replies = generator.reply(batch)
            yield [
                (setting, question, reply)
                for question, reply, fresh in zip(batch, replies, new, strict=True)
                if fresh
            ]


def _streamed(generator: Streaming, fresh: Sequence[tuple[str, Question]], halt: Event) -> Iterator[list[Answered]]:
    """Ask all at once and give each answer as it comes, to be kept at once."""
    for place, reply in generator.stream([question for _, question in fresh], halt):
        yield [(*fresh[place], reply)]


def _tell(progress: Progress | None, counts: Counts) -> None:
    if progress is not None:
        progress(counts.skipped + counts.answered + counts.failed, counts.questions)


def batches(
    questions: Sequence[Question], tokens: int = BATCH_TOKENS, rows: int = BATCH_ROWS
) -> list[list[Question]]:
    """Return the questions in batches of like length within a budget of padded tokens, the longest first.

    So what does not fit into memory fails at once. Closed and open questions do not mix: the ones are
    scored, the others written.
    """
    kinds = {question.asked.sample.id: candidates_of(question.asked.sample) is None for question in questions}
    order = sorted(
        questions,
        key=lambda question: (
            kinds[question.asked.sample.id],
            -len(question.prompt.ids),
            question.asked.sample.id,
        ),
    )
    made: list[list[Question]] = []
    for question in order:
        batch = made[-1] if made else []
        # The first of a batch is its longest.
        fits = batch and len(batch) < rows and (len(batch) + 1) * len(batch[0].prompt.ids) <= tokens
        if fits and kinds[batch[0].asked.sample.id] == kinds[question.asked.sample.id]:
            batch.append(question)
        else:
            made.append([question])
    return made


def answers_before(out: Path, run: Mapping[str, str]) -> set[Key]:
    """Return what `out` answers already, as (id, setting), after cutting off a torn last line.

    Raises ValueError where it belongs to another run or holds a line that is no answer.
    """
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name a file for the answers.")
    if not (out.is_file() and out.stat().st_size):
        return set()
    _check_record(out, run)
    return _read_answers(out)


def record_file(out: Path) -> Path:
    """Return the file that says what the answers beside it depend on."""
    return out.with_name(out.name + ".meta.json")


def _begin(out: Path, run: Mapping[str, str]) -> None:
    """Write the record of a run that has no answers yet, and make its file."""
    if not (out.is_file() and out.stat().st_size):
        with whole_file(record_file(out)) as path:
            path.write_text(json.dumps(dict(run), indent=2) + "\n", encoding="utf-8")
    out.touch()


def _check_record(out: Path, run: Mapping[str, str]) -> None:
    record = record_file(out)
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        before = None
    if not isinstance(before, dict):
        raise ValueError(f"{out} holds answers, but {record.name} beside it does not say whose: name another output.")
    different = [name for name, value in run.items() if before.get(name) != value]
    if different:
        raise ValueError(
            f"{out} holds answers of another {' and '.join(different)}: name another output, or remove it."
        )


def _read_answers(out: Path) -> set[Key]:
    """Return the answered (id, setting), leaving in the file whole lines only."""
    answered: set[Key] = set()
    whole = 0
    with out.open("rb+") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                file.truncate(whole)
                break
            whole += len(line)
            try:
                row = json.loads(line)
                answered.add((row["id"], row["setting"]))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{out}, line {number} is no answer: remove that line, or name another output."
                ) from error
    return answered


def _limited(asked: dict[str, list[Asked]], limit: int | None, seed: int) -> dict[str, list[Asked]]:
    """Return at most `limit` rows: evenly over tasks, within a task in turn from each setting."""
    if limit is None:
        return asked
    shares = Counter(row.sample.task for row in spread([row for rows in asked.values() for row in rows], limit, seed))
    queues: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for setting, rows in asked.items():
        for row in sorted(rows, key=lambda row: keyed_hash(seed, "limit", row.sample.id)):
            queues[row.sample.task][setting].append(row.sample.id)
    kept: set[Key] = set()
    for task, share in shares.items():
        turns = sorted(
            (place, order, sample, setting)
            for order, (setting, samples) in enumerate(queues[task].items())
            for place, sample in enumerate(samples)
        )
        kept.update((sample, setting) for _, _, sample, setting in turns[:share])
    chosen = {setting: [row for row in rows if (row.sample.id, setting) in kept] for setting, rows in asked.items()}
    return {setting: rows for setting, rows in chosen.items() if rows}


def _with_prompts(generator: Generator, rows: Sequence[Asked]) -> list[Question]:
    return [Question(row, prompt) for row, prompt in zip(rows, generator.prompts(rows), strict=True)]


def _line(question: Question, setting: str, reply: Reply, counts: Counts) -> str:
    """Return the answer's line, and count it."""
    sample = question.asked.sample
    answer = TASKS[sample.task].answer.parse(reply.text, sample)
    counts.answered += 1
    counts.unparsed += answer is None
    counts.cut_prompts += bool(question.prompt.cut)
    counts.cut.update(question.prompt.cut)
    extra: dict[str, object] = {} if reply.scores is None else {"scores": reply.scores}
    if reply.usage is not None:
        extra["usage"] = asdict(reply.usage)
        counts.usage = reply.usage + counts.usage
    if reply.near_tie:
        extra["near_tie"] = True
    prediction = Prediction(sample.id, sample.task, setting, reply.text, answer, reply.probability, extra)
    return prediction.to_line()


def _failure(question: Question, setting: str, failure: Failure) -> dict[str, str]:
    sample = question.asked.sample
    return {"id": sample.id, "task": sample.task, "setting": setting, "reason": failure.reason}


def write_failures(out: Path, failures: Sequence[Mapping[str, Any]]) -> None:
    """Write which questions this run got no answer to, in place of those of an earlier run."""
    file = failed_file(out)
    if not failures:
        file.unlink(missing_ok=True)
        return
    with whole_file(file) as path, path.open("w", encoding="utf-8", errors="backslashreplace") as written:
        written.writelines(json.dumps(failure, ensure_ascii=False) + "\n" for failure in failures)
