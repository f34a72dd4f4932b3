"""Drawing rows from the Store, shared by the samplers: splits, domains and quotas by keyed hash."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from operator import or_
from typing import TypeVar

import ibis
import ibis.expr.types as ir

from ecellm.data.samplers.base import BALANCED, BRAND, NATURAL, TIME, Plan
from ecellm.data.schema import Row, Store
from ecellm.types import Domain, Split

#: Hexadecimal marks of 80 % and 90 % of the range of a keyed hash.
TRAIN_BELOW, VALIDATION_BELOW = "cccccccc", "e6666666"
#: The characters of a keyed hash.
KEY_DIGITS = 32
#: So many characters of a row's place in the order are counted: one for its turn, three of its key.
BEGINNING = 4
#: What Ibis strips.
WHITE = (" ", "\t", "\n", "\v", "\f", "\r")
T = TypeVar("T")
#: What is left of a page's code in a title once its tags are gone (RE2 and Java alike).
SCRIPT = "getTime"
TAG = "<[^<>]*>"
CODE = f"<[a-zA-Z/!]|{SCRIPT}"


def eighty_ten_ten(key: ir.StringValue) -> ir.StringValue:
    """Return the split that a keyed hash falls in: 80 % train, 10 % validation, 10 % test."""
    return ibis.cases((key < TRAIN_BELOW, "train"), (key < VALIDATION_BELOW, "validation"), else_="test")


def split_of(key: ir.StringValue) -> ir.StringValue:
    """Return the split, 80/10/10, of a row that is drawn by this keyed hash: its end has nothing to do with its
    beginning, which decides the order."""
    return eighty_ten_ten(key.substr(KEY_DIGITS - len(TRAIN_BELOW)))


def normalised(text: ir.StringValue) -> ir.StringValue:
    """Return the text in lower case with single spaces for white space: equal results are the same text."""
    # To look for each sign takes a sixth of the time of an expression, and that an eighth of the time to replace.
    spaced = reduce(or_, (text.contains(sign) for sign in ("  ", *WHITE[1:])))
    spaced = spaced | text.startswith(" ") | text.endswith(" ")
    return ibis.ifelse(spaced, trimmed(text.re_replace(r"[\t\n\x0B\f\r ]+", " ")), text).lower()


def trimmed(text: ir.StringValue) -> ir.StringValue:
    """Return the text without spaces at its ends; many times as fast as stripping all white space.

    DuckDB and Spark both have the function.
    """

    @ibis.udf.scalar.builtin(name="trim", signature=(("string",), "string"))
    def trim(text):  # type: ignore[no-untyped-def]
        """Cut spaces off a text."""

    return trim(text)


def stripped(text: ir.StringValue) -> ir.StringValue:
    """Return the text without white space at its ends; as fast where there is none as `trimmed`."""
    # White space sorts before "!". To look at the last character takes many times as long: all before it are counted.
    spaced = reduce(or_, (text.endswith(sign) for sign in WHITE), text < "!")
    return ibis.ifelse(spaced, text.strip(), text)


def is_code(title: ir.StringValue) -> ir.BooleanValue:
    """Say whether a title is a piece of a page's code: an unfinished tag or a script. Whole tags are none."""
    return ibis.ifelse(title.contains("<"), title.re_replace(TAG, " ").re_search(CODE), title.contains(SCRIPT))


def outside(rows: ir.Table, plan: Plan) -> ir.BooleanValue:
    """Say which rows are out of domain, by their column category, brand or time (seconds since 1970)."""
    if plan.by == TIME:
        return rows.time >= since(plan) if plan.out_of_domain else rows.time.isnull()
    named = rows.brand if plan.by == BRAND else rows.category
    return named.fill_null("").isin(plan.out_of_domain)


def since(plan: Plan) -> int:
    """Return the second since 1970 (UTC) from which on rows are out of domain."""
    return int(datetime.fromisoformat(plan.out_of_domain[0]).replace(tzinfo=UTC).timestamp())


def branded(store: Store, rows: ir.Table) -> ir.Table:
    """Add the brand of each row's product, null where it is not known."""
    brands = store.catalogue("amazon_2018").select("category", "product_id", "brand")
    return rows.left_join(brands, ["category", "product_id"]).drop("category_right", "product_id_right")


def first_by_split(store: Store, table: ir.Table, key: str, counts: dict[Split, int]) -> dict[Split, list[Row]]:
    """Collect, for each split of the table's `split` column, its `count` rows with the smallest keys."""
    return {
        split: store.first(table.filter(table.split == split), key, count) if count else []
        for split, count in counts.items()
    }


