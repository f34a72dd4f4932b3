"""SR, sequential recommendation: which of twenty products does the shopper buy next?

Source: Amazon Review 2018 ratings, taken as purchases, with metadata (2014's fills empty titles and brands).

    input    ['1st: Fire Emblem. Video Games.', '2nd: GBA Care Case. Video Games.', ...]
    options  ['A: Wii Remote. Video Games.', 'B: ...', ..., 'T: ...']
    output   K
    metric   HR@1
"""

import ast
import re

from ecellm.errors import DataError
from ecellm.tasks.answers import LETTERS, Letter, option_texts
from ecellm.tasks.input_parsing import labelled, whole
from ecellm.tasks.task import Column, Form, Given, Piece, Pieces, Task
from ecellm.types import Example

MOST_PURCHASES = 50
CANDIDATES = 20
#: Before each purchase of a history.
ORDINAL = re.compile(r"^\d+(?:st|nd|rd|th): ")
#: History items that stay until the options have been shortened.
KEPT_HISTORY = 3


def write(given: Given) -> tuple[str, str]:
    """Return the purchases, the newest 50 of them, and the options.

    Raises DataError where there are fewer than two options or more than twenty.
    """
    options = given["options"]
    if not 2 <= len(options) <= CANDIDATES:
        raise DataError(f"options has {len(options)} of them: 2 to {CANDIDATES} can be chosen from.")
    history = [f"{ordinal(number)}: {text}" for number, text in enumerate(given["history"][-MOST_PURCHASES:], 1)]
    return repr(history), repr([f"{letter}: {text}" for letter, text in zip(LETTERS, options, strict=False)])


def read(answer: str, given: Given) -> str:
    """Return the option's text as it was given."""
    return str(given["options"][LETTERS.index(answer)])


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th, ..., 11th, 12th, 13th, ..., 21st, 22nd."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"


def history(example: Example) -> list[str]:
    """Return the purchases, oldest first, without their "1st: "; raises DataError for an input of another form."""
    try:
        items = option_texts(example.input)
    except DataError as error:
        raise DataError(
            f"The input of {example.id} is no list of texts: it is not in the form of {example.task}."
        ) from error
    return [ORDINAL.sub("", item) for item in items]


def _texts_bought(example: Example) -> tuple[str, ...]:
    return tuple(text.partition(": ")[2] for text in _items(example.input) or ())


def pieces(example: Example) -> Pieces:
    """Drop the oldest purchases first, all but three; then shorten the options evenly; then drop the rest."""
    options = () if example.options is None else _option_pieces(example.options)
    return Pieces(_history_pieces(example.input), options)


def _history_pieces(text: str) -> tuple[Piece, ...]:
    items = _items(text)
    if items is None:
        return whole(text)
    pieces = [Piece("[")]
    for place, item in enumerate(items):
        left = len(items) - place
        rank = place + 1 if left > KEPT_HISTORY else MOST_PURCHASES + 2 + place
        comma = ", " if place < len(items) - 1 else ""
        pieces.append(Piece(repr(item) + comma, rank=rank, how="drop", mark="purchase", of="history"))
    return (*pieces, Piece("]"))


def _option_pieces(text: str) -> tuple[Piece, ...]:
    items = _items(text)
    if items is None:
        return whole(text)
    pieces = [Piece("[")]
    for place, item in enumerate(items):
        shown = repr(item)
        pieces += [Piece(", ")] if place else []
        pieces += labelled(shown[1:-1], shown[0], rank=MOST_PURCHASES + 1)
    return (*pieces, Piece("]"))


def _items(text: str) -> list[str] | None:
    """Return the texts of a Python list's repr, or None where the text is not exactly such a repr."""
    try:
        items = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    good = isinstance(items, list) and all(isinstance(item, str) for item in items)
    return items if good and repr(items) == text else None


TASK = Task(
    name="SR",
    title="Sequential_Recommendation",
    instructions=(
        "The list shows what a shopper bought, in order. Which option comes next? Answer with its letter.",
        "Given the purchases so far, choose the product that the shopper is most likely to buy now. Reply with the "
        "option's letter.",
        "Predict the next purchase from the history and give the letter of that option only.",
        "Study the sequence of products and select, by letter, the option that continues it.",
        "Which of the options suits this shopper's past purchases best? Output one letter.",
        "Recommend one product to follow this purchase history: name its option letter.",
    ),
    answer=Letter("ABCDEFGHIJKLMNOPQRST", first_character=False, options_vary=True),
    metric="hr@1",
    out_of_domain=True,
    pieces=pieces,
    form=Form(
        (
            Column("history", "texts of the products bought, oldest first", many=True),
            Column("options", "texts of two to twenty products to choose from", many=True, least=2, most=CANDIDATES),
        ),
        write,
        read,
    ),
    texts=_texts_bought,
    history=history,
    verb="recommend",
    sample_rows=(
        {"history": ["Ground coffee 500 g", "Paper filters"], "options": ["Garden hose", "Milk frother"]},
        {"history": ["Puppy food", "Dog lead"], "options": ["Chew toy", "Desk lamp", "Printer ink"]},
    ),
)
