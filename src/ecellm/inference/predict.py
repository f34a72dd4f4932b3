"""The prediction run: ask a model every question of a dataset and append its answers to a file.

A run may be killed at any moment and started again: what is answered stays, a torn last line is cut off, and
the same batches are formed again, so that the answers are those of an uninterrupted run.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ecellm.dataset.dataset import Asked, Dataset, split_setting, spread
from ecellm.files import append_whole, whole_file
from ecellm.inference.closed import candidates_of
from ecellm.inference.generator import Generator, Question, Reply
from ecellm.keys import keyed_hash
from ecellm.records import Prediction
from ecellm.tasks import TASKS

#: Prompt tokens in one batch, padding included, and the most rows.
BATCH_TOKENS, BATCH_ROWS = 8192, 64

#: Told (answered by now, questions in all); the first call tells where the run starts.
Progress = Callable[[int, int], None]
Key = tuple[str, str]


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


def predict(
    generator: Generator,
    asked: Mapping[str, Sequence[Asked]],
    out: Path,
    run: Mapping[str, str],
    progress: Progress | None = None,
) -> Counts:
    """Ask the rows of each setting and append the answers to `out`, batch by batch.

    `run` says whose answers these are: hashes of model and dataset, kept beside `out` in OUT.meta.json.
    Raises ValueError where `out` holds the answers of another run, or lines that are no answers.
    """
    before = open_answers(out, run)
    out.touch()  # what cannot be written is said before the first question
    counts = Counts(sum(len(rows) for rows in asked.values()))
    keys = {(row.sample.id, setting) for setting, rows in asked.items() for row in rows}
    counts.skipped = len(keys & before)
    for setting, rows in asked.items():
        if all((row.sample.id, setting) in before for row in rows):
            continue
        for batch in batches(_with_prompts(generator, rows)):
            new = [(question.asked.sample.id, setting) not in before for question in batch]
            if not any(new):
                continue
            if progress is not None:
                progress(counts.skipped + counts.answered, counts.questions)
            # The whole batch is asked, answered rows too: a row's padding is then what it always was.
            replies = generator.reply(batch)
            lines = [
                _line(question, setting, reply, counts)
                for question, reply, fresh in zip(batch, replies, new, strict=True)
                if fresh
            ]
            append_whole(out, "".join(line + "\n" for line in lines))
    if progress is not None:
        progress(counts.skipped + counts.answered, counts.questions)
    return counts


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


def open_answers(out: Path, run: Mapping[str, str]) -> set[Key]:
    """Return what `out` answers already, as (id, setting), after cutting off a torn last line.

    Raises ValueError where it belongs to another run or holds a line that is no answer.
    """
    record = out.with_name(out.name + ".meta.json")
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name a file for the answers.")
    if out.is_file() and out.stat().st_size:
        _check_record(out, record, run)
        return _read_answers(out)
    with whole_file(record) as path:
        path.write_text(json.dumps(dict(run), indent=2) + "\n", encoding="utf-8")
    return set()


def _check_record(out: Path, record: Path, run: Mapping[str, str]) -> None:
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
    extra: dict[str, Any] = {} if reply.scores is None else {"scores": reply.scores}
    if reply.near_tie:
        extra["near_tie"] = True
    prediction = Prediction(sample.id, sample.task, setting, reply.text, answer, reply.probability, extra)
    return prediction.to_line()
