"""What XS is asked and taught: a prompt's tokens, the places it may point to, and the right answer.

Nothing here knows a task by name: the form follows from the answer type.
"""

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any

from ecellm.dataset.dataset import Asked
from ecellm.models.lexical import Lexical
from ecellm.prompts import Mark, Prompt
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS, NONE, FreeText, Letter, Ranking, Triples, YesNo

Span = tuple[int, int]

CHOICE, RANKING, SPANS, TEXT = "choice", "ranking", "spans", "text"
#: Words to choose among in free text, about: MiniLM's vocabulary.
WORDS = 30_000
#: Of a token: nothing; else whether its word stands in another text, and whether the word has a digit.
MARKS = (None, (True, False), (False, False), (True, True), (False, True))
#: The name of the text that all options are.
OPTIONS = "options"
#: Marks that are no text field of a product.
ATTRIBUTE, SNIPPET = "attribute", "snippet"


@dataclass
class Example:
    """One prompt with what may be pointed to; places are token indices, spans [start, end)."""

    kind: str
    task: str
    ids: list[int]
    tokens: list[int] = field(default_factory=list)
    """The first token of each candidate (a word or a letter)."""
    options: list[Span] = field(default_factory=list)
    """Each option's span, its letter included; empty where the candidates are plain words."""
    attributes: list[Span] = field(default_factory=list)
    """Where each asked attribute stands in the prompt."""
    fields: list[Span] = field(default_factory=list)
    """The product's text fields, of which values are spans."""
    marks: list[int] = field(default_factory=list)
    """Of each prompt token: what the comparison of the sample's texts says of its word, one of MARKS."""
    lexical: list[float] = field(default_factory=list)
    """What a linear model of counted words gives each candidate; empty where there is none, and in training."""
    trusted: list[tuple[int, Span, float]] = field(default_factory=list)
    """Known values: the attribute's place among the target attributes, a span of the prompt, and a score."""
    label: int = 0
    """The right candidate's index."""
    order: list[int] = field(default_factory=list)
    """The candidates best first."""
    values: list[list[Span]] = field(default_factory=list)
    """Each attribute's spans in the fields that read like its value; empty for None."""
    response: list[int] = field(default_factory=list)
    """Free text, its end token included."""
    weight: float = 1.0
    id: str = ""
    """The sample's."""

    def guessing_loss(self) -> float:
        """Return about what the loss is where every answer is as likely: the scale of the task's loss."""
        if self.kind == SPANS:
            return 2 * math.log(1 + sum(end - start for start, end in self.fields))
        if self.kind == TEXT:
            return math.log(WORDS)
        choices = max(2, len(self.tokens))
        return math.lgamma(1 + choices) if self.kind == RANKING else math.log(choices)


def question(asked: Asked, prompt: Prompt, tokenizer: Any) -> Example:
    """Return the example without its answer, for asking."""
    sample, answer = asked.sample, TASKS[asked.sample.task].answer
    example = Example(_kind(answer), sample.task, prompt.ids, id=sample.id)
    if isinstance(answer, YesNo):
        example.tokens = [_first_token(word, tokenizer) for word in answer.choices]
    elif isinstance(answer, (Letter, Ranking)):
        example.options = letter_spans(prompt)
        letters = LETTERS[: len(example.options)]
        example.tokens = [_first_token(letter, tokenizer) for letter in letters]
    elif isinstance(answer, Triples):
        example.attributes = [(mark.start, mark.end) for mark in prompt.marks if mark.name == ATTRIBUTE]
        example.fields = [(mark.start, mark.end) for mark in field_marks(prompt)]
        asked_for = answer.attributes(sample)
        assert len(example.attributes) == len(asked_for), (sample.id, asked_for)
    options = () if answer.has_classes else example.options
    example.marks = word_marks(prompt, options, tokenizer)
    return example


def add_lexical(example: Example, prompt: Prompt, found: Lexical, tokenizer: Any) -> None:
    """Put the lexical scores of a question beside its tokens; values that were cut away are left out."""
    example.lexical = list(found.candidates) if len(found.candidates) == len(example.tokens) else []
    marks = field_marks(prompt) if found.values else []
    for value in found.values:
        run = _tokens_of(json.dumps(value.text)[1:-1], tokenizer)
        for mark in marks:
            if mark.name.lower() == value.source:
                spans = find_all(run, prompt.ids, mark.start, mark.end)
                example.trusted += [(value.attribute, span, value.score) for span in spans]


def lesson(asked: Asked, prompt: Prompt, tokenizer: Any, most_response_tokens: int) -> Example:
    """Return the example with its answer, for tuning and validation."""
    sample, answer = asked.sample, TASKS[asked.sample.task].answer
    example = question(asked, prompt, tokenizer)
    if isinstance(answer, YesNo):
        example.label = answer.choices.index(sample.output)
    elif isinstance(answer, Letter):
        example.label = LETTERS.index(answer.parse(sample.output, sample) or "")
    elif isinstance(answer, Ranking):
        example.order = [LETTERS.index(letter) for letter in answer.parse(sample.output, sample) or []]
    elif isinstance(answer, Triples):
        example.values = _value_spans(sample, answer, prompt, tokenizer)
    else:
        ids = tokenizer(sample.output, add_special_tokens=False).input_ids
        example.response = [*ids[: most_response_tokens - 1], tokenizer.sep_token_id]
    return example


