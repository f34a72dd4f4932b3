"""Answers during tuning: a few validation rows, at each validation, on the console and in the log.

The model answers as it is in memory, by the code that `ecellm predict` uses. Thresholds and temperatures are fitted
once a run ends, so an answer shown before may differ from what the finished model makes of the same weights.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NotRequired, TypedDict

from rich.console import Console
from rich.text import Text
from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecellm.io.journal import append_entries
from ecellm.models.base import Failure, Generator
from ecellm.models.replies import replies_to
from ecellm.types import Question

#: Characters of a prompt that the console shows; the log has all.
SHOWN = 400
#: Stands for the rest.
CUT = " [...] "

#: Makes the generator of a model; called anew at each validation, for the weights have changed.
MakeGenerator = Callable[[], Generator]
#: Within it a model that is being tuned attends as a finished one does.
Answering = Callable[[], AbstractContextManager[None]]


class SampleAnswer(TypedDict):
    """The answer to one row, as the log has it."""

    id: str
    task: str
    prompt: str
    reference: str
    answer: str
    probability: NotRequired[float]
    """Of a multiple-choice question's answer."""


class SampleAnswers(TrainerCallback):
    """Predicts a few rows at each validation and shows prompt, reference and answer."""

    def __init__(
        self,
        rows: Sequence[Question],
        model: nn.Module,
        answering: Answering,
        make_generator: MakeGenerator,
        console: Console,
        log: Path,
    ):
        """Take the rows to predict and what `ready_to_answer` takes; `log` is a file of JSON lines."""
        self.rows = rows
        self.model = model
        self.answering = answering
        self.make_generator = make_generator
        self.console = console
        self.log = log

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Predict, append one line to the log and print the answers."""
        with ready_to_answer(self.model, self.answering):
            found = sample_answers(self.make_generator(), self.rows)
        append_entries(self.log, [{"step": state.global_step, "samples": found}])
        for example in found:
            self.console.print(as_text(example), soft_wrap=True)


@contextmanager
def ready_to_answer(model: nn.Module, answering: Answering) -> Iterator[None]:
    """Let a model that is being tuned answer within the block: in evaluation mode, and within `answering`; both are
    afterwards what they were before.

    Its weights, their precision and the random numbers of the run stay as they are: nothing is drawn in evaluation
    mode, and answers are greedy.
    """
    training = model.training
    model.eval()
    try:
        with answering():
            yield
    finally:
        model.train(training)


def sample_answers(generator: Generator, rows: Sequence[Question]) -> list[SampleAnswer]:
    """Return for each row its id, task, prompt and reference beside the model's answer and, of a
    multiple-choice question, the answer's probability."""
    found = []
    prompts, replies = generator.prompts(rows), replies_to(generator, rows)
    for row, prompt, reply in zip(rows, prompts, replies, strict=True):
        assert not isinstance(reply, Failure), reply.reason  # a model in memory always answers
        example = SampleAnswer(
            id=row.example.id,
            task=row.example.task,
            prompt=prompt.text,
            reference=row.example.output,
            answer=reply.text,
        )
        if reply.probability is not None:
            example["probability"] = reply.probability
        found.append(example)
    return found


def as_text(example: SampleAnswer) -> Text:
    """Return the four lines that the console shows of an example; the middle of a long prompt is omitted."""
    prompt = " ".join(example["prompt"].split())
    if len(prompt) > SHOWN:
        prompt = prompt[: SHOWN // 2] + CUT + prompt[-SHOWN // 2 :]
    answer = example["answer"]
    if "probability" in example:
        answer += f" ({example['probability']:.3f})"
    text = Text(f"  {example['id']}\n", style="bold")
    for name, shown in (("prompt", prompt), ("reference", example["reference"]), ("answer", answer)):
        text.append(f"    {name:10}", style="dim not bold").append(f"{shown}\n", style="not bold")
    text.right_crop(1)
    return text
