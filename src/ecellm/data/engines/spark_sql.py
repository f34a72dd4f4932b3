"""Pieces of SQL as Spark takes them: names, paths, types, JSON, and what its errors mean."""

from collections.abc import Callable, Iterable
from pathlib import Path

from ecellm.data.engines.base import JsonType

#: DuckDB's names of types that Spark calls otherwise.
TYPES = {"VARCHAR": "string", "DOUBLE": "double", "BIGINT": "bigint"}


def json_text(columns: Iterable[str]) -> str:
    """Return the SQL for a row's columns as JSON text."""
    return f"to_json(struct({', '.join(map(quoted, columns))}), map('ignoreNullFields', 'false'))"


def wrong_type(name: str, kind: JsonType) -> str:
    """Return the SQL condition that a key's value is there but of another type, or has a list or an object where a
    text belongs, or a null within a list of texts; empty text counts as missing."""
    own = f"try_variant_get(parsed, '$.row.{name}', '{spark_type(kind, text='variant')}')"
    odd = f"({_looks_odd(quoted(name), kind)}) AND ({_is_odd(own, kind)})"
    if kind == "VARCHAR":
        return odd
    text = f"coalesce(try_variant_get(parsed, '$.row.{name}', 'string'), '')"
    return f"CASE WHEN {quoted(name)} IS NULL THEN {text} <> '' ELSE {odd} END"


def _looks_odd(value: str, kind: JsonType, depth: int = 0) -> str:
    """Return the SQL condition that a text in a value begins as a list or an object does, or is null in a list."""
    if kind == "VARCHAR":
        return f"left({value}, 1) IN ('{{', '[')"
    return _within(value, kind, depth, _looks_odd, "{} IS NULL")


def _is_odd(value: str, kind: JsonType, depth: int = 0) -> str:
    """Return the SQL condition that a text in a value, here a variant, is a list or an object, or null in a list."""
    if kind == "VARCHAR":
        type_ = f"schema_of_variant({value})"
        return f"{type_} LIKE 'OBJECT%' OR {type_} LIKE 'ARRAY%'"
    return _within(value, kind, depth, _is_odd, "schema_of_variant({}) = 'VOID'")


def _within(value: str, kind: JsonType, depth: int, holds: Callable[[str, JsonType, int], str], null: str) -> str:
    """Return the SQL condition that something holds of a text in a list or an object, or `null` of one in a list."""
    if isinstance(kind, list):
        own = f"x{depth}"
        null = f"{null.format(own)} OR " if kind[0] == "VARCHAR" else ""
        return f"exists({value}, {own} -> {null}coalesce({holds(own, kind[0], depth + 1)}, false))"
    if isinstance(kind, dict):
        found = [f"coalesce({holds(f'{value}.{quoted(name)}', of, depth)}, false)" for name, of in kind.items()]
        return " OR ".join(found)
    return "false"


def or_empty(name: str, kind: JsonType) -> str:
    """Return the SQL condition that a text is empty; nothing for other types."""
    return f" OR {quoted(name)} = ''" if kind == "VARCHAR" else ""


def spark_type(kind: JsonType, text: str = "string") -> str:
    """Return DuckDB's name of a type, or a structure of them, as Spark's; `text` is that of texts."""
    if isinstance(kind, list):
        return f"array<{spark_type(kind[0], text)}>"
    if isinstance(kind, dict):
        return f"struct<{', '.join(f'{name}: {spark_type(of, text)}' for name, of in kind.items())}>"
    return text if kind == "VARCHAR" else TYPES[kind]


def spark_path(path: Path) -> str:
    """Return a path as Spark takes it; marks of a pattern in it stand for themselves."""
    special = "\\{}[]*?,"
    return "file:" + "".join("\\" + sign if sign in special else sign for sign in str(path.resolve()))


def message_of(error: Exception) -> str:
    """Return Spark's message of what is wrong, without its traces."""
    lines = [line.strip() for line in str(error).splitlines() if not line.startswith(("\t", "Traceback"))]
    caused = [line for line in lines if "[" in line and "]" in line] or lines
    return caused[0].partition(" SQLSTATE")[0].rstrip(". ")


def quoted(name: str) -> str:
    """Return a column's name as SQL."""
    return "`" + name.replace("`", "``") + "`"
