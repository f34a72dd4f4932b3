"""Trivial baselines: a score says something only above the best of these.

They need no learning: one constant answer (the majority class among them), a random answer (mean over keyed draws),
the first or the most similar text by shared words, no value for any attribute. Answer types and tasks define them.
The best is taken for each metric by itself, on the same rows and under the same rules as the model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ecellm.io.hashing import keyed_hash
from ecellm.tasks.answers import Answers
from ecellm.tasks.scored import PairScorer, Scoring
from ecellm.tasks.task import Task
from ecellm.types import Example


@dataclass(frozen=True)
class TrivialScore:
    """The score of the best trivial baseline by one metric."""

    value: float
    name: str


def best_trivial_scores(
    task: Task, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None, seed: int
) -> dict[str, TrivialScore]:
    """Return the best trivial baseline's score and name, by metric; the first named wins ties."""

    score = task.answer.row_scorer(scoring, examples, pairs)
    found = {name: score(answers).values() for name, answers in trivial_answers(task, scoring, examples).items()}
    draws = [score(answers).values() for answers in random_answers(task, examples, seed)]
    if draws:
        found["random"] = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    metrics = next(iter(found.values()))
    best: dict[str, TrivialScore] = {}
    for metric in metrics:
        name = max(found, key=lambda known, metric=metric: found[known][metric])  # type: ignore[misc]
        best[metric] = TrivialScore(found[name][metric], name)
    return best


def trivial_answers(task: Task, scoring: Scoring, examples: Sequence[Example]) -> dict[str, Answers[object]]:
    """Return the parsed answers, one per example, of each trivial rule that is not random.

    A task that knows none is compared with its input, taken for the answer.
    """
    found = {**task.answer.trivial_answers(scoring, examples), **task.trivial(examples)}
    return found or {"the input itself": [task.answer.parse(example.input, example) for example in examples]}


def random_answers(task: Task, examples: Sequence[Example], seed: int) -> Sequence[Answers[object]]:
    """Return keyed draws of uniformly random answers; none for tasks without a finite choice."""
    generator = np.random.default_rng(int(keyed_hash(seed, "random answers", task.name), 16))
    return task.answer.random_answers(examples, generator)
