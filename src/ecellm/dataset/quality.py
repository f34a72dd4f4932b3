"""Which drawn samples are fit for a dataset, each by itself: by language and by length."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from ecellm.dataset.language import foreign
from ecellm.records import Sample
from ecellm.tasks import Task

NOTHING: Mapping[str, tuple[str, ...]] = MappingProxyType({})
WORD = re.compile(r"\w+")
LONG = "row is longer than most_words"


def unfit(
    samples: Sequence[Sample],
    task: Task,
    language: str,
    most_words: int | None,
    written: Mapping[str, tuple[str, ...]] = NOTHING,
) -> list[tuple[str, Sample]]:
    """Return the samples that are not fit, with the reason.

    `language` is the one that all texts of a row must be in (ISO 639-1; empty for any), `most_words` the most words
    that input and options may have, so that no model need cut a row. `written` has texts as the source wrote them, by
    sample id, where a row shows less of them (`Draw.written`).
    """
    found = []
    rest = list(samples)
    if most_words is not None:
        long = [words_of(sample) > most_words for sample in rest]
        found += [(LONG, sample) for sample, bad in zip(rest, long, strict=True) if bad]
        rest = [sample for sample, bad in zip(rest, long, strict=True) if not bad]
    if language and rest:
        texts = [written.get(sample.id) or task.texts(sample) for sample in rest]
        told = iter(foreign([text for shown in texts for text in shown], language))
        bad = [any(list(islice(told, len(shown)))) for shown in texts]
        found += [(foreign_reason(language), sample) for sample, out in zip(rest, bad, strict=True) if out]
    return found


def foreign_reason(language: str) -> str:
    """Return what is said of a row in another language."""
    return f"text is in another language than {language}"


def words_of(sample: Sample) -> int:
    """Return the number of words of a sample's input and options."""
    return len(WORD.findall(f"{sample.input} {sample.options or ''}"))
