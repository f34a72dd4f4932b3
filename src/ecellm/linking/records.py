"""Catalogues: the records of a user's table, by id.

Records are in the order of their ids, whatever that of the rows is, so that nothing later depends on it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ecellm.errors import ConfigError, DataError
from ecellm.io.tables.cells import is_whole_text, text_of
from ecellm.io.tables.formats import open_table
from ecellm.io.tables.rows import Row

ID, TITLE = "id", "title"
#: Fields that say little about which product it is, or are compared by themselves.
NOT_SEARCHED = (TITLE, "description", "price")
#: What a column may be called: our name to the table's.
Columns = Mapping[str, str]


@dataclass(frozen=True)
class Record:
    """A product of a catalogue."""

    key: str
    """Its id."""
    fields: Mapping[str, str]
    """By field, those that have a value; `title` is one of them."""

    @property
    def title(self) -> str:
        """The product's title."""
        return self.fields[TITLE]

    @property
    def others(self) -> str:
        """Its short fields beside the title, such as a brand or a model's number, as one text."""
        return " ".join(text for name, text in self.fields.items() if name not in NOT_SEARCHED)


@dataclass(frozen=True)
class Catalogue:
    """The records of a table, in the order of their ids."""

    path: Path
    records: Sequence[Record]
    fields: Sequence[str]
    """Those that the table has."""
    rows: int
    """Of the table."""
    repeated: int
    """Rows that repeat a record word for word."""
    rejects: Sequence[Mapping[str, object]]
    """Rows that are no record: `table`, `row`, `reason`."""
    rejected_keys: frozenset[str] = frozenset()
    """The ids of rejected rows that have one."""


def column_names(text: str | None) -> dict[str, str]:
    """Return the mapping in a text such as "id=sku,title=name"; raises ConfigError where it is none."""
    found: dict[str, str] = {}
    for part in filter(None, (text or "").split(",")):
        name, equals, column = (piece.strip() for piece in part.partition("="))
        if not (name and equals and column):
            raise ConfigError(f"--columns takes name=column pairs such as id=sku,title=name, not {part.strip()!r}.")
        if name in found:
            raise ConfigError(f"--columns gives {name} twice.")
        found[name] = column
    return found


def read_catalogue(path: Path, columns: Columns, fields: Sequence[str]) -> Catalogue:
    """Read a table as a catalogue.

    Raises DataError where it cannot be read, has no id, title or column that `columns` names, or no row is a record,
    and ConfigError where `columns` names what is none of a record's fields. A row without id or title, or whose id
    another row has with other values, is rejected.
    """
    unknown = [name for name in columns if name not in (ID, *fields)]
    if unknown:
        raise ConfigError(f"--columns names {unknown[0]}; records have {', '.join((ID, *fields))} (see --fields).")
    found: dict[str, list[tuple[Row, Record]]] = defaultdict(list)
    rejects: list[tuple[int, str]] = []
    keys: set[str] = set()
    rows = 0
    names: set[str] = set()
    for chunk in open_table(path).chunks():
        rows += len(chunk)
        for row in chunk:
            names.update(() if row.fault else row.values)
            try:
                record = _record(row, columns, fields)
                found[record.key].append((row, record))
            except DataError as error:
                rejects.append((row.number, str(error)))
                keys |= _key_of(row, columns)
    if not rows:
        raise DataError(f"{path} has no rows.")
    for name in dict.fromkeys((ID, TITLE, *columns)):
        _check_column(path, columns.get(name, name), name, names)
    records, others = _distinct(found.values())
    rejects += others
    if not records:
        raise DataError(f"{path} has no record; the first row: {min(rejects)[1]}")
    listed = [{"table": path.name, "row": row, "reason": reason} for row, reason in sorted(rejects)]
    return Catalogue(
        path,
        sorted(records, key=lambda record: record.key),
        [name for name in fields if columns.get(name, name) in names],
        rows,
        rows - len(rejects) - len(records),
        listed,
        frozenset(keys | found.keys()) - {record.key for record in records},
    )


def _key_of(row: Row, columns: Columns) -> set[str]:
    """Return the id of a row that is no record, where it has one."""
    try:
        key = cell_text(ID, row.values.get(columns.get(ID, ID)))
    except DataError:
        return set()
    return set() if key is None else {key}


def _check_column(path: Path, column: str, name: str, names: set[str]) -> None:
    if column not in names:
        raise DataError(
            f"{path} has no column {column!r}; it has {', '.join(sorted(names))}. "
            f"Name the one to take with --columns {name}=COLUMN."
        )


def _record(row: Row, columns: Columns, fields: Sequence[str]) -> Record:
    """Return a row as a record; raises DataError with the reason where it is none."""
    if row.fault:
        raise DataError(row.fault)
    values = {name: cell_text(name, row.values.get(columns.get(name, name))) for name in (ID, *fields)}
    key = values.pop(ID)
    if key is None:
        raise DataError("id is empty.")
    if values[TITLE] is None:
        raise DataError("title is empty.")
    return Record(key, {name: text for name, text in values.items() if text is not None})


def cell_text(name: str, value: object) -> str | None:
    """Return a cell's text, of a whole number without a fraction, as a column of whole numbers with gaps may be read;
    None where it has none. Raises DataError for a list, an object, or what is no UTF-8."""
    if value is None or value != value:  # NaN
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = text_of(value)
    if text is None and not isinstance(value, bytes):
        raise DataError(f"{name} is no single text.")
    if text is None or not is_whole_text(text):
        raise DataError(f"{name} is not valid UTF-8.")
    return text.strip() or None


def _distinct(groups: Iterable[Sequence[tuple[Row, Record]]]) -> tuple[list[Record], list[tuple[int, str]]]:
    """Return one record of each id, and the rows of ids that stand for several products: which is meant, nothing
    tells, and an order of rows must not decide."""
    records: list[Record] = []
    rejects: list[tuple[int, str]] = []
    for group in groups:
        numbers, (first, *others) = [row.number for row, _ in group], [record for _, record in group]
        if all(other == first for other in others):
            records.append(first)
        else:
            shown = ", ".join(map(str, numbers[:5]))
            rejects += [(number, f"id {first.key!r} has other values in rows {shown}.") for number in numbers]
    return records, rejects
