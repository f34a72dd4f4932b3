"""SR: the candidate whose words are most like the purchase history, by TF-IDF.

The weights are fitted in `linear_fitting.py`.
"""

import re
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from ecellm.errors import DataError
from ecellm.models.lexical.pair_features import Scale, Terms, TermsNotes, nested, under
from ecellm.models.lexical.task_files import Arrays
from ecellm.tasks import TASKS
from ecellm.tasks.answers import option_texts
from ecellm.tasks.metrics import Floats
from ecellm.types import Example

#: Each older purchase counts this much less in the faded mean.
FADING = 0.7
LIKENESSES = ("mean", "faded mean", "most", "last")


def history(example: Example) -> list[str]:
    """Return the purchases, oldest first, as the example's task reads them."""
    past = TASKS[example.task].history
    assert past is not None, example.task
    return past(example)


def candidates(example: Example) -> list[str]:
    """Return the candidates, without their letters; raises DataError where a row has none, as imported ones may."""
    if example.options is None:
        raise DataError(f"{example.id} has no options, without which there is nothing to choose from.")
    return [re.sub(r"^[A-Z]: ", "", option) for option in option_texts(example.options)]


class RecommenderNotes(TypedDict):
    """What JSON holds of a `Recommender`."""

    terms: TermsNotes
    intercept: float


@dataclass
class Recommender:
    """TF-IDF of item texts and a logistic regression over how like the history a candidate is."""

    terms: Terms
    scale: Scale
    weights: Floats
    """[likenesses]"""
    intercept: float

    def log_probabilities(self, example: Example) -> Floats:
        """Return the log-probability of each candidate to be the one bought, [candidates]."""
        logits = self.scale.transform(likenesses(self.terms, example)) @ self.weights + self.intercept
        return np.asarray(logits - np.logaddexp.reduce(logits), dtype=np.float64)

    def state(self) -> tuple[RecommenderNotes, Arrays]:
        """Return all that was learned."""
        notes, arrays = self.terms.state()
        own = {"mean": self.scale.mean, "deviation": self.scale.deviation, "weights": self.weights}
        return {"terms": notes, "intercept": self.intercept}, nested("terms", arrays) | own

    @classmethod
    def restored(cls, notes: RecommenderNotes, arrays: Arrays) -> "Recommender":
        """Restore a model from what `state` returned."""
        terms = Terms.restored(notes["terms"], under("terms", arrays))
        return cls(terms, Scale(arrays["mean"], arrays["deviation"]), arrays["weights"], notes["intercept"])


def likenesses(terms: Terms, example: Example) -> Floats:
    """Return cosines of candidates with the purchases, [candidates, likenesses]: see `LIKENESSES`."""
    shown, bought = candidates(example), history(example) or [""]
    cosines = terms.transform(shown).products_with_rows(terms.transform(bought))
    weights = FADING ** np.arange(len(bought))[::-1]
    return np.stack([cosines.mean(1), cosines @ weights / weights.sum(), cosines.max(1), cosines[:, -1]], axis=1)
