"""Fitting the linear models beside XS's stack on training rows, by scikit-learn: one for each task that has a use."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ecellm.io.hashing import keyed_hash
from ecellm.models.decoding.candidates import candidates_of, right_candidate
from ecellm.models.lexical.linear_fitting import STRENGTHS, fit_pair_features, fit_scale, fit_terms, fit_weights
from ecellm.models.lexical.logistic_regression import Weights, spread_log_probabilities
from ecellm.models.lexical.pair_features import Scale
from ecellm.models.lexical.recommendation import candidates, history
from ecellm.models.lexical.sparse_rows import SparseRows
from ecellm.models.lexical.value_dictionary import Dictionary, collect_trust
from ecellm.models.xs.lexical import LexicalScores
from ecellm.models.xs.lexical.classes import ClassScores, OrderScores
from ecellm.models.xs.lexical.purchases import NextScores, PurchaseCounts, is_readable
from ecellm.models.xs.lexical.scores import LOWEST, TaskScores, pair_of, pairs_of
from ecellm.models.xs.lexical.snippets import QuoteScores
from ecellm.models.xs.lexical.values import ValueScores
from ecellm.models.xs.quotes import closest_snippet
from ecellm.tasks import TASKS
from ecellm.types import Example

#: The strength of a penalty is chosen on one of so many parts of the training rows.
FOLDS = 4

#: The training rows of all tasks, by task.
Rows = Mapping[str, Sequence[Example]]


def fit_lexical(examples: Sequence[Example], seed: int) -> LexicalScores:
    """Fit the model of each task on training rows; a task whose rows are of no use has none."""
    rows: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        rows[example.task].append(example)
    models: dict[str, TaskScores] = {}
    for task in rows:
        fit = _fit_of(task)
        model = fit(task, rows, seed) if fit is not None else None
        if model is not None:
            models[task] = model
    return LexicalScores(models)


def _fit_of(task: str) -> Callable[[str, Rows, int], TaskScores | None] | None:
    """Return how a task's model is fitted; None for options of which nothing is known before."""
    answer, past = TASKS[task].answer, TASKS[task].history
    if answer.has_classes:
        return fit_classes
    if answer.kind == "choice":
        return None if past is None else fit_next
    fits: dict[str, Callable[[str, Rows, int], TaskScores | None]] = {
        "ranking": fit_order,
        "spans": fit_values,
        "text": fit_quotes,
    }
    return fits.get(answer.kind)


def fit_classes(task: str, rows: Rows, seed: int) -> ClassScores | None:
    """Fit on the rows whose input has the task's form; None where these are too few or of one class."""
    read = [(example, pair_of(example), right_candidate(example)) for example in rows[task]]
    known = [(example.id, pair, label) for example, pair, label in read if pair is not None and label is not None]
    if len({label for _, _, label in known}) < 2 or len(known) < 2 * FOLDS:
        return None
    classes = max(len(candidates_of(example) or ()) for example in rows[task])
    ids, pairs, labels = zip(*known, strict=True)
    features = fit_pair_features(pairs)
    folds = folds_of(ids, seed)
    weights = fit_validated(features.transform(pairs), np.array(labels, dtype=np.int64), classes, folds)
    return ClassScores(features, weights, classes)


def fit_order(task: str, rows: Rows, seed: int) -> OrderScores | None:
    """Fit on every labelled pair; a query's pairs stay together where the strength is chosen."""
    names = list(TASKS[task].answer.gains)
    listed = [
        (pair, names.index(label))
        for example in rows[task]
        if example.labels and len(pairs_of(example)) == len(example.labels)
        for pair, label in zip(pairs_of(example), example.labels, strict=True)
    ]
    judged = [(pair_of(example), right_candidate(example)) for example in rows.get(TASKS[task].judgements, ())]
    known = [*listed, *((pair, label) for pair, label in judged if pair is not None and label is not None)]
    queries = [pair.left for pair, _ in known]
    labels = np.array([label for _, label in known], dtype=np.int64)
    if not listed or len(set(labels.tolist())) < 2 or len(set(queries)) < FOLDS:
        return None
    pairs = [pair for pair, _ in known]
    features = fit_pair_features(pairs)
    folds = folds_of(queries, seed)
    return OrderScores(features, fit_validated(features.transform(pairs), labels, len(names), folds))


def fit_next(task: str, rows: Rows, seed: int) -> NextScores | None:
    """Fit on training rows, whose own purchases are excluded from the counts that their features show."""
    known = [(example, right_candidate(example)) for example in rows[task] if is_readable(example)]
    bought = [(example, target) for example, target in known if target is not None]
    if not bought:
        return None
    texts = sorted({text for example, _ in bought for text in (*history(example), *candidates(example))})
    purchases = PurchaseCounts()
    for example, target in bought:
        purchases.add([*history(example), candidates(example)[target]])
    words, characters = fit_terms(texts, longest=2), fit_terms(texts, "char_wb", 4, 3)
    found = NextScores(words, characters, purchases, Scale(np.zeros(1), np.ones(1)), np.zeros(1))
    each = [found.features(example, target) for example, target in bought]
    chosen = np.concatenate([np.arange(len(one)) == target for one, (_, target) in zip(each, bought, strict=True)])
    found.scale = fit_scale(np.concatenate(each))
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    found.weights = model.fit(found.scale.transform(np.concatenate(each)), chosen).coef_[0]
    return found


def fit_quotes(task: str, rows: Rows, seed: int) -> QuoteScores | None:
    """Fit on the rows that have snippets to choose among: is it the one that reads most like the right answer?"""
    read = [(pair_of(example), example.output) for example in rows[task]]
    known = [(pair, closest_snippet(pair.parts, output)) for pair, output in read if pair and len(pair.parts) > 1]
    if not known:
        return None
    texts = [text for pair, _ in known for text in (pair.left, *pair.parts)]
    words, characters = fit_terms(texts, longest=2), fit_terms(texts, "char_wb", 4, 3)
    found = QuoteScores(words, characters, Scale(np.zeros(1), np.ones(1)), np.zeros(1))
    each = np.concatenate([found.features(pair) for pair, _ in known])
    closest = np.concatenate([np.arange(len(pair.parts)) == place for pair, place in known])
    found.scale = fit_scale(each)
    model = LogisticRegression(class_weight="balanced", max_iter=1000)
    found.weights = model.fit(found.scale.transform(each), closest).coef_[0]
    return found


def fit_values(task: str, rows: Rows, seed: int) -> ValueScores:
    """Collect the values; the row that a value came from is excluded from its trust."""
    return ValueScores(Dictionary(collect_trust(rows[task])))


def fit_validated(rows: SparseRows, labels: NDArray[np.int64], classes: int, folds: NDArray[np.int64]) -> Weights:
    """Return weights fitted on all rows, with the strength of the penalty whose log loss on the first fold is least
    when it is fitted on the others."""
    inside, held_out = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    others, held_out_rows, right = rows.take(inside), rows.take(held_out), labels[held_out]

    def loss(strength: float) -> float:
        weights = fit_weights(others, labels[inside], strength)
        logs = spread_log_probabilities(weights, held_out_rows, classes)
        return -float(np.maximum(logs[np.arange(len(right)), right], LOWEST).mean())

    return fit_weights(rows, labels, min(STRENGTHS, key=loss))


def folds_of(keys: Sequence[str], seed: int) -> NDArray[np.int64]:
    """Return each row's fold by its key: as many in each, whatever the order of the rows."""
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys), key=lambda key: keyed_hash(seed, "fold", key)))}
    return np.array([ranks[key] % FOLDS for key in keys], dtype=np.int64)
