"""The definition of a task: the one type that each task file fills in.

A task has six instructions, an answer type with its scoring, the parts of its input that may be truncated to fit a
token budget, and the columns of a question on a user's own rows. Its sampler (`ecellm.data.samplers`) draws its
examples from a shop's tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ecellm.errors import DataError
from ecellm.tasks.answers import Answers, AnswerType, option_texts
from ecellm.tasks.text_pairs import TextPair, whole_input
from ecellm.types import Example


@dataclass(frozen=True)
class Piece:
    """A run of an example's input or options text: the whole is the pieces joined with nothing between."""

    text: str
    rank: int | None = None
    """None is never truncated. Otherwise rank 1 goes first, then 2, and so on; of equal rank, the pieces that are
    dropped go first, the last one before the others, then the rest are shortened evenly."""
    how: Literal["drop", "end"] = "drop"
    """drop: the piece is removed as a whole; end: it loses tokens from its end."""
    mark: str | None = None
    """What the piece is, for models that point into the prompt: an option's or product's letter ("A"),
    a text field ("product title"), or "snippet". Marks of letters stand on the letter alone."""
    of: str | None = None
    """Which of the input's texts it belongs to, such as "product 1" or "query"."""


@dataclass(frozen=True)
class Pieces:
    """An example in pieces for the prompt: `input` joins to the example's input, `options` to its options."""

    input: tuple[Piece, ...]
    options: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column of a question of one's own."""

    name: str
    """As in the Store, with _1 and _2 where a question shows two products."""
    says: str
    """What it holds."""
    needed: bool = True
    many: bool = False
    """A list of texts."""
    least: int = 1
    """Of a list that is needed: the fewest texts."""
    most: int | None = None
    """Of a list: the most texts, where more are refused."""


@dataclass(frozen=True)
class Quote:
    """A text of an answer that may stand in the question, where it is shown marked."""

    column: str
    """Where it stands."""
    text: str
    name: str = ""
    """What it is, such as an attribute."""


#: A question of one's own by column: a text, a list of texts where there are many, None where nothing is given.
Given = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """The columns of a question on a user's own rows, and the published texts made of them, as in training."""

    columns: tuple[Column, ...]
    write: Callable[[Given], tuple[str, str | None]]
    """Return the published input and options (None where the task has none) of what was given. Raises DataError
    with one sentence for values that make no question."""
    read: Callable[[Any, Given], object] = lambda answer, given: answer
    """Return a parsed answer in the question's own terms, such as an option's text for its letter."""
    quotes: Callable[[Any], Sequence[Quote]] = lambda answer: ()
    """Return which texts of an answer, in the question's own terms, may have been copied from its columns."""
    fields: tuple[str, ...] | None = None
    """The fields of a record, where the user chose them; None: the published ones."""
    of_fields: Callable[[Sequence[str]], Form] | None = None
    """Return the form of records with the fields that a user names; raises DataError for what is no name. None where
    the task's fields are fixed."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task. `tasks/psi.py` shows how one is written."""

    name: str
    """The paper's abbreviation."""
    title: str
    """The published name, such as Product_Matching."""
    aliases: tuple[str, ...] = ()
    """Other spellings of the title that the published files use."""
    instructions: tuple[str, ...]
    """Six: the first is the seed ("single"), the last is the unseen one, never used in training."""
    answer: AnswerType[Any]
    metric: str
    """The metric of the paper's main table, named as in SCORES.json."""
    out_of_domain: bool
    """Whether the paper has an out-of-domain test set for it."""
    pieces: Callable[[Example], Pieces]
    form: Form
    """The columns of a question on a user's own rows."""
    texts: Callable[[Example], tuple[str, ...]] = lambda example: ()
    """The texts of a row's input that are written in a language."""
    facts: Callable[[Example], tuple[str, ...]] = lambda example: ()
    """What a row's answer gives away, read off its published input, for rows that were imported: see
    `Example.facts`."""
    exchanged: Callable[[Example], Example] | None = None
    """Return a row with its two records exchanged, where that leaves the answer as it is."""
    compared: Callable[[Example], Sequence[TextPair]] = whole_input
    """The texts that a row compares: one pair, or, of a row with a list, one for each item."""
    segments: Callable[[Example], tuple[str, ...]] | None = None
    """The texts of a row that are worth reading one by one, at least one."""
    segments_decide: Literal["one", "all"] = "all"
    """Whether one segment may decide the answer, or each has its share in it."""
    history: Callable[[Example], list[str]] | None = None
    """The items before the answer, oldest first, of rows whose options are candidates for the next."""
    relates_products: bool = False
    """Whether a row is of two products, and its class the relation that holds between them."""
    judgements: str = ""
    """Of a ranking: the task whose classes are the labels of single items, in the order of the gains."""
    trivial: Callable[[Sequence[Example]], Mapping[str, Answers[object]]] = lambda examples: {}
    """Answers by rules that need no learning, one an example, beside those of the answer type."""
    verb: str = ""
    """The method of the Python API for this task; empty: `ask` with the task's name."""
    endpoint: str = ""
    """The last part of the service's address for this task; empty: the verb, or else the title, with hyphens."""
    sample_rows: tuple[Mapping[str, object], ...] = ()
    """Questions of one's own, by column: short, for checks that need no dataset."""

    def __post_init__(self) -> None:
        assert len(self.instructions) == 6 and len(set(self.instructions)) == 6, self.name

    def with_fields(self, fields: Sequence[str]) -> Task:
        """Return the task with records of these fields instead of the published ones.

        Raises DataError with one sentence where its fields are fixed, or a name is none.
        """
        if self.form.of_fields is None:
            raise DataError(f"{self.name} shows no records of your own fields: omit the fields.")
        return replace(self, form=self.form.of_fields(fields))

    def check_input(self, example: Example) -> None:
        """Raise DataError where an imported row's input is not in the task's form, or lacks the options to choose
        from."""
        try:
            pairs = self.compared(example)
            if self.history is not None:
                self.history(example)
            if self.answer.kind == "spans":
                self.answer.attributes(example)
            known = bool(pairs) and bool(example.input.strip())
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
            known = False
        if not known:
            raise DataError(f"The input of {example.id} is not in the form of {self.name}.")
        if self.answer.kind == "choice" and not self.answer.has_classes and not option_texts(example.options or "[]"):
            raise DataError(f"{example.id} has no options, without which there is nothing to choose from.")

    @property
    def address(self) -> str:
        """The address at which a service answers its questions."""
        return "/v1/" + (self.endpoint or (self.verb or self.title.lower()).replace("_", "-"))

    def read(self, text: str, example: Example, given: Given) -> object:
        """Return a completion in the terms of the row that the example was made from; None where it is no answer."""
        answer = self.answer.parse(text, example)
        return None if answer is None else self.form.read(answer, given)

    def name_of(self, candidate: str, example: Example, given: Given) -> str:
        """Return the name of a candidate's answer, by which a row's probabilities are given."""
        return self.answer.candidate_name(candidate, self.read(candidate, example, given))

    @property
    def seed_instruction(self) -> str:
        """The instruction of the Single settings."""
        return self.instructions[0]

    @property
    def unseen_instruction(self) -> str:
        """The instruction of the Unseen settings, held out from training."""
        return self.instructions[-1]

    @property
    def seen_instructions(self) -> tuple[str, ...]:
        """The five that the Diverse settings draw from, the seed included."""
        return self.instructions[:-1]
