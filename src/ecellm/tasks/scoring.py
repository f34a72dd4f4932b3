"""From answer texts to per-row counts, by the strict rules and by the published ones, for any task."""

from collections.abc import Sequence

from ecellm.tasks.metrics import Floats
from ecellm.tasks.scored import PairScorer, Scored, Scoring
from ecellm.tasks.task import Task
from ecellm.types import Example


def read_answers(
    task: Task, scoring: Scoring, examples: Sequence[Example], texts: Sequence[str]
) -> tuple[list[object], int]:
    """Return what each text answers (None: nothing) and how many could not be parsed.

    The published script counts unparsed rankings in its own way (see `Ranking.unparsed_published`); all others count
    rows.
    """
    if scoring == "strict":
        answers = [task.answer.parse(text, example) for example, text in zip(examples, texts, strict=True)]
        return answers, sum(answer is None for answer in answers)
    answers = [task.answer.parse_published(text) for text in texts]
    return answers, task.answer.unparsed_published(examples, texts, answers)


def score_answers(
    task: Task, scoring: Scoring, examples: Sequence[Example], answers: Sequence[object], pairs: PairScorer | None
) -> Scored:
    """Return the counts of parsed answers (None: unparsed) to as many examples; free texts need `pairs`.

    Raises NotScorableError where a label is missing or not of the task's form.
    """
    return task.answer.row_scorer(scoring, examples, pairs)(answers)


def row_values(task: Task, scored: Scored) -> Floats:
    """Return what each row contributes, [rows], from 0 (wrong) to 1 (right).

    The main metric of the row alone, but for tasks with classes whether it is right: an F1 needs many rows.
    """
    figures = scored.figures(scored.stats)
    return figures["accuracy"] if "accuracy" in figures else figures[task.metric]
