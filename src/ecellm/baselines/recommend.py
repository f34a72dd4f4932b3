"""SR: the candidate whose words are most like the purchase history, by TF-IDF; the weights are fitted."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ecellm.baselines.features import Floats, Terms
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
    scaler: StandardScaler
    model: LogisticRegression

    def log_probabilities(self, sample: Sample) -> Floats:
        """Return the log-probability of each candidate to be the one bought, [candidates]."""
        logits = self.model.decision_function(self.scaler.transform(_likenesses(self.terms, sample)))
        return np.asarray(logits - np.logaddexp.reduce(logits), dtype=np.float64)


def fit_recommender(samples: Sequence[Sample]) -> Recommender:
    """Fit on training rows: is a candidate, given four likenesses to the history, the one bought?"""
    texts = sorted({text for sample in samples for text in (*history(sample), *candidates(sample))})
    terms = Terms(longest=2).fit(texts)
    rows = np.concatenate([_likenesses(terms, sample) for sample in samples])
    bought = np.concatenate(
        [
            [sample.output.strip()[:1] == LETTERS[place] for place in range(len(candidates(sample)))]
            for sample in samples
        ]
    )
    scaler = StandardScaler().fit(rows)
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    return Recommender(terms, scaler, model.fit(scaler.transform(rows), bought))


def _likenesses(terms: Terms, sample: Sample) -> Floats:
    """Return cosines of candidates with the purchases, [candidates, likenesses]: see `LIKENESSES`."""
    shown, bought = candidates(sample), history(sample) or [""]
    both = terms.transform([*shown, *bought])
    cosines = (both[: len(shown)] @ both[len(shown) :].T).toarray()
    weights = FADING ** np.arange(len(bought))[::-1]
    return np.stack([cosines.mean(1), cosines @ weights / weights.sum(), cosines.max(1), cosines[:, -1]], axis=1)
