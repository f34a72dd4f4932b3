"""The five answer types: yes/no, one letter, a ranking of letters, a list of triples, free text.

Each prints an answer, parses text strictly (what cannot be parsed is wrong) and the published way (the
published evaluation's rules, weaknesses included, read off the authors' script), enumerates its candidates
where they are finite, and gives a JSON schema. Answers are plain JSON values.
"""

import ast
import json
import re
from functools import lru_cache
from itertools import permutations
from typing import Any, Protocol

from ecellm.records import Sample

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
TRIPLE_KEYS = ("attribute", "value", "source")

#: A letter and nothing else: B, b, (B), B. or B:
LETTER_ALONE = re.compile(r"\(?([A-Za-z])\)?[.:]?")
#: A letter that opens a longer answer: B: .., B) .., (B) .., B. .. or a line of its own; not "T.V. stand".
LETTER_FIRST = re.compile(r"(?:\(([A-Z])\)|([A-Z])(?:[:)]|\.\s|\n)).*", re.DOTALL)

Triple = dict[str, str]
#: What a triple says where the text gives no value.
NONE = "None"
#: Under which key AVE's input names the attributes asked for, and what joins them.
TARGETS, JOINER = "target attributes", " and "


class AnswerType(Protocol):
    """What every answer type can do."""

    name: str
    has_classes: bool
    """Whether the answers are the same few classes in every row."""

    def print(self, answer: Any, sample: Sample) -> str:
        """Return the answer as the published output field writes it."""

    def parse(self, text: str, sample: Sample) -> Any | None:
        """Return the answer that the text gives, strictly, or None."""

    def parse_published(self, text: str) -> Any | None:
        """Return what the published evaluation reads from the text, or None where it leaves it out."""

    def candidates(self, sample: Sample) -> tuple[str, ...] | None:
        """Return every possible output text, in a fixed order, or None where there is no end of them."""

    def schema(self, sample: Sample) -> dict[str, Any]:
        """Return a JSON schema of the answer."""


def option_texts(options: str) -> list[str]:
    """Return the options of a sample: the text is a JSON list or, for SR, a Python list's repr.

    Raises ValueError where it is neither or not a list of strings. Nothing is executed.
    """
    return list(_option_texts(options))


# Scoring reads the same options for the answer, its floors and its slices.
@lru_cache(maxsize=20_000)
def _option_texts(options: str) -> tuple[str, ...]:
    try:
        read = json.loads(options)
    except (ValueError, RecursionError):
        try:
            read = ast.literal_eval(options)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            read = None
    if not isinstance(read, list) or not all(isinstance(option, str) for option in read):
        raise ValueError(f"Options are not a list of texts: {options[:80]!r}.")
    return tuple(read)


#: Options beyond this many change from row to row, as SR's do: their letters are no classes.
MOST_CLASSES = 5


class YesNo:
    """Yes or no (PM, PSI, AP). The answer is "yes" or "no"."""

    name = "yes/no"
    choices = ("yes", "no")
    has_classes = True

    def print(self, answer: str, sample: Sample) -> str:
        """Return yes or no."""
        return answer

    def parse(self, text: str, sample: Sample) -> str | None:
        """Take yes or no in any case, a full stop allowed; nothing else."""
        word = text.strip().removesuffix(".").casefold()
        return word if word in self.choices else None

    def parse_published(self, text: str) -> str | None:
        """Lower-case, strip, then exactly yes or no."""
        word = text.lower().strip()
        return word if word in self.choices else None

    def candidates(self, sample: Sample) -> tuple[str, ...]:
        """Return yes and no."""
        return self.choices

    def schema(self, sample: Sample) -> dict[str, Any]:
        """Return an enumeration of the two words."""
        return {"enum": list(self.choices)}


class Letter:
    """One option's letter (PRP, SR), or the whole option (SA, MPC). The answer is the letter."""

    name = "letter"

    def __init__(self, published_letters: str, whole_option: bool = False, first_character: bool = True):
        """Take the letters that the published evaluation accepts and whether it reads the first character
        (PRP, SA, MPC) or wants the letter alone (SR)."""
        self.published_letters = published_letters
        self.has_classes = len(published_letters) <= MOST_CLASSES
        self.whole_option = whole_option
        self.first_character = first_character

    def print(self, answer: str, sample: Sample) -> str:
        """Return the letter, or the option that begins with it."""
        # Imported rows may come without their options: the letter stands in.
        if not (self.whole_option and sample.options):
            return answer
        return option_texts(sample.options)[LETTERS.index(answer)]

    def parse(self, text: str, sample: Sample) -> str | None:
        """Take "B", "b", "(B)", "B.", "B: ..." or an option's text; "Based on ..." gives nothing."""
        options = option_texts(sample.options) if sample.options else []
        said = text.strip()
        bodies = [re.sub(r"^[A-Z]:\s*", "", option).strip().casefold() for option in options]
        if said.casefold() in bodies:
            return LETTERS[bodies.index(said.casefold())]
        match = LETTER_ALONE.fullmatch(said) or LETTER_FIRST.fullmatch(said)
        if match is None:
            return None
        letter = next(group for group in match.groups() if group).upper()
        return letter if letter in self._letters(sample) else None

    def parse_published(self, text: str) -> str | None:
        """Read the first character (or, for SR, the whole stripped text) as an upper-case letter."""
        said = text.strip()
        letter = said[:1] if self.first_character else said
        return letter if len(letter) == 1 and letter in self.published_letters else None

    def candidates(self, sample: Sample) -> tuple[str, ...]:
        """Return the letters, or the whole options, in order."""
        if self.whole_option and sample.options:
            return tuple(option_texts(sample.options))
        return tuple(self._letters(sample))

    def _letters(self, sample: Sample) -> str:
        """Return a letter per option; without options, those that the published evaluation accepts."""
        return LETTERS[: len(option_texts(sample.options))] if sample.options else self.published_letters

    def schema(self, sample: Sample) -> dict[str, Any]:
        """Return an enumeration of the candidates."""
        return {"enum": list(self.candidates(sample))}


