"""Pieces of SQL as DuckDB takes them: texts, files, lines, and conditions on them."""

import glob
from collections.abc import Iterable
from pathlib import Path

from ecellm.data.engines.base import JsonType
from ecellm.io.tables.lines import LONGEST_LINE

#: Where DuckDB puts what it could not read at all.
KEEP_REJECTS = "ignore_errors=true, store_rejects=true, rejects_table='reject_errors', rejects_scan='reject_scans'"
#: How DuckDB takes a line as it is; the delimiter is one that no text file holds.
AS_LINES = (
    "columns={'line': 'VARCHAR'}, delim='\x01\x02\x03\x04', quote='', escape='', header=false, auto_detect=false, "
    f"null_padding=true, strict_mode=false, new_line='\\n', max_line_size={LONGEST_LINE}, {KEEP_REJECTS}"
)

#: Which lines hold something, and which an object: to trim them all takes half as long as to parse them.
FILLED = "CASE WHEN line = '' OR starts_with(line, ' ') THEN trim(line) <> '' ELSE line IS NOT NULL END"
OBJECT = "CASE WHEN starts_with(line, '{') THEN true ELSE starts_with(ltrim(line), '{') END"
#: How a table's rows are taken as lines: as JSON text, which is written for the rows that need it.
AS_OBJECTS, OBJECT_TEXT = 'SELECT "row" AS line, "row".*, NULL::VARCHAR AS problem FROM', "to_json(line)::VARCHAR"


def enumeration(values: Iterable[str]) -> str:
    """Return the type of a column that has only these values: a byte a row instead of a text."""
    return f"ENUM({', '.join(map(quoted, sorted(set(values))))})"


def wrong_type(name: str, kind: JsonType) -> str:
    """Return the SQL condition that a key's value is there but of another type, or has a list or an object where a
    text belongs, or a null within a list of texts; empty text counts as missing.

    The line is parsed again only where a value did not convert, or looks like an object or a list.
    """
    value = f'"row"."{name}"'
    found = " OR ".join(_is_odd(path) for path in _texts_of(f"$.{name}", kind))
    look = f"WHEN {_looks_odd(value, kind)} THEN {found} " if found else ""
    if kind == "VARCHAR":
        return f"CASE {look}ELSE false END"
    there = f"coalesce(json_type(line, '$.{name}'), 'NULL') <> 'NULL' AND (line ->> '$.{name}') <> ''"
    return f"CASE WHEN {value} IS NULL THEN {there} {look}ELSE false END"


def _texts_of(path: str, kind: JsonType) -> list[str]:
    """Return the JSON paths of the texts in a value."""
    if isinstance(kind, list):
        return _texts_of(f"{path}[*]", kind[0])
    if isinstance(kind, dict):
        return [text for name, of in kind.items() for text in _texts_of(f"{path}.{name}", of)]
    return [path] if kind == "VARCHAR" else []


def _is_odd(path: str) -> str:
    """Return the SQL condition that an object or a list is where a text should be, or a null within a list."""
    types = f"json_type(line, {quoted(path)})"
    if "*" not in path:
        return f"{types} IN ('OBJECT', 'ARRAY')"
    null = ", 'NULL'" if path.endswith("[*]") else ""
    return f"list_has_any({types}, ['OBJECT', 'ARRAY'{null}])"


def _looks_odd(value: str, kind: JsonType, depth: int = 0) -> str:
    """Return the SQL condition that a text in a value begins as a list or an object does, or is null in a list."""
    if isinstance(kind, list):
        own = f"x{depth}"
        null = f"{own} IS NULL OR " if kind[0] == "VARCHAR" else ""
        return f"len(list_filter({value}, lambda {own}: {null}{_looks_odd(own, kind[0], depth + 1)})) > 0"
    if isinstance(kind, dict):
        odd = [_looks_odd(f'{value}."{name}"', of, depth) for name, of in kind.items()]
        return f"({' OR '.join(f'coalesce({one}, false)' for one in odd)})"
    return f"starts_with({value}, '{{') OR starts_with({value}, '[')" if kind == "VARCHAR" else "false"


def trimmed(column: str) -> str:
    """Return the SQL for a text without spaces at its ends; to trim all takes many times as long as to look."""
    return f"CASE WHEN starts_with({column}, ' ') OR ends_with({column}, ' ') THEN trim({column}) ELSE {column} END"


def or_empty(name: str, kind: JsonType) -> str:
    """Return the SQL condition that a text is empty; nothing for other types."""
    return f' OR "row"."{name}" = \'\'' if kind == "VARCHAR" else ""


def lines_of(path: Path) -> str:
    """Return the SQL for a file's lines that hold something."""
    return f"(SELECT line FROM read_csv({file_text(path)}, {AS_LINES}) WHERE {FILLED})"


def file_text(path: Path) -> str:
    """Return a path as SQL text; marks of a pattern in it stand for themselves."""
    return quoted(glob.escape(str(path)))


def quoted(value: object) -> str:
    """Return a value as an SQL text."""
    return "'" + str(value).replace("'", "''") + "'"
