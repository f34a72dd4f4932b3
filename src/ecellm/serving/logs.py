"""Structured logs: one JSON object a line on standard error, without a request's texts, headers or keys.

An error's own message is left out too, as it may quote a text: its type and the lines where it arose are enough to
find it.
"""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime

#: What a record may carry beside its message, in the order of a line.
FIELDS = (
    "id",
    "method",
    "path",
    "status",
    "milliseconds",
    "questions",
    "problem",
    "url",
    "model",
    "pid",
    "reason",
)
#: The frames of an error that are logged, the innermost last.
MOST_FRAMES = 12
#: Between two lines of uvicorn's that say the same.
SELDOM_SECONDS = 10.0
LOGGER = "ecellm.serving"


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object."""

    def __init__(self, worker: int | None = None):
        """Take the number of the worker process that logs, where there are several."""
        super().__init__()
        self.worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {} if self.worker is None else {"worker": self.worker}
        line |= {name: getattr(record, name) for name in FIELDS if getattr(record, name, None) is not None}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
            line["error"] = type(error).__name__
            line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return json.dumps(line, ensure_ascii=False)


class Seldom(logging.Filter):
    """Lets the same message pass once in a while: a flood of connections must not become one of lines."""

    def __init__(self, seconds: float = SELDOM_SECONDS):
        super().__init__()
        self.seconds = seconds
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a record is logged."""
        key = str(record.msg)
        if record.created - self._last.get(key, 0.0) < self.seconds:
            return False
        self._last[key] = record.created
        return True


def set_up(worker: int | None = None) -> None:
    """Send the service's own log lines, and uvicorn's warnings, to standard error; `worker` is the number of this
    worker process, where there are several."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(worker))
    for name, level in ((LOGGER, logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level)
    # Where uvicorn logs each connection that it refuses.
    logging.getLogger("uvicorn.error").addFilter(Seldom())
