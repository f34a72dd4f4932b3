"""The cheap models of all ten tasks: fitted on training rows, settled on validation rows, asked on test rows.

Class-balanced logistic regression over TF-IDF for the tasks with classes (PRP, PM, SA, MPC, PSI, AP), its
class probabilities as expected gain for QPR, likeness to the history for SR, the most similar snippet for AG,
and a dictionary of seen values for AVE. They read no instruction, so they answer every setting alike.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecellm.baselines.classify import fit_classifier
from ecellm.baselines.dictionary import fit_dictionary
from ecellm.baselines.features import Terms, row_cosines
from ecellm.baselines.recommend import fit_recommender
from ecellm.baselines.sides import Sides, ranked_sides, sides
from ecellm.dataset.dataset import Dataset, split_setting
from ecellm.evaluation.metrics import GAINS, class_metric
from ecellm.files import whole_file
from ecellm.records import DIVERSE, Prediction, Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS, Letter, Ranking, Triples, YesNo
from ecellm.tasks.task import Task

#: QPR's lists are few: the single judgements of this task, whose letters are E, S, C, I, are learned too.
JUDGEMENTS = "MPC"


@dataclass(frozen=True)
class Reply:
    """The text of an answer, and its probability among the candidates where there is one."""

    text: str
    probability: float | None = None


Model = Callable[[Sequence[Sample]], list[Reply]]


def predict_cheaply(
    dataset: Dataset,
    out: Path,
    tasks: Collection[str] | None = None,
    settings: Sequence[str] | None = None,
    fitting: Callable[[str], object] = lambda task: None,
) -> int:
    """Answer the test rows of the settings (None: diverse instructions) and tasks (None: all) into a file.

    The file is written whole, in the form of PREDICTIONS.jsonl, replacing an older one; returns the number
    of answers. `fitting(task)` is called as each task begins. Raises ValueError where there is no test row to
    answer, or a task has test rows and no training rows.
    """
    if settings is None:
        settings = [name for name in dataset.settings() if split_setting(name)[1] == DIVERSE]
    written = 0
    with whole_file(out) as beside, beside.open("w", encoding="utf-8") as file:
        for task in (task for task in TASKS.values() if tasks is None or task.name in tasks):
            asked = [(name, dataset.samples("test", split_setting(name)[0], [task.name])) for name in settings]
            if not any(samples for _, samples in asked):
                continue
            fitting(task.name)
            model = fit_cheap(task, dataset)
            for setting, samples in asked:
                for prediction in _predictions(task, setting, samples, model):
                    file.write(prediction.to_line() + "\n")
                    written += 1
        if not written:
            raise ValueError(f"{dataset.path} has no test rows of the tasks and settings asked for.")
    return written


def _predictions(task: Task, setting: str, samples: Sequence[Sample], model: Model) -> Iterator[Prediction]:
    for sample, reply in zip(samples, model(samples) if samples else [], strict=True):
        answer = task.answer.parse(reply.text, sample)
        yield Prediction(sample.id, task.name, setting, reply.text, answer, reply.probability)


def fit_cheap(task: Task, dataset: Dataset) -> Model:
    """Return the cheap model of a task, fitted on the dataset's training and validation rows."""
    train, held_out = (dataset.samples(split, "IND", [task.name]) for split in ("train", "validation"))
    if not train:
        raise ValueError(f"{dataset.path} has no training rows of {task.name}: leave it out with --tasks.")
    if isinstance(task.answer, Triples):
        dictionary = fit_dictionary(train, held_out)
        return lambda samples: [Reply(task.answer.print(dictionary.answer(sample), sample)) for sample in samples]
    if isinstance(task.answer, Ranking):
        singles = [dataset.samples(split, "IND", [JUDGEMENTS]) for split in ("train", "validation")]
        return _ranker(task.answer, [*train, *singles[0]], [*held_out, *singles[1]])
    if isinstance(task.answer, Letter) and task.metric == "hr@1":
        return _recommender(train)
    if isinstance(task.answer, (YesNo, Letter)):
        return _classifier(task, train, held_out)
    return _snippet_finder(train)


def _classifier(task: Task, train: Sequence[Sample], held_out: Sequence[Sample]) -> Model:
    names = YesNo.choices if isinstance(task.answer, YesNo) else tuple(LETTERS)
    labels, held_out_labels = _labels(train, names), _labels(held_out, names)
    classes = 1 + int(max(labels.max(), held_out_labels.max(initial=1)))
    model = fit_classifier(
        [sides(sample) for sample in train],
        labels,
        [sides(sample) for sample in held_out],
        held_out_labels,
        classes,
        class_metric(task.metric, classes),
    )

    def reply(samples: Sequence[Sample]) -> list[Reply]:
        logs = model.log_probabilities([sides(sample) for sample in samples])
        chosen = model.classes(logs)
        return [
            Reply(_text(task, names[place], sample), float(np.exp(row[place])))
            for sample, place, row in zip(samples, chosen, logs, strict=True)
        ]

    return reply


def _labels(samples: Sequence[Sample], names: Sequence[str]) -> np.ndarray:
    """Return the class number of each row: of its yes or no, or of its first letter."""
    longest = max(map(len, names))
    return np.array([names.index(sample.output.strip()[:longest]) for sample in samples], dtype=np.int64)


def _text(task: Task, answer: str, sample: Sample) -> str:
    """Return the answer in the published form; the letter alone where an imported row has no options."""
    return answer if isinstance(task.answer, Letter) and not sample.options else task.answer.print(answer, sample)


def _ranker(answer: Ranking, train: Sequence[Sample], held_out: Sequence[Sample]) -> Model:
    """Rank by the expected gain of each product's label, from lists and single judgements."""
    pairs, labels = _judged(train)
    held_out_pairs, held_out_labels = _judged(held_out)
    metric = class_metric("macro_f1", len(GAINS))
    model = fit_classifier(pairs, labels, held_out_pairs, held_out_labels, len(GAINS), metric)
    gains = np.array([2**gain - 1 for gain in GAINS.values()])

    def reply(samples: Sequence[Sample]) -> list[Reply]:
        replies = []
        for sample in samples:
            expected = np.exp(model.log_probabilities(ranked_sides(sample))) @ gains
            order = np.argsort(-expected, kind="stable")
            replies.append(Reply(answer.print([LETTERS[place] for place in order], sample)))
        return replies

    return reply


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


def _recommender(train: Sequence[Sample]) -> Model:
    model = fit_recommender(train)

    def reply(samples: Sequence[Sample]) -> list[Reply]:
        replies = []
        for sample in samples:
            logs = model.log_probabilities(sample)
            best = int(logs.argmax())
            replies.append(Reply(LETTERS[best], float(np.exp(logs[best]))))
        return replies

    return reply


def _snippet_finder(train: Sequence[Sample]) -> Model:
    known = [sides(sample) for sample in train]
    terms = Terms(longest=2).fit([text for pair in known for text in (pair.left, *pair.parts)])

    def reply(samples: Sequence[Sample]) -> list[Reply]:
        replies = []
        for pair in map(sides, samples):
            if not pair.parts:
                replies.append(Reply(""))
                continue
            question = terms.transform([pair.left] * len(pair.parts))
            likeness = row_cosines(question, terms.transform(pair.parts))
            replies.append(Reply(pair.parts[int(likeness.argmax())]))
        return replies

    return reply
