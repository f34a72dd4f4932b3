"""What the model answers while it is tuned: a few validation rows, at each validation, on the console and in the log.

The model answers as it is in memory, by the code that `ecellm predict` uses. Thresholds and temperatures are fitted
once a run ends, so an answer shown before may differ from what the finished model makes of the same weights.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecellm.dataset.dataset import Asked
from ecellm.files import append_whole
from ecellm.inference.generator import Failure, Generator
from ecellm.inference.replies import replies_to

#: Characters of a prompt that the console shows; the log has all.
SHOWN = 400
#: Stands for those that it does not show.
CUT = " [...] "

#: Makes the generator of a model; called anew at each validation, for the weights have changed.
MakeGenerator = Callable[[], Generator]


class SampleAnswers(TrainerCallback):
    """Asks a few rows at each validation and shows prompt, reference and answer."""

    def __init__(
        self,
        rows: Sequence[Asked],
        model: PreTrainedModel,
        attention: str | None,
        make_generator: MakeGenerator,
        console: Console,
        log: Path,
    ):
        """Take the rows to ask and what `ready_to_answer` takes; `log` is a file of JSON lines."""
        self.rows = rows
        self.model = model
        self.attention = attention
        self.make_generator = make_generator
        self.console = console
        self.log = log

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kept: Any) -> None:
        """Ask, append one line to the log and print the answers."""
        with ready_to_answer(self.model, self.attention):
            found = sample_answers(self.make_generator(), self.rows)
        append_whole(self.log, json.dumps({"step": state.global_step, "samples": found}, ensure_ascii=False) + "\n")
        for sample in found:
            self.console.print(as_text(sample), soft_wrap=True)


@contextmanager
def ready_to_answer(model: PreTrainedModel, attention: str | None) -> Iterator[None]:
    """Let a model that is being tuned answer within the block: in evaluation mode, attending by `attention` unless
    that is None; both are afterwards what they were before.

    Its weights, their precision and the random numbers of the run stay as they are: nothing is drawn in evaluation
    mode, and answers are greedy.
    """
    training, before = model.training, model.config._attn_implementation
    model.eval()
    if attention is not None:
        model.set_attn_implementation(attention)
    try:
        yield
    finally:
        if attention is not None:
            model.set_attn_implementation(before)
        model.train(training)


def sample_answers(generator: Generator, rows: Sequence[Asked]) -> list[dict[str, Any]]:
    """Return for each row its id, task, prompt and reference beside the model's answer and, of a closed question, the
    answer's probability."""
    found = []
    prompts, replies = generator.prompts(rows), replies_to(generator, rows)
    for row, prompt, reply in zip(rows, prompts, replies, strict=True):
        assert not isinstance(reply, Failure), reply.reason  # a model in memory always answers
        sample = {"id": row.sample.id, "task": row.sample.task, "prompt": prompt.text}
        sample |= {"reference": row.sample.output, "answer": reply.text}
        found.append(sample if reply.probability is None else {**sample, "probability": reply.probability})
    return found


def as_text(sample: dict[str, Any]) -> Text:
    """Return the four lines that the console shows of a sample; the middle of a long prompt is left out."""
    prompt = " ".join(sample["prompt"].split())
    if len(prompt) > SHOWN:
        prompt = prompt[: SHOWN // 2] + CUT + prompt[-SHOWN // 2 :]
    answer = sample["answer"]
    if "probability" in sample:
        answer += f" ({sample['probability']:.3f})"
    text = Text(f"  {sample['id']}\n", style="bold")
    for name, shown in (("prompt", prompt), ("reference", sample["reference"]), ("answer", answer)):
        text.append(f"    {name:10}", style="dim not bold").append(f"{shown}\n", style="not bold")
    text.right_crop(1)
    return text
