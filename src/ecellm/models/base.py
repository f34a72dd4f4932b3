"""What all models share: the generator protocol, the records that go in and out, and the registry of families."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

from ecellm.errors import ConfigError
from ecellm.models.precision import FP32, Precision
from ecellm.prompts import Prompt
from ecellm.tasks.task import Given
from ecellm.types import Question

if TYPE_CHECKING:
    from rich.console import Console
    from transformers import PreTrainedTokenizerBase, Trainer

    from ecellm.models.folder import ModelInfo
    from ecellm.models.remote.client import Server
    from ecellm.models.training.rows import Rows
    from ecellm.training.monitoring import Monitoring
    from ecellm.training.recipe import Recipe


@dataclass(frozen=True)
class Request:
    """One question with its prompt."""

    question: Question
    prompt: Prompt
    given: Given | None = None
    """The columns of the row that the question was made from; None for a question of a dataset."""


@dataclass(frozen=True)
class Usage:
    """Tokens of one answer, as its server counts them."""

    prompt: int
    written: int

    def __add__(self, other: "Usage | None") -> "Usage":
        return self if other is None else Usage(self.prompt + other.prompt, self.written + other.written)


@dataclass(frozen=True)
class Reply:
    """A model's completion, with probabilities where it has them."""

    text: str
    probability: float | None = None
    """Of this answer among its candidates, where there are candidates."""
    scores: dict[str, float] | None = None
    """Every candidate's probability; they sum to 1."""
    usage: Usage | None = None
    """The tokens read and written, as counted by a server; None for local models."""
    near_tie: bool = False
    """Whether another answer is as likely within what the arithmetic can tell, so that another batch, thread or
    processor may give that one."""


@dataclass(frozen=True)
class Failure:
    """A question without an answer, such as one that a server refused; the next run tries it again."""

    reason: str
    """One short sentence."""
    invalid: bool = False
    """Whether the question itself is the reason, so that it would fail again."""


@dataclass(frozen=True)
class Decoding:
    """How answers are generated. A run's journal keeps answers under its text (`str`)."""

    free: bool = False
    """Whether multiple-choice questions are answered by generating text, as in the paper, instead of by candidate
    scoring."""
    temperature: float = 0.0
    """Of generated text: 0 is greedy, above it tokens are sampled (the paper: .15)."""
    top_p: float = 1.0
    """Sampling keeps the likeliest tokens of this share (the paper: .95)."""
    seed: int = 0
    """Of sampling."""
    max_new_tokens: int = 100
    """The maximum length of a generated answer, in tokens; 100 as in the paper."""
    precision: Precision = FP32
    """Of the linear layers on a CPU; on an accelerator a model has the precision of its weights."""
    lenient: bool = False
    """Whether a server's answer may stand in a code fence, behind thinking, or in an object with more keys."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a value out of its range."""
        known = get_args(Precision)
        for name, is_valid, wanted in (
            ("temperature", _is_number(self.temperature, 0.0, math.inf), "a number of at least 0"),
            ("top_p", _is_number(self.top_p, 0.0, 1.0) and self.top_p > 0, "a number above 0 and at most 1"),
            ("seed", _is_whole(self.seed, 0), "a whole number of at least 0"),
            ("max_new_tokens", _is_whole(self.max_new_tokens, 1), "a whole number above 0"),
            ("precision", self.precision in known, f"one of {', '.join(known)}"),
        ):
            if not is_valid:
                raise ConfigError(f"{name} of a decoding is {wanted}, not {getattr(self, name)!r}.")

    def __str__(self) -> str:
        """Return what of it changes answers, for the record of a run: a seed does so only where it is used."""
        # Nothing for fp32, so that runs from before there was a choice can be resumed.
        lowered = () if self.precision == FP32 else (self.precision,)
        sampled = f"temperature {self.temperature:g}, top_p {self.top_p:g}, seed {self.seed}"
        return ", ".join(
            (
                "free" if self.free else "closed",
                sampled if self.temperature else "greedy",
                f"at most {self.max_new_tokens} tokens",
                *lowered,
                *(("lenient",) if self.lenient else ()),
            )
        )


def _is_number(value: object, least: float, most: float) -> bool:
    return isinstance(value, int | float) and least <= value <= most and math.isfinite(value)


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int) and value >= least


#: Called with (questions done, questions in all); first where a run starts.
Progress = Callable[[int, int], None]
#: Called with the requests before a server is sent the first; may raise an EcellmError.
Before = Callable[[Iterable[Request]], None]
#: Called with the tokens that a server has counted so far; may end a run by an EcellmError.
Spent = Callable[[Usage], None]


class Generator(Protocol):
    """A model that answers questions."""

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the questions' prompts as the model was tuned on them, within its token budget."""

    def reply(self, requests: Sequence[Request]) -> Sequence[Reply | Failure]:
        """Answer a batch, in order. Answers do not depend on the batch."""


