"""Reading TOML files, and saying what is wrong with one."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from ecellm.errors import ConfigError


def read_toml(path: Path) -> dict[str, object]:
    """Read a TOML file; raises ConfigError with one sentence where that cannot be done."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no file {path}.") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from error


def first_problem(error: ValidationError) -> str:
    """Return pydantic's first finding as one sentence."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where!r}; remove it or check its spelling."
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower()}{message[1:]}."
