"""JSON objects, one a line: numbers as they are written, NaN as nothing, no name twice."""

import json

NO_OBJECT, TOO_DEEP = "not a JSON object", "JSON that is nested too deeply"


class JsonFaultError(Exception):
    """Why a line cannot be used."""


def json_object(line: str) -> dict[str, object]:
    """Return the object that a line holds; raises JsonFaultError where it holds none, one that is nested too deeply,
    or one with a name twice."""
    try:
        found = _DECODER.decode(line)
    except RecursionError as error:
        raise JsonFaultError(TOO_DEEP) from error
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise JsonFaultError(NO_OBJECT)
    return found


def json_value(text: str) -> object:
    """Return what a JSON text holds, numbers as numbers; raises JsonFaultError for one that is nested too deeply or
    gives a name twice, ValueError where it is no JSON."""
    try:
        return _WITH_NUMBERS.decode(text)
    except RecursionError as error:
        raise JsonFaultError(TOO_DEEP) from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise JsonFaultError(f"JSON object that gives {twice[:40]} twice")
    return found


def _nothing(name: str) -> None:
    """Stand for NaN and infinities, which Python and pandas write where JSON has null."""


_WITH_NUMBERS = json.JSONDecoder(object_pairs_hook=_once)
_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_float=str, parse_int=str, parse_constant=_nothing)
