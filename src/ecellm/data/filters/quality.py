"""Which drawn samples are fit for a dataset, each by itself: by language and by length."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from ecellm.data.filters.language import foreign
from ecellm.tasks import Task
from ecellm.types import Example

NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})
WORD = re.compile(r"\w+")
LONG = "row is longer than max_words"


def unfit(
    examples: Sequence[Example],
    task: Task,
    language: str,
    max_words: int | None,
    written: Mapping[str, tuple[str, ...]] = NOTHING,
) -> list[tuple[str, Example]]:
    """Return the samples that are not fit, with the reason.

    `language` is the one that all texts of a row must be in (ISO 639-1; empty for any), `max_words` the most words
    that input and options may have, so that no model need cut a row. `written` has texts as the source wrote them, by
    sample id, where a row shows less of them (`Draw.written`).
    """
    found = []
    rest = list(examples)
    if max_words is not None:
        long = [words_of(example) > max_words for example in rest]
        found += [(LONG, example) for example, bad in zip(rest, long, strict=True) if bad]
        rest = [example for example, bad in zip(rest, long, strict=True) if not bad]
    if language and rest:
        texts = [written.get(example.id) or task.texts(example) for example in rest]
        verdicts = iter(foreign([text for shown in texts for text in shown], language))
        bad = [any(list(islice(verdicts, len(shown)))) for shown in texts]
        reason = f"text is in another language than {language}"
        found += [(reason, example) for example, out in zip(rest, bad, strict=True) if out]
    return found


def words_of(example: Example) -> int:
    """Return the number of words of a sample's input and options."""
    return len(WORD.findall(f"{example.input} {example.options or ''}"))
