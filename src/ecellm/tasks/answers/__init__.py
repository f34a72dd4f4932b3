"""The answer types: yes/no, one letter, a ranking of letters, a list of triples, free text.

Each prints an answer, parses text strictly (what cannot be parsed is wrong) and the published way (the published
evaluation's rules, weaknesses included, read off the authors' script), enumerates its candidates where they are
finite, gives a JSON schema, scores, and says what trivial answers there are. Answers are plain JSON values.
"""

from ecellm.tasks.answers.base import (
    LETTERS,
    RANDOM_DRAWS,
    AnswerDetails,
    AnswerKind,
    Answers,
    AnswerType,
    Schema,
    input_list,
    input_object,
    input_part,
    option_texts,
)
from ecellm.tasks.answers.free_text import FreeText
from ecellm.tasks.answers.letter import Letter
from ecellm.tasks.answers.ranking import Ranking
from ecellm.tasks.answers.triples import JOINER, NONE, TARGETS, TRIPLE_KEYS, Triple, Triples
from ecellm.tasks.answers.yes_no import YesNo

__all__ = [
    "JOINER",
    "LETTERS",
    "NONE",
    "RANDOM_DRAWS",
    "TARGETS",
    "TRIPLE_KEYS",
    "AnswerDetails",
    "AnswerKind",
    "AnswerType",
    "Answers",
    "FreeText",
    "Letter",
    "Ranking",
    "Schema",
    "Triple",
    "Triples",
    "YesNo",
    "input_list",
    "input_object",
    "input_part",
    "option_texts",
]
