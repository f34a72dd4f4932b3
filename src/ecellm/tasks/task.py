"""What a task is: the one type that each of the ten task files fills in.

A task says what it asks (six instructions), how its samples are drawn from the Store, what an answer
looks like and how it is scored, and which parts of its input may be cut to fit a token budget.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from ecellm.records import Domain, Sample, Split
from ecellm.tasks.answers import AnswerType

if TYPE_CHECKING:
    import ibis.expr.types as ir

    from ecellm.store import Store

#: Drawn beyond a quota, as a share of it, so that the builder can drop duplicates and leaks and refill.
RESERVE = 0.5
#: How out-of-domain rows are told from the others.
CATEGORY, ATTRIBUTE, BRAND, TIME = "category", "attribute", "brand", "time"
#: In which shares the answers of a task with classes are drawn: as they come, in the source's own shares in every
#: split, or in equal shares while they last.
NATURAL, STRATIFIED, BALANCED = "natural", "stratified", "balanced"


@dataclass(frozen=True)
class Piece:
    """A run of a sample's input or options text: the whole is the pieces joined with nothing between."""

    text: str
    rank: int | None = None
    """None is never cut. Otherwise rank 1 is cut first, then 2, and so on; of equal rank, the pieces that are
    dropped go first, the last one before the others, then the rest are shortened evenly."""
    how: Literal["drop", "end"] = "drop"
    """drop: the piece goes as a whole; end: it loses tokens from its end."""
    mark: str | None = None
    """What the piece is, for models that point into the prompt: an option's or product's letter ("A"),
    a text field ("product title"), or "snippet". Marks of letters stand on the letter alone."""
    of: str | None = None
    """Which of the input's texts it belongs to, such as "product 1" or "query"."""


@dataclass(frozen=True)
class Pieces:
    """A sample taken apart for the prompt: `input` joins to the sample's input, `options` to its options."""

    input: tuple[Piece, ...]
    options: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What the builder asks a task to draw."""

    seed: int
    quotas: Mapping[tuple[Split, Domain], int]
    """Rows wanted per split and domain; OOD has test rows only."""
    in_domain: tuple[str, ...] = ()
    """Categories of the in-domain rows; empty for tasks without categories."""
    out_of_domain: tuple[str, ...] = ()
    """What is held out for the OOD test rows: categories, attributes (empty lets the task draw them) or brands, or
    the day, such as 2018-01-31, from which on rows are out of domain."""
    negatives: str = ""
    """How wrong answers are drawn, one of the task's `negatives`; empty for the paper's way."""
    users_apart: bool = False
    """SR: whether a shopper stands in one split only, against the paper, whose test shoppers are trained on."""
    by: str = CATEGORY
    """How out-of-domain rows are told, one of the task's `domains`."""
    labels: str = NATURAL
    """In which shares the answers are drawn."""
    reserve: float = RESERVE
    """What is drawn beyond each quota, as a share of it."""
    given_split: bool = False
    """Whether the task's table is the user's own and says each row's split: its rows are taken as they are, even
    where they repeat or stand in two splits."""

    def enough(self, split: Split, domain: Domain) -> int:
        """Return how many rows to draw for a quota, the reserve included."""
        quota = self.quotas.get((split, domain), 0)
        return quota + int(quota * self.reserve) + (20 if quota else 0)

    def categories(self, domain: Domain) -> tuple[str, ...]:
        """Return the categories that a domain's rows come from."""
        return self.out_of_domain if domain == "OOD" and self.by == CATEGORY else self.in_domain


