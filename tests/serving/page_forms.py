"""The page at / as a parser reads it: its forms, filled in as a browser would send them."""

import re
from dataclasses import dataclass
from typing import Any

import httpx2
from bs4 import BeautifulSoup, Tag

#: What a browser sends with a form of the page itself.
OWN = {"sec-fetch-site": "same-origin", "origin": "http://service"}


@dataclass
class Shown:
    """A page."""

    reply: httpx2.Response

    @property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.reply.text, "html.parser")

    def form(self, label: str) -> Tag:
        found = self.soup.find("form", attrs={"aria-label": label})
        assert isinstance(found, Tag), self.reply.text[:2000]
        return found

    def text(self, selector: str) -> str:
        found = self.soup.select_one(selector)
        assert found is not None, selector
        return re.sub(r"\s+", " ", found.get_text()).strip()

    def fields(self, label: str) -> dict[str, str]:
        """The fields of a form with what stands in them, but for files."""
        found: dict[str, str] = {}
        for one in self.form(label).select("input[name], textarea[name]"):
            if one.get("type") != "file":
                value = one.get_text().removeprefix("\n") if one.name == "textarea" else str(one.get("value", ""))
                found[str(one["name"])] = value.replace("\n", "\r\n")
        return found


async def opened(client: httpx2.AsyncClient, address: str = "/") -> Shown:
    return Shown(await client.get(address))


async def sent(client: httpx2.AsyncClient, page: Shown, changes: dict[str, str] | None = None) -> Shown:
    """Send the form of a question, some of its fields changed."""
    fields = page.fields("Question") | (changes or {})
    return Shown(await client.post(address(page, "Question"), data=fields, headers=OWN))


async def uploaded(client: httpx2.AsyncClient, page: Shown, name: str, data: bytes) -> Shown:
    """Send the form of a table."""
    files = {"file": (name, data, "text/csv")}
    form = page.fields("Table")
    return Shown(await client.post(address(page, "Table"), data=form, files=files, headers=OWN))


async def downloaded(client: httpx2.AsyncClient, page: Shown) -> httpx2.Response:
    """Send the form that downloads the answers."""
    fields: dict[str, Any] = {name: (None, value) for name, value in page.fields("Download").items()}
    return await client.post(address(page, "Download"), files=fields, headers=OWN)


def address(page: Shown, label: str) -> str:
    """Where a form is sent, without the fragment, which browsers do not send."""
    return "/" + str(page.form(label)["action"]).partition("#")[0]
