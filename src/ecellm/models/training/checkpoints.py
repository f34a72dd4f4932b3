"""A run's own checkpoints: weights, optimizer, schedule, random numbers. A run resumes from them."""

from pathlib import Path

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ecellm.models.folder import CHECKPOINTS


class Checkpoints(TrainerCallback):
    """Has Trainer keep a checkpoint every so many steps, beside those of its validations.

    Trainer itself, where it is to load the best checkpoint, saves only where it validates: once an epoch, which may
    be an hour. Counted in steps, as all processes of a run must save at the same one.
    """

    def __init__(self, steps: int):
        self.steps = steps

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        """Request a checkpoint."""
        if state.global_step % self.steps == 0:
            control.should_save = True


def last_checkpoint(out: Path) -> str | None:
    """Return the newest complete checkpoint of a MODEL folder, or None where nothing was saved."""
    folders = sorted(
        (out / CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]), reverse=True
    )
    # trainer_state.json is the last file that Trainer writes: without it the save was interrupted.
    whole = [folder for folder in folders if (folder / "trainer_state.json").is_file()]
    return str(whole[0]) if whole else None
