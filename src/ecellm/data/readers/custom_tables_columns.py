"""What a shop's own tables may hold: their columns, what may stand for a product's id, and which tasks they allow."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ecellm.data.samplers import SAMPLERS


@dataclass(frozen=True)
class TableForms:
    """How one table of the Store may be given."""

    needed: Mapping[str, str]
    """Columns that must be there, with their kind (`OWN_TYPES`)."""
    optional: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What a row may show instead of a product's id, by the id's column: the product's columns to the row's own."""


#: What tells a record apart that has no id.
RECORD = ("title", "description", "brand", "price")
FORMS: Mapping[str, TableForms] = {
    "products": TableForms(
        {"product_id": "text", "title": "text"},
        dict.fromkeys(("category", "catalogue", "description", "feature", "brand", "price"), "text")
        | {"categories": "texts"},
    ),
    "reviews": TableForms(
        {"stars": "stars", "text": "text"},
        dict.fromkeys(("category", "product_id", "user_id"), "text") | {"time": "time"},
    ),
    "purchases": TableForms({"product_id": "text", "user_id": "text", "time": "time"}, {"category": "text"}),
    "relations": TableForms(
        {"product_id": "text", "other_id": "text", "relation": "text"},
        {"category": "text", "split": "text"},
        {"product_id": {"title": "title"}, "other_id": {"title": "other_title"}},
    ),
    "matches": TableForms({"left_id": "text", "right_id": "text"}),
    "pairs": TableForms(
        {"left_id": "text", "right_id": "text", "label": "truth"},
        {"split": "text"},
        {f"{side}_id": {name: f"{side}_{name}" for name in RECORD} for side in ("left", "right")},
    ),
    "judgements": TableForms(
        {"query": "text", "product_id": "text", "label": "text"},
        {"small": "truth", "split": "text"},
        {"product_id": {"title": "title"}},
    ),
    "attributes": TableForms(
        {"product_id": "text", "attribute": "text"},
        {"category": "text", "position": "number", "value": "text", "field": "text", "split": "text"},
    ),
    "questions": TableForms(
        {"question": "text", "snippets": "texts"},
        dict.fromkeys(("category", "product_id", "kind", "split"), "text")
        | {"answerable": "truth", "answers": "answers"},
    ),
}
#: What a table needs beside its own needed columns.
ALSO: Mapping[str, Collection[tuple[str, str]]] = {"matches": (("products", "catalogue"),)}
#: The Store's columns that a table has, with their own names.
Columns = Mapping[str, str]


def obstacles(columns: Mapping[str, Columns], given: Collection[str]) -> dict[str, str]:
    """Return why tasks cannot be built from own tables of these columns and the tables that other sources give,
    by task."""
    found = {}
    for task, sampler in SAMPLERS.items():
        needs = sampler.tables(columns)
        if set(needs) - {"products"} <= set(given):
            continue
        if all(name in columns and is_whole(name, columns) for name in needs if name != "products"):
            needs = tuple(name for name in needs if name != "products")
        lacking = [name for name in needs if name not in columns]
        lacking += [sampler.alternatives[name] for name in lacking if name in sampler.alternatives]
        wanted = [(name, column) for name in needs if name in columns for column in kinds_of(name, columns)[0]]
        beside = [*sampler.columns, *(also for name in needs for also in ALSO.get(name, ()))]
        wanted += [also for also in beside if also[0] in columns]
        absent = [_named(*column) for column in wanted if column[1] not in columns[column[0]]]
        # A table that is there but has other columns says more than that there are no products beside it.
        if absent and set(lacking) <= {"products"}:
            found[task] = f"there is no column {' and no column '.join(absent)}"
        elif lacking:
            found[task] = f"there is no table {' and no table '.join(lacking)}"
    return found


def is_whole(name: str, columns: Mapping[str, Columns]) -> bool:
    """Say whether a table shows its products' records: it names no products, or there are none to name."""
    own, form = columns[name].keys(), FORMS[name]
    titles = {record["title"] for record in form.records.values()}
    if own >= form.records.keys():
        return "products" not in columns and bool(titles) and own >= titles
    return bool(own & titles)


def kinds_of(name: str, columns: Mapping[str, Columns]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the columns that a table needs and those that it may have, with their kinds."""
    form = FORMS[name]
    if not is_whole(name, columns):
        return dict(form.needed), dict(form.optional)
    titles = {record["title"]: "text" for record in form.records.values()}
    needed = titles | {column: kind for column, kind in form.needed.items() if column not in form.records}
    others = {column: "text" for record in form.records.values() for column in record.values()}
    return needed, {**form.optional, **{column: kind for column, kind in others.items() if column not in needed}}


def _named(table: str, column: str) -> str:
    """Return a column's name for messages, with what may stand there instead."""
    record = FORMS[table].records.get(column)
    return f"{table}.{column} (or {record['title']})" if record else f"{table}.{column}"
