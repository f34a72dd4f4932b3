"""How a tuning run is watched: its progress and log, answers to a few samples, experiment trackers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from transformers import Trainer

from ecellm.dataset.dataset import Asked
from ecellm.models.card import LOG
from ecellm.tuning.progress import Progress
from ecellm.tuning.sample_answers import MakeGenerator, SampleAnswers
from ecellm.tuning.trackers import add_trackers


@dataclass(frozen=True)
class Monitoring:
    """What a user wants to see of a run; none of it changes the run."""

    console: Console
    out: Path
    """The MODEL folder."""
    samples: Sequence[Asked] = ()
    """Rows that are answered at each validation."""
    trackers: Sequence[str] = ()
    """Names of `trackers.check_trackers`."""

    def attach(
        self,
        trainer: Trainer,
        tokens_per_step: float,
        model: Any,
        attention: str | None,
        make_generator: MakeGenerator,
    ) -> None:
        """Watch a trainer. `model` is the one that `make_generator` asks, by `attention` (None: as it does)."""
        if trainer.is_world_process_zero():
            trainer.add_callback(Progress(self.console, self.out, tokens_per_step))
            if self.samples:
                log = self.out / LOG
                shown = SampleAnswers(self.samples, model, attention, make_generator, self.console, log)
                trainer.add_callback(shown)
        add_trackers(trainer, self.trackers, self.out)