@runtime_checkable
class Streaming(Generator, Protocol):
    """A model that forms its own batches, such as one behind a server, and yields answers as they arrive."""

    def stream(self, requests: Sequence[Request], halt: Event | None = None) -> Iterator[tuple[int, Reply | Failure]]:
        """Send all requests and yield the index and answer of each as it arrives, in any order.

        Once `halt` is set no more are sent; requests in flight are still awaited, as they may have to be paid for.

        Raises ServerError where every further request would fail, such as for a wrong key.
        """


@dataclass(frozen=True)
class Message:
    """A message of a chat."""

    role: str
    """system, user or assistant."""
    content: str


@dataclass(frozen=True)
class Chat:
    """A chat to go on with: messages, decoding, and callbacks."""

    messages: Sequence[Message]
    decoding: Decoding
    """Of it temperature, top_p, seed and max_new_tokens count."""
    stop: tuple[str, ...] = ()
    """Texts before which the completion ends."""
    on_text: Callable[[str], None] | None = None
    """Called with each piece of the completion as it is written."""
    stopped: Callable[[], bool] = lambda: False
    """Whether nobody waits for it any more."""


@dataclass(frozen=True)
class ChatReply:
    """A chat's completion."""

    text: str
    finish: Literal["stop", "length"]
    """Whether the model ended it, or the limit of tokens."""
    usage: Usage


@runtime_checkable
class Chatting(Generator, Protocol):
    """A language model that goes on with chats of any content, beside the tasks' questions."""

    def chat_prompt(self, chat: Chat) -> list[int]:
        """Return the tokens of a chat in the model's own layout.

        Raises ModelError where the model has none, and DataError where the layout refuses the messages or they are
        too long.
        """

    def chat(self, chats: Sequence[Chat], prompts: Sequence[list[int]]) -> list[ChatReply]:
        """Complete chats together, in order; each as it would be alone."""


class Tuning(Protocol):
    """How the models of a family are tuned; a module with these functions is one."""

    def load_tokenizer(self, recipe: "Recipe") -> "PreTrainedTokenizerBase":
        """Return the tokenizer of the recipe's base; raises ModelError where it cannot be had."""

    def trainer_for(self, recipe: "Recipe", rows: "Rows", out: Path, console: "Console") -> "Trainer":
        """Return the trainer of a run, which has not begun; raises ModelError where the base is of no use."""

    def tune(
        self, recipe: "Recipe", rows: "Rows", out: Path, checkpoint: str | None, monitoring: "Monitoring"
    ) -> "ModelInfo":
        """Tune a model, from a checkpoint on where there is one, write its weights and tokenizer to `out`, and return
        recipe, template and what else the family's generator needs."""


@dataclass(frozen=True)
class Family:
    """A kind of models. Its functions import what they need when they are called, so that a family that is not used
    costs no time."""

    name: str
    """As recipes and MODEL folders give it."""
    load: Callable[[Path, str, Decoding], Generator]
    """Return the generator of a MODEL folder on a device; raises ModelError where the folder is of no use."""
    refusal: Callable[[str, Decoding], str | None] = lambda model, decoding: None
    """Return why a model, by name, does not support this decoding, in one sentence; None where it does."""
    tuning: Callable[[], Tuning] | None = None
    """None where no recipe tunes such a model."""
    foreign_keys: Mapping[str, str] = field(default_factory=dict)
    """Recipe keys, such as optimisation.freeze_layers, that mean nothing for it, each with what it is for."""
    one_process: bool = False
    """Whether it is tuned in one process only."""
    library: str = "transformers"
    """By which a hub says that its models are loaded."""
    runs_in_vllm: bool = False


@runtime_checkable
class ServedGenerator(Streaming, Protocol):
    """A model behind a server."""

    def identity(self) -> dict[str, str]:
        """Return what its answers depend on, for the record of a run."""

    def remarks(self) -> list[str]:
        """Return remarks on the answers so far, a sentence each."""


@dataclass(frozen=True)
class Engine:
    """Where models run that have `NAME:` before their own name: in an engine that loads folders, or behind a server.

    As with a family, its functions import what they need when they are called.
    """

    name: str
    load: Callable[[Path, Family, Decoding], Generator] | None = None
    """Return the generator of a MODEL folder of a family; None where models are behind a server."""
    connect: Callable[[str, "Server | None", Decoding, str | None, Path | None], ServedGenerator] | None = None
    """Return the generator of a model by its name at a server, with a template and a calibration file."""
    of_rows: bool = False
    """Whether its models answer questions that are made from rows, and none of a dataset."""

    @property
    def prefix(self) -> str:
        """What stands before the name of a model."""
        return f"{self.name}:"
