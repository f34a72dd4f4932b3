"""Experiment trackers (TensorBoard, Weights & Biases, MLflow, Trackio, ...), through transformers' integrations.

They get the same metrics as the run's own log. Most write `eval_loss_PM` as eval/loss_PM and `loss` as train/loss, as
they do for every run of `Trainer`; MLflow keeps the names.
"""

from collections.abc import Sequence
from pathlib import Path

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
    is_flytekit_available,
)

from ecellm.errors import ConfigError

#: Below a MODEL folder, where TensorBoard's files go unless TENSORBOARD_LOGGING_DIR says otherwise.
TENSORBOARD = "tensorboard"
#: Packages that are not called as their tracker is.
PACKAGES = {"azure_ml": "azureml-core", "comet_ml": "comet-ml", "flyte": "flytekit", "dagshub": "dagshub mlflow"}
#: Measures energy instead of taking metrics, into the folder of checkpoints, which is removed at the end of a run.
NO_TRACKER = "codecarbon"


def check_trackers(names: Sequence[str]) -> None:
    """Raise ConfigError for a tracker that the installed transformers does not know, and for one whose package is not
    installed."""
    known = sorted(set(INTEGRATION_TO_CALLBACK) - {NO_TRACKER})
    available = {*get_available_reporting_integrations(), *(["flyte"] if is_flytekit_available() else [])}
    for name in names:
        if name not in known:
            raise ConfigError(f"--report-to: there is no tracker {name!r}; choose from {', '.join(known)}.")
        if name not in available:
            raise ConfigError(
                f"--report-to {name}: its package is missing, or not set up: pip install {PACKAGES.get(name, name)}, "
                "or omit it."
            )


def add_trackers(trainer: Trainer, names: Sequence[str], out: Path) -> None:
    """Have a trainer report to these trackers, under the name of the MODEL folder `out`.

    They are added here and not through TrainingArguments.report_to alone, which would put them before the callback
    that adds speed and memory to what is logged.
    """
    trainer.args.report_to = list(names)
    trainer.args.run_name = trainer.args.run_name or out.name
    for name in names:
        tracker: TrainerCallback = INTEGRATION_TO_CALLBACK[name]()
        if isinstance(tracker, TensorBoardCallback) and tracker.logging_dir is None:
            tracker.logging_dir = str(out / TENSORBOARD)  # its own choice lies with the checkpoints
        tracker.on_init_end(trainer.args, trainer.state, trainer.control)  # as Trainer does for those it adds itself
        trainer.add_callback(tracker)
