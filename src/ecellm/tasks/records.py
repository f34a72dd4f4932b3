"""Records of products: the columns of a question that belong to one product, such as title_1 and brand_1, stand in
JSON as one object, such as product_1."""

from collections.abc import Iterable, Mapping

#: A record of one product, whose keys are columns without their number: `product_1` for title_1, brand_1, ...
RECORD = "product"
NUMBERS = ("1", "2")


def records(singles: Iterable[str]) -> dict[str, list[str]]:
    """Return the columns of products' records, by number, among those that hold single values: a product of several
    columns is given as one record."""
    names = list(singles)
    found = {number: [name for name in names if name.endswith(f"_{number}")] for number in NUMBERS}
    return {number: own for number, own in found.items() if len(own) > 1}


def without_number(column: str) -> str:
    """Return the name of a record's column in its record."""
    return column.rpartition("_")[0]


def nested(singles: Iterable[str], row: Mapping[str, object]) -> dict[str, object]:
    """Return a row by column with the columns of each record in an object of its own."""
    made = dict(row)
    for number, own in records(singles).items():
        made[f"{RECORD}_{number}"] = {without_number(name): made.pop(name) for name in own if name in made}
    return made
