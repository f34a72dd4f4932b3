"""Fitting, by scikit-learn, of the linear models of counted words.

They are read without it: `pair_features.py`, `logistic_regression.py` and `recommendation.py` need numpy alone.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ecellm.models.calibration.applying import Labels
from ecellm.models.calibration.thresholds import Metric, enough_rows, score_with_thresholds
from ecellm.models.lexical.logistic_regression import LinearClassifier, Weights, spread_log_probabilities
from ecellm.models.lexical.pair_features import TEXTS, WORD, PairFeatures, Scale, Terms
from ecellm.models.lexical.recommendation import Recommender, candidates, history, likenesses
from ecellm.models.lexical.sparse_rows import SparseRows
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.metrics import Floats
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example

MAX_TERMS = 200_000
STRENGTHS = (0.03, 0.1, 0.3, 1.0)
#: Where validation rows are too few to choose by.
DEFAULT_STRENGTH = 1.0
ITERATIONS = 300


def fit_terms(texts: Sequence[str], analyzer: str = "word", longest: int = 1, shortest: int = 1) -> Terms:
    """Learn terms and their document frequencies; there are none where no text has a word."""
    if not any(WORD.search(text) for text in texts):
        return Terms(analyzer, longest, shortest)
    vectorizer = TfidfVectorizer(
        analyzer=analyzer,
        token_pattern=WORD.pattern if analyzer == "word" else None,
        ngram_range=(shortest, longest),
        max_features=MAX_TERMS,
        sublinear_tf=True,
    ).fit(texts)
    return Terms(analyzer, longest, shortest, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)


def fit_scale(rows: Floats) -> Scale:
    """Take mean and deviation of training rows."""
    fitted = StandardScaler().fit(rows)
    return Scale(fitted.mean_, fitted.scale_)


def fit_pair_features(pairs: Sequence[TextPair]) -> PairFeatures:
    """Learn terms and scales from training pairs."""
    forms = (("word", 2, 1), ("word", 2, 1), ("char_wb", 5, 2), ("word", 1, 1))
    blocks = [fit_terms([text(pair) for pair in pairs], *form) for text, form in zip(TEXTS, forms, strict=True)]
    texts = [text for pair in pairs for text in (pair.left, pair.right)]
    unscaled = Scale(np.zeros(0), np.ones(0))
    found = PairFeatures(blocks, fit_terms(texts), fit_terms(texts, "char_wb", 4, 3), unscaled)
    found.scale = fit_scale(found.likenesses(pairs))
    return found


def fit_classifier(
    pairs: Sequence[TextPair],
    labels: Labels,
    held_out: Sequence[TextPair],
    held_out_labels: Labels,
    classes: int,
    metric: Metric,
) -> LinearClassifier:
    """Fit on training pairs; the strength of the penalty is the best on held-out rows by `metric`, thresholds fitted.

    Labels are in [0, classes); a class that no training row has is never chosen.
    """
    features = fit_pair_features(pairs)
    rows = features.transform(pairs)
    if not enough_rows(len(held_out), classes):
        return LinearClassifier(features, fit_weights(rows, labels, DEFAULT_STRENGTH), classes)
    held_out_rows = features.transform(held_out)
    fits = [fit_weights(rows, labels, strength) for strength in STRENGTHS]
    logs = [spread_log_probabilities(model, held_out_rows, classes) for model in fits]
    best = int(np.argmax([score_with_thresholds(log, held_out_labels, metric) for log in logs]))
    return LinearClassifier(features, fits[best], classes)


def fit_weights(rows: SparseRows, labels: Labels, strength: float) -> Weights:
    """One weight vector a class: the dual solver is fifty times faster here than a joint fit, and as good."""
    classes = np.unique(labels)
    if len(classes) == 1:
        return Weights(classes, np.zeros((0, rows.shape[1])), np.zeros(0))
    matrix = sp.csr_matrix((rows.values, (rows.owners, rows.columns)), shape=rows.shape)
    fits = []
    for known in classes if len(classes) > 2 else classes[1:]:
        model = LogisticRegression(
            C=strength, class_weight="balanced", solver="liblinear", dual=True, max_iter=ITERATIONS, random_state=0
        )
        with warnings.catch_warnings():
            # A fit that stops early is one more form of regularisation; validation rows judge it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fits.append(model.fit(matrix, (labels == known).astype(np.int64)))
    return Weights(
        classes, np.concatenate([fit.coef_ for fit in fits]), np.concatenate([fit.intercept_ for fit in fits])
    )


def fit_recommender(examples: Sequence[Example]) -> Recommender:
    """Fit on training rows: is a candidate, given four likenesses to the history, the one bought?"""
    texts = sorted({text for example in examples for text in (*history(example), *candidates(example))})
    terms = fit_terms(texts, longest=2)
    rows = np.concatenate([likenesses(terms, example) for example in examples])
    bought = np.concatenate(
        [
            [example.output.strip()[:1] == LETTERS[place] for place in range(len(candidates(example)))]
            for example in examples
        ]
    )
    scale = fit_scale(rows)
    model = LogisticRegression(class_weight="balanced", max_iter=1000).fit(scale.transform(rows), bought)
    return Recommender(terms, scale, model.coef_[0], float(model.intercept_[0]))
