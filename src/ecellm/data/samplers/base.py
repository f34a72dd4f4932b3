"""What a sampler is: how one task's examples are drawn from the tables, and what the builder asks of it."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import ibis.expr.types as ir

from ecellm.data.schema import Store
from ecellm.types import Domain, Example, Split

#: Drawn beyond a quota, as a share of it, so that the builder can drop duplicates and leaks and refill.
RESERVE = 0.5
#: By what out-of-domain rows differ from the others.
CATEGORY, ATTRIBUTE, BRAND, TIME = "category", "attribute", "brand", "time"
#: In which shares the answers of a task with classes are drawn: as they come, in the source's own shares in every
#: split, or in equal shares while they last.
NATURAL, STRATIFIED, BALANCED = "natural", "stratified", "balanced"


@dataclass(frozen=True)
class Plan:
    """What the builder asks a sampler to draw."""

    seed: int
    quotas: Mapping[tuple[Split, Domain], int]
    """Rows wanted per split and domain; OOD has test rows only."""
    in_domain: tuple[str, ...] = ()
    """Categories of the in-domain rows; empty for tasks without categories."""
    out_of_domain: tuple[str, ...] = ()
    """What is held out for the OOD test rows: categories, attributes (empty lets the sampler draw them) or brands, or
    the day, such as 2018-01-31, from which on rows are out of domain."""
    negatives: str = ""
    """How wrong answers are drawn, one of the sampler's `negatives`; empty for the paper's way."""
    split_by_user: bool = False
    """Whether a shopper stands in one split only, against the paper, whose test shoppers are trained on."""
    by: str = CATEGORY
    """By what out-of-domain rows differ, one of the sampler's `domains`."""
    labels: str = NATURAL
    """In which shares the answers are drawn."""
    reserve: float = RESERVE
    """What is drawn beyond each quota, as a share of it."""
    given_split: bool = False
    """Whether the table is the user's own and says each row's split: its rows are taken as they are, even where they
    repeat or stand in two splits."""

    def enough(self, split: Split, domain: Domain) -> int:
        """Return how many rows to draw for a quota, the reserve included."""
        quota = self.quotas.get((split, domain), 0)
        return quota + int(quota * self.reserve) + (20 if quota else 0)

    def categories(self, domain: Domain) -> tuple[str, ...]:
        """Return the categories that a domain's rows come from."""
        return self.out_of_domain if domain == "OOD" and self.by == CATEGORY else self.in_domain


@dataclass
class Draw:
    """What a sampler drew."""

    examples: list[Example] = field(default_factory=list)
    """In drawing order per (split, domain): the builder keeps the first of each up to the quota."""
    dropped: Counter[str] = field(default_factory=Counter)
    """How many rows of the Store could not become examples, by reason (short, lower-case: 'title is markup')."""
    lost: dict[str, list[ir.Table | list[Mapping[str, object]]]] = field(default_factory=dict)
    """These rows, by reason, for those who ask to see them: nothing of a table is computed before."""
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Texts as the source wrote them, by example id, where a row shows only what is ASCII of them: their language
    is identified by these."""

    def add(self, example: Example, written: tuple[str, ...]) -> None:
        """Add an example that shows these texts of the source."""
        self.examples.append(example)
        if not all(text.isascii() for text in written):
            self.written[example.id] = written

    def drop(self, reason: str, count: int, rows: ir.Table | list[Mapping[str, object]]) -> None:
        """Note rows that cannot become examples."""
        if count:
            self.dropped[reason] += count
            self.lost.setdefault(reason, []).append(rows)


@dataclass(frozen=True)
class Sampler:
    """How one task's examples are drawn. `data/samplers/psi.py` shows how one is written."""

    draw: Callable[[Store, Plan], Draw]
    needs: tuple[str, ...]
    """Tables of the Store that it draws from."""
    alternatives: Mapping[str, str] = field(default_factory=dict)
    """Tables of the user's own that it draws from instead of one of `needs`, by that one."""
    columns: tuple[tuple[str, str], ...] = ()
    """Columns (table and name) that it needs of the user's own tables, beside those that every such table has."""
    negatives: tuple[str, ...] = ()
    """Ways to draw wrong answers, harder than the paper's."""
    domains: tuple[str, ...] = ()
    """By what out-of-domain rows may differ from the others, the paper's way first."""
    has_classes: bool = False
    """Whether the shares of the answers may be chosen (see `Plan.labels`)."""
    has_users: bool = False
    """Whether shoppers may be kept apart (see `Plan.split_by_user`)."""
    language: str = ""
    """The language (ISO 639-1) that the paper keeps the task's texts to; empty where it keeps all."""

    def tables(self, own: Collection[str]) -> tuple[str, ...]:
        """Return the tables of the Store that it draws from where the user has tables of these names."""
        return tuple(other if (other := self.alternatives.get(name, name)) in own else name for name in self.needs)
