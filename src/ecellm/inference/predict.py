"""Predicting a dataset: a model answers its questions under each setting, and the answers are appended to a file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ecellm.inference.run import Run, RunCounts, replies_as_they_come, write_failures
from ecellm.inference.usage import Cost, taking
from ecellm.io.journal import Entry, Journal
from ecellm.models.base import Before, Failure, Generator, Progress, Reply, Request, Spent, Streaming
from ecellm.tasks import TASKS
from ecellm.types import Prediction, Question

#: Where a run's record names the part of the questions that it is for, such as 1/4.
SHARD = "shard"
#: The id of an example, and the setting.
Key = tuple[str, str]


@dataclass(frozen=True)
class SettingRequest:
    """A question with its prompt and its setting."""

    setting: str
    request: Request

    @property
    def key(self) -> Key:
        """Id and setting."""
        return self.request.question.example.id, self.setting


def predict(
    generator: Generator,
    questions: Mapping[str, Sequence[Question]],
    out: Path,
    run: Mapping[str, str],
    progress: Progress | None = None,
    before: Before | None = None,
    spent: Spent | None = None,
    cost: Cost | None = None,
) -> RunCounts:
    """Answer the questions of each setting and append the predictions to `out`, batch by batch, or as they come.

    `run` identifies what the answers depend on, such as hashes of model and dataset; it is kept in OUT.meta.json.
    Seconds and tokens are added to OUT.took.jsonl, with the `cost` of a server's tokens.
    Raises DataError where `out` holds the answers of another run, or lines that are no answers, and EcellmError where
    too many questions fail; answers until then are kept.
    """
    with Journal(out, run, _key, record_file(out)) as journal:
        done = journal.keys()
        counts = RunCounts(sum(len(rows) for rows in questions.values()))
        counts.skipped = len(
            {(row.example.id, setting) for setting, rows in questions.items() for row in rows} & done
        )
        answers = Run(journal, counts, _entry, progress, spent)
        if isinstance(generator, Streaming):
            fresh = [
                item
                for setting, rows in questions.items()
                for item in _with_prompts(
                    generator, setting, [row for row in rows if (row.example.id, setting) not in done]
                )
            ]
            if before is not None and fresh:
                before([item.request for item in fresh])
            groups = replies_as_they_come(generator, fresh, [True] * len(fresh), answers.halt)
        else:
            groups = _by_setting(generator, questions, done, answers)
        journal.begin()  # an output that cannot be written fails before the first question
        with taking(out, lambda: (counts.answered, counts.usage), cost):
            try:
                answers.keep(groups)
            finally:
                write_failures(out, [_failure(*failed) for failed in answers.failures])
    return counts


def record_file(out: Path) -> Path:
    """Return the file with what the answers beside it depend on."""
    return out.with_name(out.name + ".meta.json")


def _by_setting(
    generator: Generator,
    questions: Mapping[str, Sequence[Question]],
    done: set[Key],
    answers: Run[SettingRequest, Key],
) -> Iterator[list[tuple[SettingRequest, Reply | Failure]]]:
    """Answer setting by setting; prompts are made only for those with questions left."""
    for setting, rows in questions.items():
        if all((row.example.id, setting) in done for row in rows):
            continue
        items = _with_prompts(generator, setting, rows)
        yield from replies_as_they_come(generator, items, [item.key not in done for item in items], answers.halt)
        if answers.halt.is_set():
            return


def _with_prompts(generator: Generator, setting: str, rows: Sequence[Question]) -> list[SettingRequest]:
    prompts = generator.prompts(rows)
    return [SettingRequest(setting, Request(row, prompt)) for row, prompt in zip(rows, prompts, strict=True)]


def _key(entry: Entry) -> Key:
    return entry["id"], entry["setting"]


def _entry(item: SettingRequest, reply: Reply) -> Entry:
    """Return the line of an answer."""
    example = item.request.question.example
    answer = TASKS[example.task].answer.parse(reply.text, example)
    extra: dict[str, object] = {} if reply.scores is None else {"scores": reply.scores}
    if reply.usage is not None:
        extra["usage"] = asdict(reply.usage)
    if reply.near_tie:
        extra["near_tie"] = True
    prediction = Prediction(example.id, example.task, item.setting, reply.text, answer, reply.probability, extra)
    return prediction.to_entry()


def _failure(item: SettingRequest, reason: str) -> dict[str, str]:
    example = item.request.question.example
    return {"id": example.id, "task": example.task, "setting": item.setting, "reason": reason}
