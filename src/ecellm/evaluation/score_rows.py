"""SCORES.json as typed records: what `ecellm evaluate` writes, and what reports and comparisons read."""

from typing import NotRequired, TypedDict

from ecellm.evaluation.calibration_error import Calibration
from ecellm.tasks.answers import AnswerDetails


class ScoredValue(TypedDict):
    """A value with the ends of its interval."""

    value: float
    low: float
    high: float


class ScoreRow(TypedDict):
    """One metric of one task under one setting and scoring."""

    task: str
    setting: str
    scoring: str
    metric: str
    main: bool
    """Whether it is the metric of the paper's main table."""
    value: float
    low: float
    high: float
    """The ends of the 95 % bootstrap interval."""
    n: int
    unparsed: int
    missing: int
    floor: float | None
    """The best trivial baseline's value on the same rows."""
    floor_name: str | None
    model: NotRequired[str]
    """The scoring model, of metrics that use one."""
    by: NotRequired[str]
    slice: NotRequired[str]
    """Of a part of the rows: what divides them, and which part."""


class NotScored(TypedDict):
    """A task and setting without scores, and why."""

    task: str
    setting: str
    missing: int
    reason: str


class UnparsedText(TypedDict):
    """A text that the strict parser does not take, or its beginning, and how many rows have it."""

    text: str
    rows: int


class Confusion(TypedDict):
    """Rows by label and answer."""

    classes: list[str]
    rows: list[list[int]]
    """[labels, answers]; the last answer is none."""


class GroupDetails(AnswerDetails):
    """What stands behind the figures of some rows."""

    unparsed_texts: list[UnparsedText]
    """The commonest."""
    confusion: NotRequired[Confusion]
    """Of tasks with classes."""
    calibration: NotRequired[Calibration]
    """Of choices that have a probability."""


class Details(GroupDetails):
    """The same of a task under a setting."""

    task: str
    setting: str
    n: int


class Scores(TypedDict):
    """The content of SCORES.json."""

    scores: list[ScoreRow]
    not_scored: list[NotScored]
    details: list[Details]
    slices: NotRequired[list[ScoreRow]]
    dataset: str
    """The dataset's hash."""
    model: NotRequired[str]
    """What identifies the model, where the record beside the predictions says it."""
    seed: int
    bootstrap: dict[str, float]
    version: str
