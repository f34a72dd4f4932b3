"""Reads an HTML page as strictly as a test needs: every element closed in order, and what it holds."""

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "link", "input", "wbr"}
#: Elements that would fetch, run or send something.
FETCHING = {"script", "link", "iframe", "img", "object", "embed", "video", "audio", "base", "form"}


class Page(HTMLParser):
    """A page's elements, ids, links and tables; raises AssertionError where it is not well-formed."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[str] = []
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tables: list[list[list[str]]] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._note(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open[-5:], self.getpos())
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.tables and {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def _note(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.ids += [value or "" for name, value in attrs if name == "id"]

    def check_it_stands_alone(self) -> None:
        """Assert that it fetches nothing, runs nothing, and links within itself."""
        assert not FETCHING & set(self.elements)
        assert len(self.ids) == len(set(self.ids))
        for tag, name, value in self.attributes:
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "src", "xlink:href", "action", "srcset"):
                assert value.startswith("#") and value[1:] in self.ids, (tag, value)
            if not name.startswith("xmlns"):
                assert "//" not in value or tag in ("code", "pre"), (tag, name, value)
