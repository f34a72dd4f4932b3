"""What a run of a benchmark found, as benchmark.json holds it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

RESULT, PAGE = "benchmark.json", "benchmark.md"
Kind = Literal["tuned", "mean", "model", "baseline"]


class Record(BaseModel):
    """A record whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Interval(Record):
    """A figure with its 95 % bootstrap interval over the test rows."""

    value: float
    low: float
    high: float


class ViewScores(Record):
    """The figures of a part of the test rows."""

    view: str
    rows: int
    figures: dict[str, Interval]
    """By metric, the main one first."""


class Took(Record):
    """What a step took, all runs of it together; a run that was killed is not counted."""

    wall: float
    """Seconds."""
    processor: float
    """Seconds of all threads together."""


class System(Record):
    """One model, or the mean over the seeds of a recipe."""

    name: str
    kind: Kind
    seed: int | None = None
    views: list[ViewScores]
    took: dict[str, Took]
    """By step: tune, fit, predict."""


class PublishedFigure(Record):
    """A figure that others published."""

    system: str
    metric: str
    value: float
    note: str
    source: str
    verified: bool


class Result(Record):
    """A run with its results."""

    benchmark: str
    title: str
    task: str
    measure: str
    metrics: list[str]
    counts: dict[str, int]
    """Rows by split."""
    crossing: dict[str, int]
    """Rows whose input stands in several splits, by split."""
    inputs: list[dict[str, str | int]]
    dataset: str
    """The dataset's hash."""
    recipe: str | None
    changes: list[str]
    limit: int | None
    """Training rows at most."""
    systems: list[System]
    published: list[PublishedFigure]
    draws: int
    """Of the bootstrap."""
    version: str
