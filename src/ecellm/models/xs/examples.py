"""XS's inputs and targets: a prompt's tokens, the places it may point to, and the right answer.

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

from ecellm.models.xs.lexical import Lexical
from ecellm.models.xs.quotes import closest_snippet, snippets_of
from ecellm.prompts import PIECES_DROPPED, Mark, Prompt, Tokenizer, end_token
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS, NONE, AnswerType, Triple
from ecellm.types import Example, Question

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


@dataclass(frozen=True)
class Word:
    """A whole word of the example's own texts: ids[start:end]."""

    start: int
    end: int
    text: str | None = None
    """Which of the texts that are compared it stands in; None where it is compared with none."""


@dataclass
class EncodedExample:
    """One prompt with what may be pointed to; spans [start, end) are of its tokens."""

    kind: str
    task: str
    ids: list[int]
    tokens: list[int] = field(default_factory=list)
    """The first token of each candidate (a word or a letter); the same for all snippets."""
    options: list[Span] = field(default_factory=list)
    """Each option's span, its letter included, or each snippet's; empty where the candidates are plain words."""
    attributes: list[Span] = field(default_factory=list)
    """The span of each target attribute in the prompt."""
    fields: list[Span] = field(default_factory=list)
    """The product's text fields, of which values are spans."""
    marks: list[int] = field(default_factory=list)
    """Of each prompt token, one of MARKS: how its word fares in the comparison of the example's texts."""
    places: list[int] = field(default_factory=list)
    """Where each token stands in the prompt."""
    words: list["Word"] = field(default_factory=list)
    """The whole words of the example's own texts, in order."""
    mirrored: "EncodedExample | None" = None
    """The same question with its two records exchanged; in training, where the task has such."""
    lexical: list[float] = field(default_factory=list)
    """What a linear model of counted words gives each candidate; empty where there is none, and in training."""
    trusted: list[tuple[int, Span, float]] = field(default_factory=list)
    """Known values: the attribute's place among the target attributes, a span of the prompt, and a score."""
    label: int = 0
    """The right candidate's index; of snippets that of the one most like the right answer."""
    order: list[int] = field(default_factory=list)
    """The candidates best first."""
    values: list[list[Span]] = field(default_factory=list)
    """Each attribute's spans in the fields that read like its value; empty for None."""
    response: list[int] = field(default_factory=list)
    """Free text, its end token included."""
    weight: float = 1.0
    id: str = ""
    """The example's."""

    @property
    def has_candidates(self) -> bool:
        """Whether it is answered by choosing: an option, an order of options, or a snippet to quote."""
        return bool(self.tokens)

    def guessing_loss(self) -> float:
        """Return about what the loss is where every answer is as likely: the scale of the task's loss."""
        if self.kind == SPANS:
            return 2 * math.log(1 + sum(end - start for start, end in self.fields))
        if self.kind == TEXT:
            return math.log(WORDS) + math.log(max(1, len(self.options)))
        choices = max(2, len(self.tokens))
        return math.lgamma(1 + choices) if self.kind == RANKING else math.log(choices)


def encode_question(question: Question, prompt: Prompt, tokenizer: Tokenizer) -> EncodedExample:
    """Return the encoded question without its answer, for inference."""
    example, answer = question.example, TASKS[question.example.task].answer
    encoded = EncodedExample(answer.kind, example.task, prompt.ids, id=example.id)
    encoded.places = list(range(len(prompt.ids)))
    if answer.is_multiple_choice:
        encoded.options = [] if answer.choices else letter_spans(prompt)
        words = answer.choices or LETTERS[: len(encoded.options)]
        encoded.tokens = [_first_token(word, tokenizer) for word in words]
    elif answer.kind == SPANS:
        encoded.attributes = [(mark.start, mark.end) for mark in prompt.marks if mark.name == ATTRIBUTE]
        encoded.fields = [(mark.start, mark.end) for mark in field_marks(prompt)]
        targets = answer.attributes(example)
        assert len(encoded.attributes) == len(targets), (example.id, targets)
    else:
        encoded.options = snippet_spans(prompt, len(snippets_of(example)))
        encoded.tokens = [end_token(tokenizer)] * len(encoded.options)
    encoded.words = words_of(prompt, () if answer.has_classes else encoded.options, tokenizer)
    encoded.marks = word_marks(prompt.ids, encoded.words, tokenizer)
    return encoded


def add_lexical(example: EncodedExample, prompt: Prompt, found: Lexical, tokenizer: Tokenizer) -> None:
    """Add the lexical scores of a question; values and snippets that were truncated away are omitted."""
    scores = list(found.candidates[: len(example.tokens)] if example.kind == TEXT else found.candidates)
    example.lexical = scores if len(scores) == len(example.tokens) else []
    marks = field_marks(prompt) if found.values else []
    for value in found.values:
        run = _tokens_of(json.dumps(value.text)[1:-1], tokenizer)
        for mark in marks:
            if mark.name.lower() == value.source:
                spans = find_all(run, prompt.ids, mark.start, mark.end)
                example.trusted += [(value.attribute, span, value.score) for span in spans]


