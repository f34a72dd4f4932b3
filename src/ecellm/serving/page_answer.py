"""An answer as the page shows it: probabilities as bars, texts marked where they stand in the question, and the same
request to copy."""

import json
import pprint
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ecellm.inference.row_questions import Answer
from ecellm.serving.keys import VARIABLE
from ecellm.serving.schemas import Row
from ecellm.tasks import Task
from ecellm.tasks.task import Quote

#: The most candidates that have a bar: a ranking has one for each order.
MOST_BARS = 10
#: Characters of a bar's name beyond which it stands above the bar.
LONG_LABEL = 24
#: Characters of a line of Python.
LINE = 88


@dataclass(frozen=True)
class Bar:
    """A candidate's probability."""

    name: str
    share: float
    chosen: bool

    @property
    def percent(self) -> str:
        """The probability as a text."""
        return percent(self.share)


@dataclass(frozen=True)
class Segment:
    """A stretch of a text; `names` says what it is where it is marked."""

    text: str
    marked: bool = False
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class MarkedText:
    """A text of the question with what the answer quotes."""

    label: str
    segments: list[Segment]


@dataclass(frozen=True)
class ShownAnswer:
    """What the page shows of an answer."""

    answer: Answer[object]
    milliseconds: float
    bars: list[Bar]
    other_bars: int
    other_share: str
    marked: list[MarkedText]
    curl: str
    python: str

    @property
    def kind(self) -> str:
        """How the answer is laid out: none, text, list, records or, of anything else, json."""
        found = self.answer.answer
        if found is None:
            return "none"
        if isinstance(found, str):
            return "text"
        if isinstance(found, list) and all(isinstance(item, Mapping) for item in found):
            return "records"
        return "list" if isinstance(found, list) and all(isinstance(item, str) for item in found) else "json"

    @property
    def is_long(self) -> bool:
        """Whether a name of a bar is too long to stand beside it."""
        return any(len(bar.name) > LONG_LABEL for bar in self.bars)

    @property
    def columns(self) -> list[str]:
        """The keys of an answer that is made of records."""
        records: Any = self.answer.answer
        return list(dict.fromkeys(name for record in records for name in record))

    @property
    def summary(self) -> str:
        """The answer in a line."""
        return answer_line(self.answer.answer)


def percent(share: float) -> str:
    """Return a probability as a percentage; what is not certain is not shown as if it were."""
    if 0 < share < 0.001:
        return "<0.1%"
    if 0.999 < share < 1:
        return ">99.9%"
    return f"{100 * share:.1f}%"


def answer_line(found: object) -> str:
    """Return an answer in one line of text."""
    if found is None:
        return "The completion cannot be parsed"
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def answer_lines(found: object) -> list[str]:
    """Return an answer in lines, one for each item of a list; a record is its values."""
    if not isinstance(found, list):
        return [answer_line(found)]
    return [
        ", ".join("none" if value is None else str(value) for value in item.values())
        if isinstance(item, Mapping)
        else answer_line(item)
        for item in found
    ]


def shown_answer(task: Task, row: Row, answer: Answer[object], seconds: float, request: "CodeSample") -> ShownAnswer:
    """Return what the page shows of an answer to a row."""
    shares = sorted((answer.probabilities or {}).items(), key=lambda pair: -pair[1])
    chosen = _chosen(answer)
    bars = [Bar(name, share, name == chosen) for name, share in shares[:MOST_BARS]]
    others = [share for _, share in shares[MOST_BARS:]]
    quotes = [] if answer.answer is None else list(task.form.quotes(answer.answer))
    return ShownAnswer(
        answer,
        1000 * seconds,
        bars,
        len(others),
        percent(sum(others)),
        _marked_texts(row, quotes),
        request.curl(),
        request.python(),
    )


@dataclass(frozen=True)
class CodeSample:
    """A request to a task's endpoint, as code."""

    url: str
    body: Mapping[str, object]
    needs_key: bool

    def curl(self) -> str:
        """Return the request as a shell's line."""
        lines = [f"curl -s {shlex.quote(self.url)}", "-H 'Content-Type: application/json'"]
        lines += [f'-H "Authorization: Bearer ${VARIABLE}"'] if self.needs_key else []
        lines.append(f"-d {shlex.quote(json.dumps(self.body, ensure_ascii=False))}")
        return " \\\n     ".join(lines)

    def python(self) -> str:
        """Return the request as Python that needs no package."""
        imports = [
            "import json",
            *(["import os"] if self.needs_key else []),
            "from urllib.request import Request, urlopen",
        ]
        headers = '{"Content-Type": "application/json"}'
        if self.needs_key:
            headers = f'{headers[:-1]}, "Authorization": "Bearer " + os.environ["{VARIABLE}"]' + "}"
        return "\n".join(
            (
                *imports,
                "",
                f"question = {pprint.pformat(dict(self.body), width=LINE, sort_dicts=False, indent=1)}",
                f"headers = {headers}",
                f"request = Request({json.dumps(self.url)}, json.dumps(question).encode(), headers)",
                "with urlopen(request) as response:",
                "    print(json.load(response))",
            )
        )


def _chosen(answer: Answer[object]) -> str | None:
    """Return under which name the answer has its probability, which need not be the highest: thresholds choose."""
    shares = answer.probabilities or {}
    if str(answer.answer) in shares:
        return str(answer.answer)
    return next((name for name, share in shares.items() if share == answer.probability), None)


def _marked_texts(row: Row, quotes: Sequence[Quote]) -> list[MarkedText]:
    """Return the texts of a row in which something is marked."""
    found = []
    for column, value in row.items():
        own = [quote for quote in quotes if quote.column == column]
        for text in value if isinstance(value, list | tuple) else [value]:
            segments = marked(str(text), own)
            if len(segments) > 1 or segments[0].marked:
                found.append(MarkedText(column.replace("_", " "), segments))
    return found


def marked(text: str, quotes: Sequence[Quote]) -> list[Segment]:
    """Return a text in segments, the quotes that stand in it marked; of two that overlap, the one that begins first,
    or is longer, is."""
    places: dict[tuple[int, int], list[str]] = {}
    for quote in quotes:
        start = _find(text, quote.text)
        if start >= 0:
            places.setdefault((start, start + len(quote.text)), []).append(quote.name)
    segments, at = [], 0
    for (start, end), names in sorted(places.items(), key=lambda pair: (pair[0][0], -pair[0][1])):
        if start < at:
            continue
        segments += [Segment(text[at:start])] if start > at else []
        segments.append(Segment(text[start:end], True, tuple(name for name in names if name)))
        at = end
    return segments + ([Segment(text[at:])] if at < len(text) or not segments else [])


def _find(text: str, part: str) -> int:
    """Return where a part stands in a text, -1 where it does not: as whole words if it can be, in the same case if it
    can be."""
    if not part:
        return -1
    cases = [(text, part)]
    # A letter may have another length in lower case.
    if len(text.lower()) == len(text) and len(part.lower()) == len(part):
        cases.append((text.lower(), part.lower()))
    for whole in (True, False):
        for within, sought in cases:
            start = within.find(sought)
            while start >= 0:
                if not whole or _is_whole(within, start, start + len(sought)):
                    return start
                start = within.find(sought, start + 1)
    return -1


def _is_whole(text: str, start: int, end: int) -> bool:
    return not any(letter.isalnum() for letter in text[max(0, start - 1) : start] + text[end : end + 1])
