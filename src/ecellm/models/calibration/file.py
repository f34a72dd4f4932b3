"""Calibration files, for models without a MODEL folder of their own: a base, or a server's model.

`ecellm calibrate NAME --data DATASET --out FILE.json` writes it; `predict` and `ask` take it by --calibration.
"""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from ecellm.errors import ModelError
from ecellm.io.files import write_text
from ecellm.io.hashing import keyed_hash
from ecellm.tasks import TASKS

#: What log-probabilities may be divided by: those of any model stay finite.
Temperature = Annotated[float, Field(ge=1e-6, le=1e6, allow_inf_nan=False)]


class CalibrationFile(BaseModel):
    """Temperatures and decision thresholds by task."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    """The model that they were fitted for, as a run's record names it."""
    dataset: str
    """The hash of the dataset that they were fitted on."""
    temperatures: dict[str, Temperature]
    offsets: dict[str, list[FiniteFloat]]
    """One a class, added to log-probabilities."""


def write_calibration(path: Path, calibration: CalibrationFile) -> None:
    """Write the file atomically."""
    write_text(calibration.model_dump_json(indent=1) + "\n", path)


def read_calibration(path: Path, model: str) -> CalibrationFile:
    """Read a calibration file; raises ModelError where it is none, or was fitted for another model."""
    try:
        found = CalibrationFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.") from error
    except ValidationError as error:
        raise ModelError(
            f"{path} is not a calibration file: write one with `ecellm calibrate {model} --out`."
        ) from error
    unknown = sorted((found.temperatures.keys() | found.offsets.keys()) - TASKS.keys())
    if unknown:
        raise ModelError(f"{path} has unknown tasks: {', '.join(unknown)}.")
    if found.model != model:
        raise ModelError(f"{path} was fitted for another model: fit one for this with `ecellm calibrate`.")
    return found


def named(path: Path | None) -> str:
    """Return the mark of a calibration in a run's record; empty without one."""
    return "" if path is None else f", calibration {keyed_hash('calibration', path.read_text(encoding='utf-8'))}"
