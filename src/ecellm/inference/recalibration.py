"""Fitting the temperatures and decision thresholds of a finished model again, such as on other data."""

from collections.abc import Sequence
from pathlib import Path

from ecellm.models.base import Progress
from ecellm.models.calibration.fitting import FittedCalibration, fit_calibration
from ecellm.models.folder import read_info, write_info
from ecellm.models.load import engine_of, load_generator, with_info
from ecellm.tasks import TASKS
from ecellm.types import Question


def recalibrate(
    model: str,
    validation: Sequence[Question],
    seed: int,
    *,
    thresholds: bool = True,
    progress: Progress | None = None,
) -> FittedCalibration:
    """Fit both again for a finished MODEL folder (`vllm:` may stand before it), and save them with it.

    `thresholds` and `progress` are as of `fit_calibration`. Raises DataError as it does, and where the folder is no
    finished model. Where nothing could be fitted the folder stays as it is.
    """
    engine, name = engine_of(model)
    folder = Path(name)
    info = read_info(folder)
    with with_info(folder, info.model_copy(update={"temperatures": {}, "offsets": {}})) as unfitted:
        generator = load_generator(str(unfitted) if engine is None else f"{engine.prefix}{unfitted}")
        fitted = fit_calibration(generator, validation, seed, thresholds=thresholds, progress=progress)
    fitted.kept = [task for task in TASKS if task in fitted.no_thresholds and task not in fitted.offsets]
    fitted.kept = [task for task in fitted.kept if any(info.offsets.get(task, ()))]
    if fitted.temperatures or fitted.offsets:
        write_info(folder, fitted.added_to(info))
    return fitted
