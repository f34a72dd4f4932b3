"""SR: the candidate whose words are most like the purchase history, by TF-IDF; the weights are fitted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from ecellm.baselines.features import Floats, Scale, State, Terms, nested, under
from ecellm.records import Sample
from ecellm.tasks.answers import LETTERS, option_texts

#: Each older purchase counts this much less in the faded mean.
FADING = 0.7
LIKENESSES = ("mean", "faded mean", "most", "last")


def history(sample: Sample) -> list[str]:
    """Return the purchases, oldest first, without their "1st: "."""
    return [re.sub(r"^\d+(?:st|nd|rd|th): ", "", item) for item in option_texts(sample.input)]


def candidates(sample: Sample) -> list[str]:
    """Return the candidates, without their letters."""
    assert sample.options is not None, sample.id
    return [re.sub(r"^[A-Z]: ", "", option) for option in option_texts(sample.options)]


@dataclass
class Recommender:
    """TF-IDF of item texts and a logistic regression over how like the history a candidate is."""

    terms: Terms
    scale: Scale
    weights: Floats
    """[likenesses]"""
    intercept: float

    def log_probabilities(self, sample: Sample) -> Floats:
        """Return the log-probability of each candidate to be the one bought, [candidates]."""
        logits = self.scale.transform(likenesses(self.terms, sample)) @ self.weights + self.intercept
        return np.asarray(logits - np.logaddexp.reduce(logits), dtype=np.float64)

    def state(self) -> State:
        """Return all that was learned."""
        notes, arrays = self.terms.state()
        scale = {"mean": self.scale.mean, "deviation": self.scale.deviation}
        return {"terms": notes, "intercept": self.intercept}, nested("terms", arrays) | scale | {
            "weights": self.weights
        }

    @classmethod
    def restored(cls, notes: dict[str, Any], arrays: dict[str, Any]) -> "Recommender":
        """Return what `state` was taken of."""
        terms = Terms.restored(notes["terms"], under("terms", arrays))
        return cls(terms, Scale(arrays["mean"], arrays["deviation"]), arrays["weights"], notes["intercept"])


def fit_recommender(samples: Sequence[Sample]) -> Recommender:
    """Fit on training rows: is a candidate, given four likenesses to the history, the one bought?"""
    texts = sorted({text for sample in samples for text in (*history(sample), *candidates(sample))})
    terms = Terms(longest=2).fit(texts)
    rows = np.concatenate([likenesses(terms, sample) for sample in samples])
    bought = np.concatenate(
        [
            [sample.output.strip()[:1] == LETTERS[place] for place in range(len(candidates(sample)))]
            for sample in samples
        ]
    )
    scale = Scale.fit(rows)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(scale.transform(rows), bought)
    return Recommender(terms, scale, model.coef_[0], float(model.intercept_[0]))


def likenesses(terms: Terms, sample: Sample) -> Floats:
    """Return cosines of candidates with the purchases, [candidates, likenesses]: see `LIKENESSES`."""
    shown, bought = candidates(sample), history(sample) or [""]
    both = terms.transform([*shown, *bought])
    cosines = (both[: len(shown)] @ both[len(shown) :].T).toarray()
    weights = FADING ** np.arange(len(bought))[::-1]
    return np.stack([cosines.mean(1), cosines @ weights / weights.sum(), cosines.max(1), cosines[:, -1]], axis=1)