class Ranking:
    """All letters of a product list, best first, as "B,A,C" (QPR). The answer is a list of letters."""

    name = "ranking"
    has_classes = False

    def print(self, answer: list[str], sample: Sample) -> str:
        """Return the letters joined by commas, without spaces."""
        return ",".join(answer)

    def letters(self, sample: Sample) -> str:
        """Return the letters in use, one per product of the sample's list; raises ValueError without a list."""
        return LETTERS[: len(_input_part(sample, "product list"))]

    def parse(self, text: str, sample: Sample) -> list[str] | None:
        """Take every letter exactly once, divided by commas; spaces are allowed."""
        said = [piece.strip() for piece in text.strip().removesuffix(".").split(",")]
        return said if sorted(said) == sorted(self.letters(sample)) else None

    def parse_published(self, text: str) -> list[str]:
        """Split the stripped text on commas; each piece counts by its first character, unstripped.

        Pieces that are empty or do not begin with an upper-case letter are skipped singly. Whether a letter
        names a product of the row is for the caller to check.
        """
        firsts = [piece[:1] for piece in text.strip().split(",")]
        return [letter for letter in firsts if letter and letter in LETTERS]

    def candidates(self, sample: Sample) -> tuple[str, ...]:
        """Return every order of the letters (2 to 24 of them for lists of 2 to 4)."""
        return tuple(",".join(order) for order in permutations(self.letters(sample)))

    def schema(self, sample: Sample) -> dict[str, Any]:
        """Return an enumeration of the orders."""
        return {"enum": list(self.candidates(sample))}


class Triples:
    """A list of {attribute, value, source} (AVE); value and source are "None" where the text has none."""

    name = "triples"
    has_classes = False

    def attributes(self, sample: Sample) -> list[str]:
        """Return the attributes that the sample asks for, in order; raises ValueError where it names none."""
        return str(_input_part(sample, TARGETS)).split(JOINER)

    def sources(self, sample: Sample) -> list[str]:
        """Return the fields that a value may stand in, in lower case; raises ValueError as `attributes`."""
        _input_part(sample, TARGETS)
        return [key.lower() for key in json.loads(sample.input) if key != TARGETS]

    def print(self, answer: list[Triple], sample: Sample) -> str:
        """Return the JSON text with Python's defaults."""
        return json.dumps(answer)

    def parse(self, text: str, sample: Sample) -> list[Triple] | None:
        """Take a JSON list of objects that each have the three keys with text values; nothing else."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(read, list):
            return None
        for item in read:
            if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in TRIPLE_KEYS):
                return None
        return [{key: item[key] for key in TRIPLE_KEYS} for item in read]

    def parse_published(self, text: str) -> list[Any] | None:
        """Return the JSON list as it is; [] for JSON that is no list; None where it is not JSON (invalid)."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return read if isinstance(read, list) else []

    def candidates(self, sample: Sample) -> None:
        """Return None: values are spans of the text."""

    def schema(self, sample: Sample) -> dict[str, Any]:
        """Return an array of objects with the three keys."""
        texts = {key: {"type": "string"} for key in TRIPLE_KEYS}
        item = {
            "type": "object",
            "properties": texts,
            "required": list(TRIPLE_KEYS),
            "additionalProperties": False,
        }
        return {"type": "array", "items": item}


class FreeText:
    """A sentence or more (AG). The answer is the stripped text."""

    name = "free text"
    has_classes = False

    def print(self, answer: str, sample: Sample) -> str:
        """Return the text."""
        return answer

    def parse(self, text: str, sample: Sample) -> str | None:
        """Take any text that is not empty."""
        return text.strip() or None

    def parse_published(self, text: str) -> str:
        """Return the text unchanged: the published evaluation takes anything."""
        return text

    def candidates(self, sample: Sample) -> None:
        """Return None: there is no end of them."""

    def schema(self, sample: Sample) -> dict[str, Any]:
        """Return a string."""
        return {"type": "string"}


def _input_part(sample: Sample, name: str) -> Any:
    try:
        read = json.loads(sample.input)
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict) or name not in read:
        raise ValueError(f"The input of {sample.id} has no {name!r}: it is not in the form of {sample.task}.")
    return read[name]
