"""AVE for models that point at text: the product's fields as one text, values as its spans, and the way back."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ecellm.errors import ModelError
from ecellm.models.lexical.value_dictionary import attributes
from ecellm.tasks import TASKS
from ecellm.tasks.answers import NONE, TARGETS, Triple, Triples
from ecellm.tasks.scoring import score_answers
from ecellm.tasks.text_pairs import BREAK
from ecellm.types import Example

#: Where a span of characters starts and ends, the end excluded.
Span = tuple[int, int]


@dataclass(frozen=True)
class Texts:
    """The fields of a product, joined; `fields` says where each stands in `text`."""

    text: str
    fields: tuple[tuple[str, int, int], ...]

    def triples(self, attribute: str, spans: Iterable[Span]) -> list[Triple]:
        """Return the triples of an attribute's spans: values lower-cased, each once a field; without any, None.

        A span ends where the field ends in which it starts.
        """
        found: dict[tuple[str, str], None] = {}
        for start, end in spans:
            for name, first, after in self.fields:
                value = self.text[start : min(end, after)].strip().lower()
                if first <= start < after and value:
                    found[value, name.lower()] = None
        if not found:
            return [{"attribute": attribute, "value": NONE, "source": NONE}]
        return [{"attribute": attribute, "value": value, "source": source} for value, source in found]

    def spans(self, triples: Sequence[Triple], attribute: str) -> list[Span]:
        """Return where the values of an attribute stand in the fields that the triples name, in order; spans that
        overlap an earlier one are dropped."""
        found: list[Span] = []
        for triple in triples:
            if triple["attribute"] != attribute or triple["value"] == NONE:
                continue
            for name, first, after in self.fields:
                if name.lower() == triple["source"]:
                    found += [
                        (first + match.start(), first + match.end())
                        for match in whole(triple["value"]).finditer(self.text[first:after])
                    ]
        kept: list[Span] = []
        for span in sorted(found):
            if not kept or span[0] >= kept[-1][1]:
                kept.append(span)
        return kept


def whole(value: str) -> re.Pattern[str]:
    """Return what finds a value in any case where it is no part of a longer word."""
    return re.compile(rf"(?<!\w){re.escape(value)}(?!\w)", re.IGNORECASE)


def texts_of(example: Example) -> Texts:
    """Return the fields of an example, the title first as published."""
    text, fields = "", []
    for name, value in json.loads(example.input).items():
        if name != TARGETS:
            text += BREAK if text else ""
            fields.append((name, len(text), len(text) + len(str(value))))
            text += str(value)
    return Texts(text, tuple(fields))


def labels_of(example: Example) -> list[Triple]:
    """Return the right triples; raises ModelError where the output is none."""
    found = TASKS[example.task].answer.parse(example.output, example)
    if found is None:
        raise ModelError(f"The output of {example.id} is no list of triples: {example.output[:60]!r}.")
    return list(found)


def f1(examples: Sequence[Example], answers: Sequence[list[Triple]]) -> float:
    """Return the strict F1 of answers."""
    return float(score_answers(TASKS[examples[0].task], "strict", examples, list(answers), None).values()["f1"])


def target_attributes(examples: Sequence[Example]) -> list[tuple[int, str]]:
    """Return (index of the example, attribute) for each target attribute of the examples."""
    return [(place, name) for place, example in enumerate(examples) for name in attributes(example)]


def printed(example: Example, triples: list[Triple]) -> str:
    """Return an answer in the published form."""
    return Triples().print(triples, example)


def token_span(offsets: Sequence[Span], span: Span) -> Span | None:
    """Return the tokens [first, after) that a span of characters covers, or None where it was truncated away.

    `offsets` are the tokens' spans of characters; tokens of no characters do not count.
    """
    inside = [
        place for place, (start, end) in enumerate(offsets) if start < end and start < span[1] and end > span[0]
    ]
    if not inside or offsets[inside[-1]][1] < span[1]:
        return None
    return inside[0], inside[-1] + 1
