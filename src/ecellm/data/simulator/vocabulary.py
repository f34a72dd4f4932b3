"""The simulated shop's words, read from the TOML files beside this one: taxonomy, language, software."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

#: A word file, or a section of it, as it stands in TOML.
Words = Mapping[str, Any]


@dataclass(frozen=True)
class Attribute:
    """A typed attribute. A value is a tuple of surfaces that mean the same, the usual one first."""

    name: str
    values: tuple[tuple[str, ...], ...]
    says: tuple[str, ...]
    """What a text claims of a product, to follow "it"; {v} is a value."""
    asks: tuple[str, ...]
    whether: str


@dataclass(frozen=True)
class ProductType:
    """A kind of product; `goes_with` are places of complementary types in the department."""

    names: tuple[str, ...]
    family: str
    attributes: tuple[Attribute, ...]
    goes_with: tuple[int, ...]


@dataclass(frozen=True)
class Brand:
    """A maker: price level 1 (cheap) to 3 (dear), quality 0 to 1."""

    name: str
    level: int
    quality: float


@dataclass(frozen=True)
class Department:
    """An Amazon category with its types and brands."""

    name: str
    """As files name it, such as Home_and_Kitchen."""
    shown: str
    aspects: tuple[str, ...]
    brands: tuple[Brand, ...]
    types: tuple[ProductType, ...]


@cache
def words(name: str) -> Words:
    """Return one of the word files (taxonomy, language, software) as it stands."""
    return tomllib.loads(resources.files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def synonyms(text: str) -> tuple[str, ...]:
    """Return the surfaces of an entry, such as `sofa|couch`."""
    return tuple(text.split("|"))


@cache
def departments() -> tuple[Department, ...]:
    """Return the taxonomy's departments in the file's order."""
    data = words("taxonomy")
    attributes = {key: _attribute(entry) for key, entry in data["attributes"].items()}
    return tuple(_department(name, entry, attributes) for name, entry in data["departments"].items())


def _attribute(entry: Words) -> Attribute:
    values = tuple(synonyms(value) for value in entry["values"])
    return Attribute(entry["name"], values, tuple(entry["says"]), tuple(entry["asks"]), entry["whether"])


def _department(name: str, entry: Words, attributes: Mapping[str, Attribute]) -> Department:
    names = [synonyms(kind["names"]) for kind in entry["types"]]
    places = {synonym[0]: place for place, synonym in enumerate(names)}
    types = tuple(
        ProductType(
            names=own,
            family=kind["family"],
            attributes=tuple(attributes[key] for key in kind["has"].split()),
            goes_with=tuple(places[other] for other in synonyms(kind["with"])),
        )
        for own, kind in zip(names, entry["types"], strict=True)
    )
    brands = tuple(_brand(text) for text in entry["brands"])
    aspects = (*entry["aspects"], *words("language")["aspects"])
    return Department(name, entry["shown"], aspects, brands, types)


def _brand(text: str) -> Brand:
    name, level, quality = text.split(" ")
    return Brand(name, int(level), float(quality))
