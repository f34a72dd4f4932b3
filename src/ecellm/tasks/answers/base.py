"""The base class of answer types, and the parsing of options and inputs."""

import ast
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar, Generic, Literal, TypedDict, TypeVar

import numpy as np
import pyarrow as pa

from ecellm.errors import DataError
from ecellm.tasks.scored import PairScorer, RowScorer, Scoring
from ecellm.types import Example

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: A random answer's figure is the mean over so many draws.
RANDOM_DRAWS = 20

#: What a model has to do: choose a candidate, order candidates, point at spans of the input, or write.
AnswerKind = Literal["choice", "ranking", "spans", "text"]
#: A parsed answer.
T = TypeVar("T")
#: Parsed answers, one a row; None where a text could not be parsed.
Answers = Sequence[T | None]
#: A JSON schema.
Schema = dict[str, object]


class Lengths(TypedDict):
    """How many words texts have."""

    mean: float
    median: float
    most: int


class TripleFigures(TypedDict):
    """Figures of a kind of triples, and the counts behind them."""

    precision: float
    recall: float
    f1: float
    hits: int
    answered: int
    labelled: int


class AnswerDetails(TypedDict, total=False):
    """What stands behind the figures of some answer types."""

    words: dict[Literal["answers", "references"], Lengths]
    value_triples: TripleFigures
    none_triples: TripleFigures


class AnswerType(ABC, Generic[T]):
    """How the answers of a task are printed, parsed, enumerated and scored."""

    name: ClassVar[str]
    kind: ClassVar[AnswerKind]
    has_classes: bool = False
    """Whether the answers are the same few classes in every row."""
    has_many_answers: ClassVar[bool] = False
    """Whether a question may well have several good answers."""
    choices: ClassVar[tuple[str, ...]] = ()
    """The words to choose among, where they are the same in every row."""
    gains: Mapping[str, float] = MappingProxyType({})
    """Of a ranking: the gain of each label that an item may have."""
    column: ClassVar[pa.DataType] = pa.string()
    """The type of a table's column of answers in the question's own terms."""

    @abstractmethod
    def print(self, answer: T, example: Example) -> str:
        """Return the answer as the published output field writes it."""

    @abstractmethod
    def parse(self, text: str, example: Example) -> T | None:
        """Return the answer that the text gives, strictly, or None."""

    @abstractmethod
    def parse_published(self, text: str) -> T | None:
        """Return what the published evaluation reads from the text, or None where it counts it in no figure."""

    @abstractmethod
    def candidates(self, example: Example) -> tuple[str, ...] | None:
        """Return every possible output text, in a fixed order, or None where there is no end of them."""

    @abstractmethod
    def schema(self, example: Example) -> Schema:
        """Return a JSON schema of the answer."""

    def written(self, value: object) -> str | None:
        """Return a JSON value of the schema's form as a text, or None where it is of another form."""
        return value if isinstance(value, str) else None

    @abstractmethod
    def row_scorer(self, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None) -> RowScorer[T]:
        """Return what counts answers to these examples, having read their labels once.

        Raises NotScorableError where a label is missing or not of the task's form.
        """

    @property
    def is_multiple_choice(self) -> bool:
        """Whether there are candidates, and so a probability of each."""
        return self.kind in ("choice", "ranking")

    @property
    def is_structured(self) -> bool:
        """Whether the answer is JSON of a schema."""
        return self.kind == "spans"

    @property
    def is_compared(self) -> bool:
        """Whether a model compares the answer with its reference: see `PairScorer`."""
        return self.kind == "text"

    def right_order(self, example: Example) -> list[int]:
        """Return the place of the right candidate, or of all items best first; empty where nothing is chosen."""
        return []

    def attributes(self, example: Example) -> list[str]:
        """Return the names whose values are to be extracted, in order; empty for other kinds."""
        return []

    def sources(self, example: Example) -> list[str]:
        """Return the fields that a value may stand in, in lower case; empty for other kinds."""
        return []

    def unparsed_published(self, examples: Sequence[Example], texts: Sequence[str], answers: Answers[T]) -> int:
        """Return how many of the texts the published evaluation cannot read."""
        return sum(answer is None for answer in answers)

    def trivial_answers(self, scoring: Scoring, examples: Sequence[Example]) -> dict[str, Answers[T]]:
        """Return the parsed answers, one an example, of each trivial rule that is not random."""
        return {}

    def random_answers(self, examples: Sequence[Example], generator: np.random.Generator) -> Sequence[Answers[T]]:
        """Return draws of uniformly random answers; none where there is no finite choice."""
        return []

    def label(self, example: Example) -> str:
        """Return the class of a row, where there are classes."""
        return example.output.strip()[:1]

    def ordered(self, classes: Iterable[str]) -> list[str]:
        """Return classes in the order in which they are shown."""
        return sorted(classes)

    def slice_of(self, example: Example) -> str | None:
        """Return what kind of label a row has, for scores by label; None where there are no kinds."""
        return self.label(example) if self.has_classes else None

    def details(self, examples: Sequence[Example], texts: Sequence[str], answers: Answers[T]) -> AnswerDetails:
        """Return what stands behind the figures of some rows, beside a confusion of classes."""
        return {}

    def candidate_name(self, candidate: str, readable: object) -> str:
        """Return what a candidate's probability stands under: the candidate in the question's own terms."""
        return str(readable)


def option_texts(options: str) -> list[str]:
    """Return the options of an example: the text is a JSON list or, for SR, a Python list's repr.

    Raises DataError where it is neither or not a list of strings. Nothing is executed.
    """
    return list(_option_texts(options))


# Scoring reads the same options for the answer, its trivial baselines and its slices.
@lru_cache(maxsize=20_000)
def _option_texts(options: str) -> tuple[str, ...]:
    try:
        read = json.loads(options)
    except (ValueError, RecursionError):
        try:
            read = ast.literal_eval(options)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            read = None
    if not isinstance(read, list) or not all(isinstance(option, str) for option in read):
        raise DataError(f"Options are not a list of texts: {options[:80]!r}.")
    return tuple(read)


def input_object(example: Example) -> Mapping[str, object]:
    """Return the JSON object that an example's input is; raises DataError where it is none."""
    read = _read(example.input)
    if not isinstance(read, dict):
        raise DataError(f"The input of {example.id} is no JSON object: it is not in the form of {example.task}.")
    return read


def input_part(example: Example, name: str) -> object:
    """Return what stands under a key of an example's JSON input; raises DataError where it has no such key."""
    read = _read(example.input)
    if not isinstance(read, dict) or name not in read:
        raise DataError(f"The input of {example.id} has no {name!r}: it is not in the form of {example.task}.")
    return read[name]


def input_list(example: Example, name: str) -> list[object]:
    """Return the list under a key of an example's JSON input; raises DataError where there is none."""
    found = input_part(example, name)
    if not isinstance(found, list):
        raise DataError(
            f"The input of {example.id} has no list under {name!r}: it is not in the form of {example.task}."
        )
    return found


def _read(text: str) -> object:
    """Return what a JSON text holds; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
