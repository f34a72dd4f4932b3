"""The next purchase: how similar to the history a candidate is, and what other shoppers bought beside it."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Literal, Self, TypedDict

import numpy as np

from ecellm.errors import EcellmError
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.lexical.pair_features import Scale, Terms, TermsNotes, nested, under
from ecellm.models.lexical.recommendation import candidates, history, likenesses
from ecellm.models.lexical.task_files import Arrays
from ecellm.models.xs.lexical.scores import NOTHING, Lexical, of_candidates
from ecellm.tasks.metrics import Floats
from ecellm.types import Example


class NextNotes(TypedDict):
    """What JSON holds of `NextScores`."""

    kind: Literal["next"]
    words: TermsNotes
    characters: TermsNotes
    purchases: dict[Literal["items"], list[str]]


@dataclass
class PurchaseCounts:
    """Who bought what, of training shoppers: purchases of each item, and of two items by one shopper."""

    bought: Counter[str] = field(default_factory=Counter)
    together: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def add(self, items: Sequence[str]) -> None:
        """Count one shopper's purchases."""
        self.bought.update(items)
        for one, other in permutations(dict.fromkeys(items), 2):
            self.together[one][other] += 1

    def counts(self, past: Sequence[str], shown: Sequence[str], target: int | None = None) -> Floats:
        """Return the logarithms of purchases and of joint purchases with the history, and whether the history has it,
        [candidates, 3]; `target` is the candidate that the shopper bought, whose own purchase is excluded."""
        rows = []
        for place, item in enumerate(shown):
            own = place == target
            others = [one for one in dict.fromkeys(past) if one != item]
            bought = self.bought[item] - own
            together = sum(self.together[one][item] - own for one in others if one in self.together)
            rows.append((np.log1p(max(bought, 0)), np.log1p(max(together, 0)), float(item in past)))
        return np.array(rows, dtype=np.float64)

    def state(self) -> tuple[dict[Literal["items"], list[str]], Arrays]:
        """Return the items, how often each was bought, and the pairs with their counts."""
        items = sorted(self.bought)
        numbers = {item: number for number, item in enumerate(items)}
        pairs = sorted(
            (numbers[one], numbers[other], count)
            for one, others in self.together.items()
            for other, count in others.items()
        )
        bought = np.array([self.bought[item] for item in items], dtype=np.int64)
        return {"items": items}, {"bought": bought, "pairs": np.array(pairs, dtype=np.int64).reshape(-1, 3)}

    @classmethod
    def restored(cls, notes: Mapping[Literal["items"], list[str]], arrays: Arrays) -> Self:
        """Restore a model from what `state` returned."""
        items = notes["items"]
        found = cls(Counter(dict(zip(items, arrays["bought"].tolist(), strict=True))))
        for one, other, count in arrays["pairs"].tolist():
            found.together[items[one]][items[other]] = count
        return found


def is_readable(example: Example) -> bool:
    """Say whether there are options to choose from and a history in the task's form, which imported rows may lack."""
    try:
        history(example)
    except EcellmError:
        return False
    return bool(example.options)


class NextScores:
    """A task whose options change from row to row: one weight for each likeness and count of a candidate."""

    def __init__(self, words: Terms, characters: Terms, purchases: PurchaseCounts, scale: Scale, weights: Floats):
        self.words, self.characters, self.purchases = words, characters, purchases
        self.scale, self.weights = scale, weights

    def read(self, examples: Sequence[Example]) -> list[Lexical]:
        """Return log-probabilities of the candidates."""
        return [
            self._scored(example, self.features(example)) if is_readable(example) else NOTHING for example in examples
        ]

    def features(self, example: Example, target: int | None = None) -> Floats:
        """Return likenesses of words, likenesses of characters, and counts, [candidates, 11]."""
        counts = self.purchases.counts(history(example), candidates(example), target)
        return np.concatenate([likenesses(self.words, example), likenesses(self.characters, example), counts], axis=1)

    def _scored(self, example: Example, features: Floats) -> Lexical:
        logits = self.scale.transform(features) @ self.weights
        assert len(logits) == len(candidates_of(example) or ()), example.id
        return of_candidates(example, logits - np.logaddexp.reduce(logits))

    def state(self) -> tuple[NextNotes, Arrays]:
        """Return all that was learned."""
        words, characters, purchases = self.words.state(), self.characters.state(), self.purchases.state()
        notes = NextNotes(kind="next", words=words[0], characters=characters[0], purchases=purchases[0])
        arrays: Arrays = {"mean": self.scale.mean, "deviation": self.scale.deviation, "weights": self.weights}
        for name, (_, inner) in (("words", words), ("characters", characters), ("purchases", purchases)):
            arrays |= nested(name, inner)
        return notes, arrays

    @classmethod
    def restored(cls, notes: NextNotes, arrays: Arrays) -> Self:
        """Restore a model from what `state` returned."""
        words = Terms.restored(notes["words"], under("words", arrays))
        characters = Terms.restored(notes["characters"], under("characters", arrays))
        purchases = PurchaseCounts.restored(notes["purchases"], under("purchases", arrays))
        return cls(words, characters, purchases, Scale(arrays["mean"], arrays["deviation"]), arrays["weights"])