@dataclass(frozen=True)
class Drawn:
    """Rows drawn for every part of a plan."""

    plan: Plan
    found: Mapping[tuple[str, ...], list[Row]]
    """The rows by part and category, in the order they are drawn in."""
    answers: Mapping[tuple[str, str], int]
    """How many rows there are of a category and answer; empty where the plan does not ask."""

    def rows(self, split: Split, domain: Domain) -> list[Row]:
        """Return a part's rows in drawing order, whatever their category."""
        found = [row for rows in self.by_category(split, domain) for row in rows]
        found.sort(key=lambda row: (row["order"], row["category"]))
        return self._in_shares(found)[: self.plan.enough(split, domain)]

    def by_category(self, split: Split, domain: Domain) -> list[list[Row]]:
        """Return a part's rows in drawing order, a list per category."""
        names = categories_of(self.plan, domain)
        return [self._in_shares(self.found.get((_part(split, domain), name), [])) for name in names]

    def in_turn(self, split: Split, domain: Domain) -> list[Row]:
        """Return a part's rows, of which each category gives an equal share while it lasts; of balanced answers, an
        equal share of each answer's rows."""
        if self.plan.labels != BALANCED:
            return in_turn(self.by_category(split, domain))[: self.plan.enough(split, domain)]
        by_answer: dict[str, list[list[Row]]] = {}
        for rows in self.by_category(split, domain):
            own: dict[str, list[Row]] = {}
            for row in rows:
                own.setdefault(row["answer"], []).append(row)
            for answer, part in own.items():
                by_answer.setdefault(answer, []).append(part)
        lists = [in_turn(by_answer[answer]) for answer in sorted(by_answer)]
        return in_turn(lists)[: self.plan.enough(split, domain)]

    def _in_shares(self, rows: list[Row]) -> list[Row]:
        """Return the rows in an order whose every beginning has the answers in the shares that the plan asks for,
        while they last."""
        if self.plan.labels == NATURAL:
            return rows
        names = {row["category"] for row in rows}
        shares: Counter[str] = Counter()
        for (category, answer), count in self.answers.items():
            if category in names:
                shares[answer] += count
        turns: Counter[str] = Counter()
        places = []
        for row in rows:
            answer = row["answer"]
            places.append((turns[answer] + 0.5) / (1 if self.plan.labels == BALANCED else shares[answer]))
            turns[answer] += 1
        order = sorted(range(len(rows)), key=lambda number: places[number])
        return [rows[number] for number in order]


def in_turn(lists: Sequence[Sequence[T]]) -> list[T]:
    """Return the first item of each list, then the second of each, and so on while they last."""
    turns = max((len(items) for items in lists), default=0)
    return [items[turn] for turn in range(turns) for items in lists if turn < len(items)]


def draw_rows(store: Store, table: ir.Table, plan: Plan) -> Drawn:
    """Collect the rows with the smallest keys that the plan's parts may need, in one query.

    The table has the columns category, split, key and outside (whether a row is out of domain; of those all are
    for testing, though the rows of the test split come first), and, where the plan asks for shares, answer.
    """
    part = ibis.ifelse(table.outside, "OOD", table.split)
    last = ibis.ifelse(table.outside & (table.split != "test"), "1", "0")
    placed = table.mutate(part=part, order=last + table.key).drop("outside")
    answers: dict[tuple[str, str], int] = {}
    by = ["part", "category"]
    if plan.labels != NATURAL:
        by.append("answer")
        counted = store.rows(placed.group_by(["category", "answer"]).agg(rows=placed.count()))
        answers = {(row["category"], row["answer"]): row["rows"] for row in counted}
    wanted = {
        (_part(split, domain), category, *answer): plan.enough(split, domain)
        for (split, domain), quota in plan.quotas.items()
        for category in categories_of(plan, domain)
        for answer in ([(name,) for place, name in answers if place == category] if answers else [()])
        if quota
    }
    found: dict[tuple[str, ...], list[Row]] = {}
    for row in _firsts(store, placed, wanted, by):
        found.setdefault((row["part"], row["category"]), []).append(row)
    return Drawn(plan, found, answers)


def categories_of(plan: Plan, domain: Domain) -> Sequence[str]:
    """Return the categories of a domain; one without a name where the task has none."""
    return plan.categories(domain) or ("",)


def _part(split: Split, domain: Domain) -> str:
    return "OOD" if domain == "OOD" else split


def _firsts(store: Store, table: ir.Table, wanted: Mapping[tuple[str, ...], int], by: Sequence[str]) -> list[Row]:
    """Collect, for each group of the columns `by` that is wanted, its so many rows that come first in their
    order, in that order; in two queries, however many groups there are.

    Only the rows whose order begins low enough are sorted: counting beginnings first is many times as fast as
    sorting all rows of a large shop, and nothing of these need be kept in between.
    """
    rows = [{**dict(zip(by, group, strict=True)), "wanted": count} for group, count in wanted.items()]
    counts = store.given(rows, **dict.fromkeys(by, "string"), wanted="int64")
    begun = table.mutate(beginning=table.order.left(BEGINNING))
    sizes = begun.group_by([*by, "beginning"]).agg(size=begun.count())
    window = ibis.cumulative_window(group_by=by, order_by="beginning")
    before = sizes.mutate(before=sizes["size"].sum().over(window) - sizes["size"])
    low = before.inner_join(counts, by).filter(lambda t: t.before < t.wanted)
    limits = store.rows(low.group_by([*by, "wanted"]).agg(limit=low.beginning.max()))
    if not limits:
        return []
    near = begun.filter(begun.beginning <= max(row["limit"] for row in limits))
    given = store.given(limits, **dict.fromkeys(by, "string"), wanted="int64", limit="string")
    near = near.inner_join(given, by).filter(lambda t: t.beginning <= t["limit"])
    place = ibis.row_number().over(group_by=by, order_by="order")
    chosen = near.mutate(place=place).filter(lambda t: t.place < t.wanted)
    return store.rows(chosen.drop("wanted", "limit", "place", "beginning").order_by("order"))
