"""JSON files that a command wrote, and that may have been edited or cut short since."""

import json
from pathlib import Path

from ecellm.errors import DataError


def read_json(path: Path) -> dict[str, object]:
    """Return the object in a JSON file; raises DataError naming the file where there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON ({error}).") from error
    if not isinstance(read, dict):
        raise DataError(f"{path} is not a JSON object.")
    return read


def read_run_record(path: Path) -> dict[str, object]:
    """Return the record that a command left of its run, by which it resumes; raises DataError where it is damaged."""
    try:
        return read_json(path)
    except DataError as error:
        raise DataError(f"{str(error).rstrip('.')}: name another output, or remove {path.parent}.") from error
