"""What a person sees beside a pair: the words that its titles share, the numbers that they do not, both prices."""

import re

from ecellm.linking.records import Record

PRICE = "price"
#: The columns.
REASONS = (
    "left_title",
    "right_title",
    "shared_words",
    "left_numbers",
    "right_numbers",
    "left_price",
    "right_price",
)
#: A word; one with a digit in it may be a model's number, a version or a size.
WORD = re.compile(r"\w+(?:\.\d+)*")
DIGIT = re.compile(r"\d")


def reasons(left: Record, right: Record) -> dict[str, str | None]:
    """Return the new columns that say why a pair may be one product, or not."""
    mine, others = _words(left.title), _words(right.title)
    values = (
        left.title,
        right.title,
        " ".join(word for word in mine if word in others),
        " ".join(word for word in mine if DIGIT.search(word) and word not in others),
        " ".join(word for word in others if DIGIT.search(word) and word not in mine),
        left.fields.get(PRICE),
        right.fields.get(PRICE),
    )
    return dict(zip(REASONS, values, strict=True))


def _words(title: str) -> list[str]:
    return list(dict.fromkeys(WORD.findall(title.lower())))
