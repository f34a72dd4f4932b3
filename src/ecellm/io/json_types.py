"""Whether JSON that was read, and may have been edited, has the types that a typed record promises."""

import math
from collections.abc import Collection, Iterator, Mapping
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

#: What a value of each plain type is called.
NAMES: dict[object, str] = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}


def json_fault(value: object, wanted: Any, may_lack: Collection[str] = (), where: str = "") -> str:
    """Say what first differs from a type, such as "scores[3].value is no number"; empty where nothing does.

    `wanted` is a TypedDict, or a type made of such, lists, dicts, literals, None and plain types. Keys that it does
    not have are ignored, and those of `may_lack` may be missing at any depth. Numbers are finite.
    """
    return next(_faults(value, wanted, may_lack, where), "")


def _faults(value: object, wanted: Any, may_lack: Collection[str], where: str) -> Iterator[str]:
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted in (Any, object):
        return
    if is_typeddict(wanted):
        yield from _record_faults(value, wanted, may_lack, where)
    elif origin in (Union, UnionType):
        found = [json_fault(value, one, may_lack, where) for one in inner]
        if all(found):
            yield found[0]
    elif origin is Literal:
        if value not in inner:
            yield f"{where} is none of {', '.join(map(str, inner))}"
    elif origin is list:
        if not isinstance(value, list):
            yield f"{where} is no list"
        else:
            for place, item in enumerate(value):
                yield from _faults(item, inner[0], may_lack, f"{where}[{place}]")
    elif origin is dict:
        if not isinstance(value, dict):
            yield f"{where} is no object"
        else:
            for key, item in value.items():
                yield from _faults(key, inner[0], may_lack, f"{where}.{key}")
                yield from _faults(item, inner[1], may_lack, f"{where}.{key}")
    elif not _is_plain(value, wanted):
        yield f"{where} is not {NAMES.get(wanted, 'null')}"


def _record_faults(value: object, wanted: Any, may_lack: Collection[str], where: str) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield f"{where} is no object"
        return
    for key, kind in get_type_hints(wanted).items():
        place = f"{where}.{key}" if where else key
        if key in value:
            yield from _faults(value[key], kind, may_lack, place)
        elif key in wanted.__required_keys__ and key not in may_lack:
            yield f"{place} is missing"


def _is_plain(value: object, wanted: Any) -> bool:
    """Say whether a value is a text, a truth value, a whole number, a finite number, or null."""
    if wanted is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if wanted is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, wanted)
