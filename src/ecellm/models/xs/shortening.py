"""Encoded examples with fewer tokens than their prompts: without the punctuation of JSON, without words.

A prompt shows the published input, JSON for most tasks. A third of the tokens of a pair of short records are its
quotes, braces and colons, which cost time and say nothing that the names of the fields do not.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

from ecellm.models.xs.examples import EncodedExample, Span, Word, word_marks
from ecellm.prompts import Prompt, Tokenizer

#: The characters between an input's own texts that are dropped; commas stay, so that texts stay apart.
PUNCTUATION = frozenset("\"'{}[]:")


def without_punctuation(example: EncodedExample, prompt: Prompt, tokenizer: Tokenizer) -> EncodedExample:
    """Return the example of a whole prompt without the punctuation that stands in none of the example's own texts."""
    own = {place for content in prompt.contents for place in range(content.start, content.end)}
    punctuation = _punctuation(tokenizer)
    keeps = [place in own or token not in punctuation for place, token in enumerate(example.ids)]
    return _shortened(example, keeps, tokenizer)


def without_words(example: EncodedExample, words: Collection[Word], tokenizer: Tokenizer) -> EncodedExample:
    """Return the example without these of its words."""
    keeps = [True] * len(example.ids)
    for word in words:
        keeps[word.start : word.end] = [False] * (word.end - word.start)
    return _shortened(example, keeps, tokenizer)


def _shortened(example: EncodedExample, keeps: Sequence[bool], tokenizer: Tokenizer) -> EncodedExample:
    """Return the example of the tokens that are kept: all spans move, and marks are made anew."""
    before = [0]  # of each place: how many tokens before it are kept
    for kept in keeps:
        before.append(before[-1] + kept)

    def moved(span: Span) -> Span:
        return before[span[0]], before[span[1]]

    def whole(span: Span) -> bool:
        return all(keeps[span[0] : span[1]])

    ids = [token for token, kept in zip(example.ids, keeps, strict=True) if kept]
    words = [
        replace(word, start=before[word.start], end=before[word.end])
        for word in example.words
        if whole((word.start, word.end))
    ]
    return replace(
        example,
        ids=ids,
        places=[place for place, kept in zip(example.places, keeps, strict=True) if kept],
        words=words,
        marks=word_marks(ids, words, tokenizer),
        options=[moved(span) for span in example.options],
        attributes=[moved(span) for span in example.attributes],
        fields=[moved(span) for span in example.fields],
        values=[[moved(span) for span in spans] for spans in example.values],
        trusted=[(place, moved(span), score) for place, span, score in example.trusted if whole(span)],
    )


@lru_cache(maxsize=4)
def _punctuation(tokenizer: Tokenizer) -> frozenset[int]:
    vocabulary = tokenizer.get_vocab().items()
    return frozenset(token for text, token in vocabulary if PUNCTUATION.issuperset(text.removeprefix("##")))
