"""The public sources' addresses, licences and sizes: what `addresses.toml` says, for downloads and for the card."""

import tomllib
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

ADDRESSES = Path(__file__).with_name("addresses.toml")


class File(BaseModel):
    """One file to download."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    path: str
    """Below the folder that takes the downloads."""
    bytes: int | None = None
    sha256: str | None = None
    unpack: tuple[str, ...] = ()
    """Members of a zip file that are put beside it."""


class Address(BaseModel):
    """One source: its files and what its users must know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    page: str
    licence: str
    size: str
    files: tuple[File, ...] = ()
    categories: tuple[str, ...] = ()
    """The paper's categories, where there is a file for each."""
    by_hand: str = ""
    """Why it cannot be downloaded, and what to do instead."""

    def chosen(self, categories: Sequence[str]) -> list[File]:
        """Return the files, those by category for each of `categories` (none: the paper's)."""
        names = categories or self.categories or ("",)
        return [
            file.model_copy(update={key: getattr(file, key).replace("{category}", name) for key in ("url", "path")})
            for name in names
            for file in self.files
        ]


def read_addresses(path: Path = ADDRESSES) -> dict[str, Address]:
    """Return the sources by name."""
    return {
        name: Address.model_validate(given) for name, given in tomllib.loads(path.read_text(encoding="utf-8")).items()
    }
