"""Monitoring of a tuning run: progress and log, answers to a few examples, experiment trackers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from torch import nn
from transformers import Trainer

from ecellm.models.model_card import LOG
from ecellm.training.progress import Progress
from ecellm.training.sample_answers import Answering, MakeGenerator, SampleAnswers
from ecellm.training.trackers import add_trackers
from ecellm.types import Question


@dataclass(frozen=True)
class Monitoring:
    """The monitoring that a user chose; none of it changes the run."""

    console: Console
    out: Path
    """The MODEL folder."""
    examples: Sequence[Question] = ()
    """Rows that are answered at each validation."""
    trackers: Sequence[str] = ()
    """Names of `trackers.check_trackers`."""

    def attach(
        self,
        trainer: Trainer,
        tokens_per_step: float,
        model: nn.Module,
        answering: Answering,
        make_generator: MakeGenerator,
    ) -> None:
        """Add the callbacks to a trainer. `model` is the one behind `make_generator`, which predicts
        within `answering`."""
        if trainer.is_world_process_zero():
            trainer.add_callback(Progress(self.console, self.out, tokens_per_step))
            if self.examples:
                log = self.out / LOG
                shown = SampleAnswers(self.examples, model, answering, make_generator, self.console, log)
                trainer.add_callback(shown)
        add_trackers(trainer, self.trackers, self.out)
