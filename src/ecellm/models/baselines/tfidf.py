"""The TF-IDF baseline `tfidf`: models of all ten tasks, fitted in seconds on training and validation rows.

Class-balanced logistic regression over TF-IDF for the tasks with classes (PRP, PM, SA, MPC, PSI, AP), its
class probabilities as expected gain for QPR, similarity to the history for SR, the most similar snippet for AG,
and a dictionary of seen values for AVE.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Generic, Self, TypeVar

import numpy as np

from ecellm.data.dataset import Dataset
from ecellm.errors import ModelError
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, check_inputs, class_count, class_reply, label, rows_of
from ecellm.models.calibration.applying import Labels, candidate_reply
from ecellm.models.calibration.fitting import threshold_rows
from ecellm.models.lexical.linear_fitting import fit_classifier, fit_recommender, fit_terms
from ecellm.models.lexical.logistic_regression import LinearClassifier
from ecellm.models.lexical.pair_features import Terms
from ecellm.models.lexical.recommendation import Recommender
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.models.lexical.text_pairs import text_pair, text_pairs, weighted_pair
from ecellm.models.lexical.value_dictionary import Dictionary, Manner, fit_dictionary
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.metrics import class_metric
from ecellm.tasks.task import Task
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example

ModelT = TypeVar("ModelT", LinearClassifier, Recommender, Terms)


class TfidfModel(Generic[ModelT]):
    """A baseline of one fitted model."""

    def __init__(self, task: Task, model: ModelT):
        self.task = task
        self.model: ModelT = model

    def save(self, part: TaskFiles) -> None:
        """Write the model."""
        part.write(*self.model.state())


class TfidfClassifier(TfidfModel[LinearClassifier]):
    """Yes or no, or one of a few letters."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Fit on training rows; the penalty is the best on validation rows."""
        train = rows_of(task, dataset, "train", choices.limit)
        held_out = threshold_rows(rows_of(task, dataset, "validation"), dataset.seed)
        classes = class_count(train)
        model = fit_classifier(
            [weighted_pair(example) for example in train],
            np.array([label(example) for example in train], dtype=np.int64),
            [weighted_pair(example) for example in held_out],
            np.array([label(example) for example in held_out], dtype=np.int64),
            classes,
            class_metric(task.metric, classes),
        )
        return cls(task, model)

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the model back."""
        return cls(TASKS[part.task], LinearClassifier.restored(*part.read()))

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the likeliest class."""
        logs = self.model.log_probabilities([weighted_pair(example) for example in examples])
        return [class_reply(example, row.tolist()) for example, row in zip(examples, logs, strict=True)]


class TfidfRanker(TfidfModel[LinearClassifier]):
    """Lists: by the expected gain of each item's label, from lists and, as these are few, single judgements."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Fit on the labels of every item of the lists, and on the rows of the task of single judgements."""
        train, held_out = rows_of(task, dataset, "train", choices.limit), rows_of(task, dataset, "validation")
        singles = [dataset.examples(split, "IND", [task.judgements]) for split in ("train", "validation")]
        pairs, labels = _judged(task, [*train, *singles[0]])
        check_inputs([*singles[0], *singles[1]])
        held_out_pairs, held_out_labels = _judged(task, [*held_out, *singles[1]])
        classes = len(task.answer.gains)
        metric = class_metric("macro_f1", classes)
        return cls(task, fit_classifier(pairs, labels, held_out_pairs, held_out_labels, classes, metric))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the model back."""
        return cls(TASKS[part.task], LinearClassifier.restored(*part.read()))

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the letters, the greatest expected gain first."""
        gains = np.array([2**gain - 1 for gain in self.task.answer.gains.values()])
        replies = []
        for example in examples:
            expected = np.exp(self.model.log_probabilities(text_pairs(example))) @ gains
            order = np.argsort(-expected, kind="stable")
            replies.append(Reply(",".join(LETTERS[place] for place in order)))
        return replies


class TfidfRecommender(TfidfModel[Recommender]):
    """SR: the candidate most like the history."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Fit the weights of four likenesses on training rows."""
        return cls(task, fit_recommender(rows_of(task, dataset, "train", choices.limit)))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the model back."""
        return cls(TASKS[part.task], Recommender.restored(*part.read()))

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the likeliest candidate's letter."""
        return [candidate_reply(example, self.model.log_probabilities(example).tolist(), {}) for example in examples]


class TfidfSnippet(TfidfModel[Terms]):
    """AG: the snippet whose words are most like the question's."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Learn how rare words are in training rows."""
        known = [text_pair(example) for example in rows_of(task, dataset, "train", choices.limit)]
        return cls(task, fit_terms([text for pair in known for text in (pair.left, *pair.parts)], longest=2))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the model back."""
        return cls(TASKS[part.task], Terms.restored(*part.read()))

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with a snippet; with nothing where there is none."""
        return [Reply(self._best(text_pair(example))) for example in examples]

    def _best(self, pair: TextPair) -> str:
        if not pair.parts:
            return ""
        question = self.model.transform([pair.left] * len(pair.parts))
        return pair.parts[int(question.row_products(self.model.transform(pair.parts)).argmax())]


class TrainingValues:
    """AVE: values that training rows gave, looked up in the texts."""

    def __init__(self, task: Task, dictionary: Dictionary):
        self.task, self.dictionary = task, dictionary

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Collect the values of training rows; the manner of answering is that best on validation rows."""
        train = rows_of(task, dataset, "train", choices.limit)
        return cls(task, fit_dictionary(train, rows_of(task, dataset, "validation")))

    def save(self, part: TaskFiles) -> None:
        """Write the model."""
        part.write({"trust": self.dictionary.trust, "manner": asdict(self.dictionary.manner)}, {})

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the model back."""
        notes, _ = part.read()
        return cls(TASKS[part.task], Dictionary(notes["trust"], Manner(**notes["manner"])))

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with one or more triples for each attribute."""
        return [Reply(self.task.answer.print(self.dictionary.answer(example), example)) for example in examples]


def _judged(task: Task, examples: Sequence[Example]) -> tuple[list[TextPair], Labels]:
    """Return every judged pair of query and title, and the number of its label among those of the gains."""
    names = list(task.answer.gains)
    pairs: list[TextPair] = []
    labels: list[int] = []
    for example in examples:
        if example.task != task.name:
            pairs.append(text_pair(example))
            labels.append(LETTERS.index(example.output.strip()[:1]))
        elif example.labels:
            pairs += text_pairs(example)
            labels += [names.index(label) for label in example.labels]
    if not pairs:
        raise ModelError(f"{task.name}'s training rows have no labels: import them with --qpr-labels.")
    return pairs, np.array(labels, dtype=np.int64)
