"""`cheap`: strong models of all ten tasks that are fitted in seconds on training and validation rows.

Class-balanced logistic regression over TF-IDF for the tasks with classes (PRP, PM, SA, MPC, PSI, AP), its
class probabilities as expected gain for QPR, likeness to the history for SR, the most similar snippet for AG,
and a dictionary of seen values for AVE.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Self

import numpy as np

from ecellm.baselines.classify import Classifier, fit_classifier
from ecellm.baselines.dictionary import Dictionary, Manner, fit_dictionary
from ecellm.baselines.features import Terms, row_cosines
from ecellm.baselines.part import Choices, Part, Told, class_count, class_reply, label, rows_of
from ecellm.baselines.recommend import Recommender, fit_recommender
from ecellm.baselines.sides import Sides, counted_sides, ranked_sides, sides
from ecellm.dataset.dataset import Dataset
from ecellm.evaluation.metrics import GAINS, class_metric
from ecellm.inference.closed import closed_reply
from ecellm.inference.generator import Reply
from ecellm.inference.policy import threshold_rows
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.task import Task

#: QPR's lists are few: the single judgements of this task, whose letters are E, S, C, I, are learned too.
JUDGEMENTS = "MPC"


class CheapClasses:
    """Yes or no, or one of a few letters."""

    def __init__(self, model: Classifier):
        self.model = model

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Fit on training rows; the penalty is the best on validation rows."""
        train = rows_of(task, dataset, "train", choices.limit)
        held_out = threshold_rows(rows_of(task, dataset, "validation"), dataset.seed)
        classes = class_count(train)
        model = fit_classifier(
            [counted_sides(sample) for sample in train],
            np.array([label(sample) for sample in train], dtype=np.int64),
            [counted_sides(sample) for sample in held_out],
            np.array([label(sample) for sample in held_out], dtype=np.int64),
            classes,
            class_metric(task.metric, classes),
        )
        return cls(model)

    def save(self, part: Part) -> None:
        """Write it down."""
        part.write(*self.model.state())

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read it back."""
        return cls(Classifier.restored(*part.read()))

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with the likeliest class."""
        logs = self.model.log_probabilities([counted_sides(sample) for sample in samples])
        return [class_reply(sample, row.tolist()) for sample, row in zip(samples, logs, strict=True)]


class CheapOrder:
    """QPR: by the expected gain of each product's label, from lists and single judgements."""

    def __init__(self, model: Classifier):
        self.model = model

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Fit on the labels of every product of the lists, and on MPC's rows."""
        train, held_out = rows_of(task, dataset, "train", choices.limit), rows_of(task, dataset, "validation")
        singles = [dataset.samples(split, "IND", [JUDGEMENTS]) for split in ("train", "validation")]
        pairs, labels = _judged([*train, *singles[0]])
        held_out_pairs, held_out_labels = _judged([*held_out, *singles[1]])
        metric = class_metric("macro_f1", len(GAINS))
        return cls(fit_classifier(pairs, labels, held_out_pairs, held_out_labels, len(GAINS), metric))

    def save(self, part: Part) -> None:
        """Write it down."""
        part.write(*self.model.state())

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read it back."""
        return cls(Classifier.restored(*part.read()))

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with the letters, the greatest expected gain first."""
        gains = np.array([2**gain - 1 for gain in GAINS.values()])
        replies = []
        for sample in samples:
            expected = np.exp(self.model.log_probabilities(ranked_sides(sample))) @ gains
            order = np.argsort(-expected, kind="stable")
            replies.append(Reply(",".join(LETTERS[place] for place in order)))
        return replies


class CheapNext:
    """SR: the candidate most like the history."""

    def __init__(self, model: Recommender):
        self.model = model

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Fit the weights of four likenesses on training rows."""
        return cls(fit_recommender(rows_of(task, dataset, "train", choices.limit)))

    def save(self, part: Part) -> None:
        """Write it down."""
        part.write(*self.model.state())

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read it back."""
        return cls(Recommender.restored(*part.read()))

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with the likeliest candidate's letter."""
        return [closed_reply(sample, self.model.log_probabilities(sample).tolist(), {}) for sample in samples]


class CheapSnippet:
    """AG: the snippet whose words are most like the question's."""

    def __init__(self, terms: Terms):
        self.terms = terms

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Learn how rare words are in training rows."""
        known = [sides(sample) for sample in rows_of(task, dataset, "train", choices.limit)]
        return cls(Terms(longest=2).fit([text for pair in known for text in (pair.left, *pair.parts)]))

    def save(self, part: Part) -> None:
        """Write it down."""
        part.write(*self.terms.state())

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read it back."""
        return cls(Terms.restored(*part.read()))

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with a snippet; with nothing where there is none."""
        return [Reply(self._best(sides(sample))) for sample in samples]

    def _best(self, pair: Sides) -> str:
        if not pair.parts:
            return ""
        question = self.terms.transform([pair.left] * len(pair.parts))
        return pair.parts[int(row_cosines(question, self.terms.transform(pair.parts)).argmax())]


class CheapValues:
    """AVE: values that training rows gave, looked up in the texts."""

    def __init__(self, task: Task, dictionary: Dictionary):
        self.task, self.dictionary = task, dictionary

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Collect the values of training rows; the manner of answering is that best on validation rows."""
        train = rows_of(task, dataset, "train", choices.limit)
        return cls(task, fit_dictionary(train, rows_of(task, dataset, "validation")))

    def save(self, part: Part) -> None:
        """Write it down."""
        part.write({"trust": self.dictionary.trust, "manner": asdict(self.dictionary.manner)}, {})

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read it back."""
        notes, _ = part.read()
        return cls(TASKS[part.task], Dictionary(notes["trust"], Manner(**notes["manner"])))

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with one or more triples for each attribute."""
        return [Reply(self.task.answer.print(self.dictionary.answer(sample), sample)) for sample in samples]


def _judged(samples: Sequence[Sample]) -> tuple[list[Sides], np.ndarray]:
    """Return every judged pair of query and title, and the number of its label among E, S, C, I."""
    names = list(GAINS)
    pairs: list[Sides] = []
    labels: list[int] = []
    for sample in samples:
        if sample.task == JUDGEMENTS:
            pairs.append(sides(sample))
            labels.append(LETTERS.index(sample.output.strip()[:1]))
        elif sample.labels:
            pairs += ranked_sides(sample)
            labels += [names.index(label) for label in sample.labels]
    if not pairs:
        raise ValueError("QPR's training rows have no labels: import them with --qpr-labels.")
    return pairs, np.array(labels, dtype=np.int64)
