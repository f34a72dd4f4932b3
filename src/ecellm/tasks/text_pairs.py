"""The texts that an example compares: product and product, query and product, question and snippets."""

from collections.abc import Sequence
from dataclasses import dataclass

from ecellm.errors import DataError
from ecellm.tasks.answers import input_object
from ecellm.types import Example

#: Set between texts that are joined, so that no word pair spans them.
BREAK = " | "


@dataclass(frozen=True)
class TextPair:
    """Two texts that are compared, or one alone."""

    left: str
    right: str = ""
    parts: tuple[str, ...] = ()
    """The pieces of the right text that are compared one by one."""
    heads: tuple[str, str] | None = None
    """What says most of each text: it stands twice for models that count words."""

    def weighted(self) -> "TextPair":
        """Return the pair for a model that counts words."""
        if self.heads is None:
            return self
        left, right = self.heads
        return TextPair(f"{left}{BREAK}{self.left}", f"{right}{BREAK}{self.right}", self.parts)


def whole_input(example: Example) -> Sequence[TextPair]:
    """Return the input alone."""
    return [TextPair(example.input)]


def two_values(example: Example) -> Sequence[TextPair]:
    """Return the two values of a JSON input; raises DataError where it has another form."""
    values = [str(value) for value in input_object(example).values()]
    if len(values) != 2:
        raise DataError(f"The input of {example.id} has not two texts: it is not in the form of {example.task}.")
    left, right = values
    return [TextPair(left, right, (right,))]
