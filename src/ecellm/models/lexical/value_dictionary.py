"""AVE: a dictionary of the value strings that training rows give each attribute, looked up in the texts.

Digits are masked in the dictionary, so that "33.8 ounce" also finds "12.5 ounce". An entry is trusted as far
as it was right where it stood in training texts; below a threshold fitted on validation rows it is ignored,
and an attribute without an entry that stands in the texts gets "None".
"""

import json
import re
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from ecellm.tasks import TASKS
from ecellm.tasks.answers import TARGETS, Triple, Triples
from ecellm.tasks.scoring import score_answers
from ecellm.types import Example

TOKEN = re.compile(r"\w+|[^\w\s]")
DIGITS = re.compile(r"\d+")
#: Tokens of the longest value that is looked up.
LONGEST = 8

THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
#: An entry that stood in one training text only is trusted this far.
PRIOR = 0.5


@dataclass(frozen=True)
class Span:
    """A run of tokens in one of the texts; `key` has its digits masked."""

    key: str
    value: str
    source: str
    start: int
    end: int


@dataclass(frozen=True)
class DictionarySpan:
    """A span that the dictionary has for an attribute, and how far it is trusted."""

    trust: float
    span: Span


#: What the dictionary has for each attribute of an example, the most trusted first.
Lookup = dict[str, list[DictionarySpan]]


@dataclass(frozen=True)
class Manner:
    """How to answer from what was found."""

    threshold: float = 0.5
    """Entries trusted less are ignored."""
    several: bool = False
    """Whether an attribute may get more than its most trusted value."""
    all_sources: bool = False
    """Whether a value is named for every text that has it, not only for the first."""

    def triples(self, lookup: Lookup) -> list[Triple]:
        """Return the answer to an example: one or more triples for each attribute."""
        return [triple for name, found in lookup.items() for triple in self._of_attribute(name, found)]

    def _of_attribute(self, attribute: str, found: Sequence[DictionarySpan]) -> list[Triple]:
        trusted = [entry.span for entry in found if entry.trust >= self.threshold]
        chosen: list[Span] = []
        for span in trusted:
            if not chosen or (self.several and not any(_overlap(span, other) for other in chosen)):
                chosen.append(span)
        if not chosen:
            return [{"attribute": attribute, "value": "None", "source": "None"}]
        values = {span.value for span in chosen}
        named = [span for span in trusted if span.value in values] if self.all_sources else chosen
        places = dict.fromkeys((span.value, span.source) for span in named)
        return [{"attribute": attribute, "value": value, "source": source} for value, source in places]


@dataclass(frozen=True)
class Dictionary:
    """Trust by attribute and masked value, and how to answer from it."""

    trust: dict[str, dict[str, float]]
    manner: Manner = Manner()

    def answer(self, example: Example) -> list[Triple]:
        """Return the triples of an example."""
        return self.manner.triples(self.lookup(example))

    def lookup(self, example: Example) -> Lookup:
        """Return the known values of each target attribute in the example's texts."""
        known = {name: self.trust.get(name, {}) for name in attributes(example)}
        texts = spans(example, {key for entries in known.values() for key in entries})
        found = {
            name: [DictionarySpan(entries[span.key], span) for span in texts if span.key in entries]
            for name, entries in known.items()
        }
        for entries in found.values():
            # Of equally trusted entries the longest first, of these the earliest (the sort is stable).
            entries.sort(key=lambda entry: (-entry.trust, entry.span.start - entry.span.end))
        return found


def fit_dictionary(examples: Sequence[Example], held_out: Sequence[Example]) -> Dictionary:
    """Collect the values of training rows; choose threshold and manner by strict F1 on held-out rows."""
    dictionary = Dictionary(collect_trust(examples))
    if not held_out:
        return dictionary
    lookups = [dictionary.lookup(example) for example in held_out]

    def f1(manner: Manner) -> float:
        answers = [manner.triples(lookup) for lookup in lookups]
        return score_answers(TASKS[held_out[0].task], "strict", held_out, answers, None).values()["f1"]

    manners = [Manner(*choices) for choices in product(THRESHOLDS, (False, True), (False, True))]
    return replace(dictionary, manner=max(manners, key=f1))


def attributes(example: Example) -> list[str]:
    """Return the target attributes, lower-cased and distinct."""
    return list(dict.fromkeys(name.lower() for name in Triples().attributes(example)))


def spans(example: Example, keys: Container[str]) -> list[Span]:
    """Return the runs of up to `LONGEST` tokens in the example's lower-cased texts whose key is wanted."""
    texts = {name: str(text).lower() for name, text in json.loads(example.input).items() if name != TARGETS}
    return [span for source, text in texts.items() for span in _runs(source, text, keys)]


def _runs(source: str, text: str, keys: Container[str]) -> Iterator[Span]:
    tokens = [(DIGITS.sub("0", match[0]), match.start(), match.end()) for match in TOKEN.finditer(text)]
    for first, (_, start, _) in enumerate(tokens):
        key = ""
        for token, _, end in tokens[first : first + LONGEST]:
            key = f"{key} {token}" if key else token
            if key in keys:
                yield Span(key, text[start:end], source, start, end)


def collect_trust(examples: Sequence[Example]) -> dict[str, dict[str, float]]:
    """Return how often each entry was right where it stood, the row that it came from excluded."""
    values: list[dict[str, set[str]]] = []
    right: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for example in examples:
        row: dict[str, set[str]] = defaultdict(set)
        # An imported output that is no list of triples says nothing.
        for triple in Triples().parse(example.output, example) or []:
            if triple["value"] != "None":
                row[triple["attribute"]].add(triple["value"])
                right[triple["attribute"]][_masked(triple["value"])] = 0
        values.append(row)
    seen: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for example, row in zip(examples, values, strict=True):
        for attribute in attributes(example):
            for key, value in {(span.key, span.value) for span in spans(example, right[attribute])}:
                seen[attribute][key] += 1
                right[attribute][key] += value in row[attribute]
    return {
        attribute: {
            key: (max(hits - 1, 0) + PRIOR) / (max(seen[attribute][key] - 1, 0) + 1) for key, hits in entries.items()
        }
        for attribute, entries in right.items()
    }


def _masked(value: str) -> str:
    return " ".join(DIGITS.sub("0", token) for token in TOKEN.findall(value))


def _overlap(one: Span, other: Span) -> bool:
    return one.source == other.source and one.start < other.end and other.start < one.end
