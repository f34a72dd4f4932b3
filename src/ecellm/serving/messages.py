"""The messages between the supervisor and its worker processes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Ready:
    """To the supervisor: the model is warm and connections are accepted."""


@dataclass(frozen=True)
class Failed:
    """To the supervisor: the worker ends because of an error."""

    kind: str
    """The name of its type."""
    reason: str


@dataclass(frozen=True)
class Reload:
    """To a worker: load the model anew."""


@dataclass(frozen=True)
class Reloaded:
    """To the supervisor: a worker's reload has ended."""

    failure: str | None
    """Why the old model stays."""


@dataclass(frozen=True)
class ReloadAll:
    """To the supervisor: reload every worker, one after the other; and its reply, once that has ended."""

    number: int
    """By which the worker knows its request."""
    failure: str | None = None
    """Why some keep the old model."""


Message = Ready | Failed | Reload | Reloaded | ReloadAll
