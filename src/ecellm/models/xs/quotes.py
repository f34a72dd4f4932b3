"""Free text that is quoted: a question about review snippets is answered by one of them."""

from collections import Counter
from collections.abc import Sequence

from ecellm.models.lexical.pair_features import WORD
from ecellm.models.xs.lexical.scores import pair_of
from ecellm.types import Example


def snippets_of(example: Example) -> tuple[str, ...]:
    """Return the texts of an example's input that may be quoted; none where one is blank or the input has another
    form."""
    pair = pair_of(example)
    return pair.parts if pair is not None and all(part.strip() for part in pair.parts) else ()


def best_snippet(example: Example, scores: Sequence[float]) -> str:
    """Return the snippet of the greatest score, the first on ties and without scores; "" where none may be quoted.

    There may be fewer scores than snippets, for the first ones: a prompt drops the last ones.
    """
    snippets = snippets_of(example)
    return snippets[max(range(len(scores)), key=scores.__getitem__, default=0)].strip() if snippets else ""


def closest_snippet(snippets: Sequence[str], reference: str) -> int:
    """Return the place of the snippet that reads most like the reference, by F1 over words; the first on ties."""
    wanted = _words(reference)

    def f1(snippet: str) -> float:
        given = _words(snippet)
        return 2 * (given & wanted).total() / max(1, given.total() + wanted.total())

    return max(range(len(snippets)), key=lambda place: f1(snippets[place]))


def _words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.casefold()))