def word_marks(prompt: Prompt, options: Sequence[Span], tokenizer: Any) -> list[int]:
    """Return one of MARKS for each token: whether its whole word stands in another of the sample's texts too, and
    whether it has a digit, for a number or a model code that differs decides much.

    Where only one text is, nothing is marked. All options count as one text; without their places, as none.
    """
    choosing = {place for start, end in options for place in range(start, end)}
    standing: dict[tuple[int, ...], set[str]] = defaultdict(set)
    words: list[tuple[range, tuple[int, ...]]] = []
    for content in prompt.contents:
        text = content.of or (OPTIONS if content.start in choosing else None)
        if text is None:
            continue
        for within in _words(prompt.ids, content.start, content.end, tokenizer):
            word = tuple(prompt.ids[within.start : within.stop])
            standing[word].add(text)
            words.append((within, word))
    marks = [0] * len(prompt.ids)
    if len({text for texts in standing.values() for text in texts}) < 2:
        return marks
    _, spelled, digits = _vocabulary(tokenizer)
    for within, word in words:
        if spelled.isdisjoint(word):
            continue
        shared, numeric = len(standing[word]) > 1, any(token in digits for token in word)
        for place in within:
            marks[place] = MARKS.index((shared, numeric))
    return marks


def _words(ids: Sequence[int], start: int, end: int, tokenizer: Any) -> Iterator[range]:
    """Yield the places of each word of ids[start:end]: a token and those that continue it."""
    continuing, *_ = _vocabulary(tokenizer)
    first = start
    for place in range(start + 1, end + 1):
        if place == end or ids[place] not in continuing:
            yield range(first, place)
            first = place


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Any) -> tuple[frozenset[int], ...]:
    """Return the tokens that continue a word, those that have a letter or digit, and those that have a digit."""
    vocabulary = tokenizer.get_vocab().items()
    found = (re.compile(form) for form in (r"^##", r"\w", r"\d"))
    return tuple(frozenset(token for text, token in vocabulary if form.search(text)) for form in found)


def letter_spans(prompt: Prompt) -> list[Span]:
    """Return each option's span: from its letter to the next letter; the last is as long as the longest."""
    starts = [mark.start for mark in prompt.marks if len(mark.name) == 1]
    if not starts:
        return []
    spans = list(pairwise(starts))
    longest = max((end - start for start, end in spans), default=len(prompt.ids))
    return [*spans, (starts[-1], min(starts[-1] + longest, len(prompt.ids) - 1))]


def field_marks(prompt: Prompt) -> list[Mark]:
    """Return the marks of a product's text fields, of which values are spans."""
    return [mark for mark in prompt.marks if len(mark.name) > 1 and mark.name not in (ATTRIBUTE, SNIPPET)]


def find_all(wanted: Sequence[int], ids: Sequence[int], start: int, end: int) -> list[Span]:
    """Return where a run of ids stands in ids[start:end]."""
    length = len(wanted)
    if not length:
        return []
    run = list(wanted)
    return [
        (place, place + length)
        for place in range(start, end - length + 1)
        if list(ids[place : place + length]) == run
    ]


def _kind(answer: Any) -> str:
    kinds = {Ranking: RANKING, Triples: SPANS, FreeText: TEXT}
    return kinds.get(type(answer), CHOICE)


@lru_cache(maxsize=10_000)
def _tokens_of(text: str, tokenizer: Any) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


@lru_cache(maxsize=1000)
def _first_token(word: str, tokenizer: Any) -> int:
    # A call of the tokenizer takes a tenth of a millisecond, and a question has up to twenty candidates.
    return int(tokenizer(word, add_special_tokens=False).input_ids[0])


def _value_spans(sample: Sample, answer: Triples, prompt: Prompt, tokenizer: Any) -> list[list[Span]]:
    """Return each asked attribute's spans. A value that was cut away or stands nowhere counts as None."""
    marks = field_marks(prompt)
    spans: list[list[Span]] = []
    triples = answer.parse(sample.output, sample) or []
    for attribute in answer.attributes(sample):
        found: list[Span] = []
        for triple in triples:
            if triple["attribute"] != attribute.lower() or triple["value"] == NONE:
                continue
            run = _tokens_of(json.dumps(triple["value"])[1:-1], tokenizer)
            named = [mark for mark in marks if mark.name == triple["source"]]
            for mark in named or marks:
                found += find_all(run, prompt.ids, mark.start, mark.end)
        spans.append(sorted(set(found)))
    return spans
