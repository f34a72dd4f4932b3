"""Pieces of SQL as Spark takes them: names, paths, types, JSON, and what its errors mean."""

from collections.abc import Iterable
from pathlib import Path

from ecellm.data.engines.base import JsonType

#: DuckDB's names of types that Spark calls otherwise.
TYPES = {"VARCHAR": "string", "DOUBLE": "double", "BIGINT": "bigint"}


def json_text(columns: Iterable[str]) -> str:
    """Return the SQL for a row's columns as JSON text."""
    return f"to_json(struct({', '.join(map(quoted, columns))}), map('ignoreNullFields', 'false'))"


def wrong_type(name: str, kind: JsonType) -> str:
    """Return the SQL condition that a key's value is there but of another type; empty text counts as missing."""
    whole = f"try_variant_get(parsed, '$.row.{name}', 'variant')"
    if kind == "VARCHAR":
        return (
            f"left({quoted(name)}, 1) IN ('{{', '[') AND "
            f"(schema_of_variant({whole}) LIKE 'OBJECT%' OR schema_of_variant({whole}) LIKE 'ARRAY%')"
        )
    text = f"coalesce(try_variant_get(parsed, '$.row.{name}', 'string'), '')"
    return f"{quoted(name)} IS NULL AND {text} <> ''"


def or_empty(name: str, kind: JsonType) -> str:
    """Return the SQL condition that a text is empty; nothing for other types."""
    return f" OR {quoted(name)} = ''" if kind == "VARCHAR" else ""


def spark_type(kind: JsonType) -> str:
    """Return DuckDB's name of a type, or a structure of them, as Spark's."""
    if isinstance(kind, list):
        return f"array<{spark_type(kind[0])}>"
    if isinstance(kind, dict):
        return f"struct<{', '.join(f'{name}: {spark_type(of)}' for name, of in kind.items())}>"
    return TYPES[kind]


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
