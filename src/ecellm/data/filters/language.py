"""Which texts are in another language than a task's.

Queries and titles are short, full of names and model numbers, and often in no language at all. So a text counts as
foreign only where a language detector finds another language likely and the task's own not, in the text as it is and
without its codes, and where no longer phrase of it is in the task's own language. An empty text is never foreign.
"""

import re
from collections.abc import Sequence
from functools import cache

from lingua import ConfidenceValue, IsoCode639_1, Language, LanguageDetector, LanguageDetectorBuilder

#: The languages that are distinguished (ISO 639-1): those of larger shops' sites. More would mistake names for words.
LANGUAGES = ("en", "de", "es", "fr", "it", "pt", "nl", "sv", "pl", "tr", "ru", "ar", "hi", "ja", "ko", "zh")
#: A text may be foreign where the own language is less likely than the first and another more than the second.
DOUBTS = ((0.04, 0.5), (0.1, 0.85))
#: A phrase of so many words is in the own language from this probability on.
PHRASE_WORDS, OWN_FROM = 4, 0.5
#: Words with a digit, of capitals alone, or with a capital inside: model numbers, units and makers.
CODE = re.compile(r"\S*\d\S*|\S*[a-z][A-Z]\S*|\b[A-Z]{2,}\b")
PHRASE_END = re.compile(r"[,;:|()\[\]]| - ")


def foreign(texts: Sequence[str], language: str) -> list[bool]:
    """Say of each text whether it is in another language than this one of `LANGUAGES`."""
    known = _known(language)
    own = Language.from_iso_code_639_1(IsoCode639_1.from_str(language.upper()))
    new = [text for text in dict.fromkeys(texts) if text not in known]
    for text, values in zip(new, _confidences(new), strict=True):
        known[text] = _is_other(values, own) and _stays_foreign(text, own)
    return [known[text] for text in texts]


def _stays_foreign(text: str, own: Language) -> bool:
    """Say whether a text that looks foreign does so without its codes too and has no phrase in the own language."""
    bare = " ".join(CODE.sub(" ", text).split())
    phrases = [phrase for phrase in PHRASE_END.split(text) if len(phrase.split()) >= PHRASE_WORDS]
    first, *others = _confidences([bare, *phrases])
    return (not bare or _is_other(first, own)) and all(_likely(values)[own] < OWN_FROM for values in others)


def _is_other(values: Sequence[ConfidenceValue], own: Language) -> bool:
    likely = _likely(values)
    return any(likely[own] < below and max(likely.values()) > above for below, above in DOUBTS)


def _likely(values: Sequence[ConfidenceValue]) -> dict[Language, float]:
    return {value.language: value.value for value in values}


def _confidences(texts: Sequence[str]) -> list[list[ConfidenceValue]]:
    """Return each text's probability of every language."""
    return _detector().compute_language_confidence_values_in_parallel(list(texts)) if texts else []


@cache
def _known(language: str) -> dict[str, bool]:
    """What was found of texts before: the search tasks show the same queries and titles again and again."""
    return {}


@cache
def _detector() -> LanguageDetector:
    """Load the models, 0.4 GB: once a process."""
    known = [Language.from_iso_code_639_1(IsoCode639_1.from_str(name.upper())) for name in LANGUAGES]
    return LanguageDetectorBuilder.from_languages(*known).build()