@dataclass
class Draw:
    """What a task drew."""

    samples: list[Sample] = field(default_factory=list)
    """In drawing order per (split, domain): the builder keeps the first of each up to the quota."""
    dropped: Counter[str] = field(default_factory=Counter)
    """How many rows of the Store could not become samples, by reason (short, lower-case: 'title is markup')."""
    lost: dict[str, list[ir.Table | list[Mapping[str, Any]]]] = field(default_factory=dict)
    """These rows, by reason, for those who ask to see them: nothing of a table is computed before."""
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Texts as the source wrote them, by sample id, where a row shows only what is ASCII of them: their language
    is identified by these."""

    def add(self, sample: Sample, written: tuple[str, ...]) -> None:
        """Add a sample that shows these texts of the source."""
        self.samples.append(sample)
        if not all(text.isascii() for text in written):
            self.written[sample.id] = written

    def drop(self, reason: str, count: int, rows: ir.Table | list[Mapping[str, Any]]) -> None:
        """Note rows that cannot become samples."""
        if count:
            self.dropped[reason] += count
            self.lost.setdefault(reason, []).append(rows)


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


#: A question of one's own by column: a text, a list of texts where there are many, None where nothing is given.
Given = Mapping[str, Any]


def _unchanged(answer: Any, given: Given) -> Any:
    return answer


@dataclass(frozen=True)
class Form:
    """How a question is put: natural columns, and the published texts made of them, drawn or asked alike."""

    columns: tuple[Column, ...]
    write: Callable[[Given], tuple[str, str | None]]
    """Return the published input and options (None where the task has none) of what was given. Raises ValueError
    with one sentence for what cannot be asked."""
    read: Callable[[Any, Given], Any] = _unchanged
    """Say a parsed answer in the question's own terms, such as an option's text for its letter."""
    fields: tuple[str, ...] | None = None
    """The fields of a record, where the user chose them; None: the published ones."""
    of_fields: Callable[[Sequence[str]], Form] | None = None
    """Return the form of records with the fields that a user names; raises ValueError for what is no name. None where
    the task's fields are fixed."""


@dataclass(frozen=True)
class Task:
    """One of the ten tasks. `tasks/pm.py` shows how one is written."""

    name: str
    """The paper's abbreviation."""
    title: str
    """The published name, such as Product_Matching."""
    aliases: tuple[str, ...]
    """Other spellings of the title that the published files use."""
    instructions: tuple[str, ...]
    """Six: the first is the seed ("single"), the last is the unseen one, never used in training."""
    answer: AnswerType
    metric: str
    """The metric of the paper's main table, named as in SCORES.json."""
    out_of_domain: bool
    """Whether the paper has an out-of-domain test set for it."""
    needs: tuple[str, ...]
    """Tables of the Store that it draws from."""
    draw: Callable[[Store, Plan], Draw]
    pieces: Callable[[Sample], Pieces]
    form: Form
    """How a question of one's own is put."""
    negatives: tuple[str, ...] = ()
    """Ways to draw wrong answers, harder than the paper's."""
    domains: tuple[str, ...] = ()
    """How out-of-domain rows may be told from the others, the paper's way first."""
    classes: bool = False
    """Whether it has classes whose shares may be chosen (see `Plan.labels`)."""
    language: str = ""
    """The language (ISO 639-1) that the paper keeps the task's texts to; empty where it keeps all."""
    texts: Callable[[Sample], tuple[str, ...]] = lambda sample: ()
    """The texts of a row's input that are written in a language."""
    facts: Callable[[Sample], tuple[str, ...]] = lambda sample: ()
    """What a row's answer gives away, read off its published input, for rows that were imported: see
    `Sample.facts`."""
    alternatives: Mapping[str, str] = field(default_factory=dict)
    """Tables of the user's own that it draws from instead of one of `needs`, by that one."""

    def __post_init__(self) -> None:
        assert len(self.instructions) == 6 and len(set(self.instructions)) == 6, self.name

    def tables(self, own: Collection[str]) -> tuple[str, ...]:
        """Return the tables of the Store that it draws from where the user has tables of these names."""
        return tuple(other if (other := self.alternatives.get(name, name)) in own else name for name in self.needs)

    def with_fields(self, fields: Sequence[str]) -> Task:
        """Return the task with records of these fields instead of the published ones.

        Raises ValueError with one sentence where its fields are fixed, or a name is none.
        """
        if self.form.of_fields is None:
            raise ValueError(f"{self.name} shows no records of your own fields: leave the fields out.")
        return replace(self, form=self.form.of_fields(fields))

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