def encode_example(
    question: Question, prompt: Prompt, tokenizer: Tokenizer, max_response_tokens: int
) -> EncodedExample:
    """Return the encoded question with its right answer, for tuning and validation."""
    example, answer = question.example, TASKS[question.example.task].answer
    encoded = encode_question(question, prompt, tokenizer)
    if answer.kind == CHOICE:
        (encoded.label,) = answer.right_order(example)
    elif answer.kind == RANKING:
        encoded.order = answer.right_order(example)
    elif answer.kind == SPANS:
        encoded.values = _value_spans(example, answer, prompt, tokenizer)
    else:
        if encoded.options:
            encoded.label = closest_snippet(snippets_of(example)[: len(encoded.options)], example.output)
        ids = tokenizer(example.output, add_special_tokens=False).input_ids
        encoded.response = [*ids[: max_response_tokens - 1], end_token(tokenizer)]
    return encoded


def words_of(prompt: Prompt, options: Sequence[Span], tokenizer: Tokenizer) -> list[Word]:
    """Return the whole words of the example's own texts, in order, without letters of options and target
    attributes. All options count as one text that is compared; without their places, as none."""
    choosing = {place for start, end in options for place in range(start, end)}
    words: list[Word] = []
    for content in prompt.contents:
        if content.name in LETTERS or content.name == ATTRIBUTE:
            continue
        text = content.of or (OPTIONS if content.start in choosing else None)
        words += [Word(start, end, text) for start, end in _words(prompt.ids, content.start, content.end, tokenizer)]
    return words


def word_marks(ids: Sequence[int], words: Sequence[Word], tokenizer: Tokenizer) -> list[int]:
    """Return one of MARKS for each token: whether its whole word stands in another of the compared texts too, and
    whether it has a digit, for a number or a model code that differs decides much.

    Where only one text is, nothing is marked.
    """
    standing: dict[tuple[int, ...], set[str]] = defaultdict(set)
    compared = [(word, tuple(ids[word.start : word.end])) for word in words if word.text is not None]
    for word, spelling in compared:
        standing[spelling].add(word.text or "")
    marks = [0] * len(ids)
    if len({word.text for word, _ in compared}) < 2:
        return marks
    _, spelled, digits = _vocabulary(tokenizer)
    for word, spelling in compared:
        if spelled.isdisjoint(spelling):
            continue
        mark = MARKS.index((len(standing[spelling]) > 1, any(token in digits for token in spelling)))
        marks[word.start : word.end] = [mark] * len(spelling)
    return marks


def compared_texts(example: EncodedExample) -> list[list[Span]]:
    """Return the words' places of each of the two texts that a choice among fixed answers compares; none where it
    compares no two texts."""
    if example.kind != CHOICE or example.options:
        return []
    texts: dict[str, list[Span]] = {}
    for word in example.words:
        if word.text is not None:
            texts.setdefault(word.text, []).append((word.start, word.end))
    return list(texts.values()) if len(texts) == 2 else []


def _words(ids: Sequence[int], start: int, end: int, tokenizer: Tokenizer) -> Iterator[Span]:
    """Yield each word of ids[start:end]: a token and those that continue it."""
    continuing, *_ = _vocabulary(tokenizer)
    first = start
    for place in range(start + 1, end + 1):
        if place == end or ids[place] not in continuing:
            yield first, place
            first = place


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Tokenizer) -> tuple[frozenset[int], ...]:
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


def snippet_spans(prompt: Prompt, snippets: int) -> list[Span]:
    """Return the spans of those of so many snippets that the prompt shows, which are the first ones; none where they
    are not marked one by one, as where one has no token."""
    spans = [(mark.start, mark.end) for mark in prompt.marks if mark.name == SNIPPET]
    return spans if len(spans) + prompt.truncated.get(PIECES_DROPPED, 0) == snippets else []


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


@lru_cache(maxsize=10_000)
def _tokens_of(text: str, tokenizer: Tokenizer) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


@lru_cache(maxsize=1000)
def _first_token(word: str, tokenizer: Tokenizer) -> int:
    # A call of the tokenizer takes a tenth of a millisecond, and a question has up to twenty candidates.
    return int(tokenizer(word, add_special_tokens=False).input_ids[0])


def _value_spans(
    example: Example, answer: AnswerType[list[Triple]], prompt: Prompt, tokenizer: Tokenizer
) -> list[list[Span]]:
    """Return each target attribute's spans. A value that was truncated away or stands nowhere counts as None."""
    marks = field_marks(prompt)
    spans: list[list[Span]] = []
    triples = answer.parse(example.output, example) or []
    for attribute in answer.attributes(example):
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
