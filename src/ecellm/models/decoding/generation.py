"""Generation token by token: free text until the end token, or constrained decoding of values into a frame of JSON.

A batch is generated together; rows that are done leave it.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from ecellm.io.hashing import keyed_number
from ecellm.models.base import Decoding
from ecellm.tasks.answers import NONE, Triple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: A row leaves the batch once so many of its rows, as a share, are done: leaving costs a copy of the cache.
DONE_SHARE = 0.25
#: The maximum length of a value, in tokens.
MAX_VALUE_TOKENS = 32


class Writing(Protocol):
    """A batch of rows whose prompts were read: their KV cache and next logits."""

    at_once: int
    """Tokens that a row may be fed in one step."""
    logits: Tensor
    """[B, V]: what may come next."""

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows."""

    def feed(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append tokens to each row; none where it is done."""


class Writer(Protocol):
    """One row's answer in the making."""

    start: list[int]
    """The tokens that it begins with, whatever the model prefers."""
    done: bool
    margin: float
    """By how much, at the closest, a chosen token's logit was above another's."""

    def take(self, logits: Tensor, best: int, margin: float) -> list[int]:
        """Choose what comes next, given logits [V], the likeliest token and its lead; returns tokens to append."""


def write(writing: Writing, writers: Sequence[Writer]) -> None:
    """Generate all answers. Where rows may be fed many tokens, each writer's `start` was read with its prompt."""
    waiting = [list(writer.start) if writing.at_once == 1 else [] for writer in writers]
    rows = list(range(len(writers)))
    while rows:
        two, ids = writing.logits.topk(2, -1)
        likeliest, leads = ids[:, 0].tolist(), (two[:, 0] - two[:, 1]).tolist()
        fed: list[list[int]] = []
        for place, row in enumerate(rows):
            writer = writers[row]
            if not waiting[row] and not writer.done:
                waiting[row] = writer.take(writing.logits[place], likeliest[place], leads[place])
            fed.append([] if writer.done else waiting[row][: writing.at_once])
            waiting[row] = waiting[row][len(fed[-1]) :]
        going = [place for place, tokens in enumerate(fed) if tokens]
        if not going:
            break
        if len(rows) - len(going) >= DONE_SHARE * len(rows):
            writing.keep(going)
            rows, fed = [rows[place] for place in going], [fed[place] for place in going]
        writing.feed(fed)


class FreeTextWriter:
    """Text until the end token: greedy, or sampled by a number drawn from the seed, the question and the step, so
    that the batch does not matter."""

    def __init__(self, decoding: Decoding, end: int, question: str):
        self.decoding = decoding
        self.end = end
        self.question = question
        self.start: list[int] = []
        self.ids: list[int] = []
        self.done = False
        self.margin = float("inf")

    def take(self, logits: Tensor, best: int, margin: float) -> list[int]:
        """Choose a token."""
        if self.decoding.temperature:
            drawn = keyed_number(self.decoding.seed, "token", self.question, len(self.ids))
            best = sampled(logits, self.decoding.temperature, self.decoding.top_p, drawn)
        else:
            self.margin = min(self.margin, margin)
        if best != self.end:
            self.ids.append(best)
        self.done = best == self.end or len(self.ids) == self.decoding.max_new_tokens
        return [best]


def sampled(logits: Tensor, temperature: float, top_p: float, drawn: float) -> int:
    """Return the token that a number in [0, 1) falls on, of logits [V], where the likeliest tokens that make up
    `top_p` share the unit interval, likeliest first."""
    shares, tokens = (logits.double() / temperature).softmax(-1).sort(descending=True, stable=True)
    before = shares.cumsum(-1) - shares
    kept = shares[before < top_p]
    place = int(torch.searchsorted(kept.cumsum(-1), drawn * float(kept.sum()), right=True))
    return int(tokens[min(place, len(kept) - 1)])


class TriplesWriter:
    """AVE's triples under constrained decoding: for each target attribute, in order, a value of any text and one of
    the fields, or None, for its source. The text is always valid.

    Fixed text is fed without a choice by the model. Values are JSON strings in ASCII, as in the published rows.
    """

    def __init__(self, attributes: Sequence[str], sources: Sequence[str], vocabulary: "Vocabulary"):
        self.attributes = [attribute.lower() for attribute in attributes]
        self.sources = list(sources)
        self.vocabulary = vocabulary
        self.triples: list[Triple] = []
        self.start = vocabulary.tokens("[" + self._before_value(0))
        self.done = False
        self.margin = float("inf")
        self._begin_value()

    @property
    def text(self) -> str:
        """The answer."""
        return json.dumps(self.triples)

    def take(self, logits: Tensor, best: int, margin: float) -> list[int]:
        """Choose a token of the value or of the source."""
        return self._take_source(logits) if self.choosing else self._take_value(logits)

    def _begin_value(self) -> None:
        self.written, self.safe, self.state, self.count = "", "", PLAIN, 0
        self.choosing: list[tuple[str, list[int]]] = []
        self.chosen = 0

    def _take_value(self, logits: Tensor) -> list[int]:
        allowed = self.vocabulary.allowed(self.state, closing=bool(self.written.strip()))
        token = self._best(logits, allowed)
        text = self.vocabulary.texts[token] or ""
        state, closed = scan(self.state, text)
        self.count += 1
        self.written += text if closed is None else text[:closed]
        if closed is None:
            self.state = state
            if state == PLAIN:
                self.safe = self.written
            if self.count < MAX_VALUE_TOKENS:
                return [token]
            self.written = self.safe
        return self._end_value()

    def _end_value(self) -> list[int]:
        """Keep the value; returns the tokens up to where its source is to be chosen."""
        value = str(json.loads(f'"{self.written}"')).strip() or NONE
        attribute = self.attributes[len(self.triples)]
        words = self.vocabulary
        if value == NONE or not self.sources:
            return [*words.tokens(CLOSING + NONE, inside=True), *self._add(attribute, value, NONE)]
        after = words.tokens('"', inside=True)[:1]  # so that no source's tokens begin another's
        self.choosing = [(source, [*words.tokens(source, inside=True), *after]) for source in self.sources]
        self.value = value
        return [*words.tokens(CLOSING, inside=True), *self._settled()]

    def _take_source(self, logits: Tensor) -> list[int]:
        nexts = sorted({tokens[self.chosen] for _, tokens in self.choosing})
        among = torch.zeros(len(logits), dtype=torch.bool, device=logits.device)
        among[nexts] = True
        token = self._best(logits, among)
        self.choosing = [(source, tokens) for source, tokens in self.choosing if tokens[self.chosen] == token]
        self.chosen += 1
        ended = [source for source, tokens in self.choosing if len(tokens) == self.chosen]
        return (
            self._add(self.attributes[len(self.triples)], self.value, ended[0]) if ended else self._settled([token])
        )

    def _settled(self, tokens: Sequence[int] = ()) -> list[int]:
        """Append what all remaining sources share; where one remains, go on to the next attribute."""
        found = list(tokens)
        while len({left[self.chosen] for _, left in self.choosing}) == 1:
            source, left = self.choosing[0]
            if self.chosen == len(left) - 1:
                return [*found, *self._add(self.attributes[len(self.triples)], self.value, source)]
            found.append(left[self.chosen])
            self.chosen += 1
        return found

    def _add(self, attribute: str, value: str, source: str) -> list[int]:
        """Keep a triple; returns the tokens up to the next value."""
        self.triples.append({"attribute": attribute, "value": value, "source": source})
        self.done = len(self.triples) == len(self.attributes)
        self._begin_value()
        return (
            [] if self.done else self.vocabulary.tokens('"}, ' + self._before_value(len(self.triples)), inside=True)
        )

    def _before_value(self, number: int) -> str:
        return f'{{"attribute": {json.dumps(self.attributes[number])}, "value": "'

    def _best(self, logits: Tensor, allowed: Tensor) -> int:
        two, ids = logits[: len(allowed)].masked_fill(~allowed[: len(logits)], -torch.inf).topk(2)
        self.margin = min(self.margin, float(two[0] - two[1]))
        return int(ids[0])


#: Between a value and its source.
CLOSING = '", "source": "'
#: Where a JSON string stands: between characters, after a backslash, or in an escape that lacks so many digits.
PLAIN, ESCAPE = 0, -1
HEX_DIGITS = 4


def scan(state: int, text: str) -> tuple[int, int | None]:
    """Advance the state of a JSON string of printable ASCII; returns the state, and where it was closed, if it was.

    Raises ValueError where the text is not of such a string. Behind its end the beginning of what follows may stand.
    """
    for place, sign in enumerate(text):
        if not " " <= sign <= "~":
            raise ValueError("not printable ASCII")
        if state > PLAIN:
            if sign not in "0123456789abcdefABCDEF":
                raise ValueError("not a hexadecimal digit")
            state -= 1
        elif state == ESCAPE:
            if sign not in '"\\/bfnrtu':
                raise ValueError("no escape")
            state = HEX_DIGITS if sign == "u" else PLAIN
        elif sign == "\\":
            state = ESCAPE
        elif sign == '"':
            if not CLOSING.startswith(text[place:]):
                raise ValueError("not what follows a value")
            return PLAIN, place
    return state, None


class Vocabulary:
    """The text of each token of a tokenizer, and which tokens may stand in a JSON string."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", device: torch.device):
        self.tokenizer = tokenizer
        self.device = device
        self._allowed: dict[int, tuple[Tensor, Tensor]] = {}

    @cached_property
    def texts(self) -> list[str | None]:
        """Each token's text within a text; None for special tokens."""
        # Beside another token, as some tokenizers omit a space at the beginning of a text.
        (*_, anchor) = self.tokenizer("a", add_special_tokens=False).input_ids
        count = len(self.tokenizer)
        both = self.tokenizer.batch_decode(
            [[anchor, token] for token in range(count)], clean_up_tokenization_spaces=False
        )
        special = {*self.tokenizer.all_special_ids, *self.tokenizer.added_tokens_decoder}
        before = len(self.tokenizer.decode([anchor]))
        return [None if token in special else text[before:] for token, text in enumerate(both)]

    def tokens(self, text: str, inside: bool = False) -> list[int]:
        """Return a text's tokens, at the beginning of a response or inside one."""
        if not inside:
            return list(self.tokenizer(text, add_special_tokens=False).input_ids)
        before = self.tokenizer('"', add_special_tokens=False).input_ids
        both = self.tokenizer('"' + text, add_special_tokens=False).input_ids
        if both[: len(before)] == before:
            return list(both[len(before) :])
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def allowed(self, state: int, closing: bool) -> Tensor:
        """Return which tokens may continue a JSON string in a state, [V]; those that close it only where it may be
        closed, or bring text of their own."""
        if state not in self._allowed:
            going, bare = [], []
            for text in self.texts:
                fits, blank = _fits(state, text)
                going.append(fits)
                bare.append(blank)
            self._allowed[state] = (
                torch.tensor(going, device=self.device),
                torch.tensor(bare, device=self.device),
            )
        fits_in, closes_blank = self._allowed[state]
        return fits_in if closing else fits_in & ~closes_blank


def _fits(state: int, text: str | None) -> tuple[bool, bool]:
    """Return whether a token may continue a JSON string, and whether it closes it without text of its own."""
    if not text:
        return False, False
    try:
        _, closed = scan(state, text)
    except ValueError:
        return False, False
    return True, closed is not None and not text[:closed].strip()
