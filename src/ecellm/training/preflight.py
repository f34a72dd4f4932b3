"""Estimates of time and memory before a run, from a few measured steps."""

import statistics
import time
from dataclasses import dataclass

import torch
from torch import nn
from transformers import Trainer

from ecellm.errors import ConfigError
from ecellm.training.memory import GIB, device_memory, peak_memory

#: Steps that are measured, after one to warm up: at least, at most, and for how many seconds.
MIN_STEPS, MAX_STEPS, SECONDS = 3, 30, 15.0
#: AdamW keeps two fp32 numbers a trained weight; a gradient is a third.
STATE_BYTES = 8
#: And a third one of a weight in bf16 (`models/transformers/master_weights.py`), beside its gradient in fp32.
MASTER_BYTES = 8


@dataclass(frozen=True)
class Preflight:
    """Time and memory that a run will need."""

    parameters: int
    trainable: int
    examples: int
    steps: int
    seconds: float
    """Of the steps alone; checks on validation rows come on top."""
    memory: int
    """Bytes at the peak, optimizer included."""
    available: int
    """Bytes that the device has."""
    device: str

    def refuse(self) -> None:
        """Raise ConfigError where the memory does not suffice."""
        if self.memory > self.available:
            raise ConfigError(
                f"The run needs about {self.memory / GIB:.1f} GiB, and {self.device} has {self.available / GIB:.1f}: "
                "lower optimisation.batch_tokens or max_tokens, or set lora.quantised=true."
            )

    def lines(self) -> list[tuple[str, str]]:
        """Return the lines of the summary, name and value."""
        share = self.trainable / self.parameters
        hours = self.seconds / 3600
        return [
            ("parameters", f"{self.parameters:,}"),
            ("trained", f"{self.trainable:,} ({share:.1%})"),
            ("examples", f"{self.examples:,}"),
            ("steps", f"{self.steps:,}"),
            ("time", f"{hours:.1f} h" if hours >= 1 else f"{self.seconds / 60:.1f} min"),
            ("memory", f"{self.memory / GIB:.1f} GiB of {self.available / GIB:.1f} ({self.device})"),
        ]


def preflight(trainer: Trainer, examples: int) -> Preflight:
    """Measure a few steps of a run; its weights stay as they are."""
    # Prepared as a run prepares it: without, XS and models on a GPU would not compute in the run's precision.
    model: nn.Module = trainer.accelerator.prepare_model(trainer.model)
    loader = trainer.get_train_dataloader()
    trainer.current_gradient_accumulation_steps = 1  # Trainer sets it where it trains
    taken: list[float] = []
    batches = iter(loader)
    while len(taken) < 1 + MIN_STEPS or (sum(taken) < SECONDS and len(taken) < 1 + MAX_STEPS):
        batch = next(batches, None)
        if batch is None:
            batches = iter(loader)
            batch = next(batches)
        began = time.monotonic()
        trainer.training_step(model, trainer._prepare_inputs(batch))
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        taken.append(time.monotonic() - began)
        model.zero_grad(set_to_none=True)
    steps = max(1, round(len(loader) * trainer.args.num_train_epochs / trainer.args.gradient_accumulation_steps))
    weights = list(model.parameters())
    trainable = sum(weight.numel() for weight in weights if weight.requires_grad)
    halves = sum(weight.numel() for weight in weights if weight.requires_grad and weight.dtype == torch.bfloat16)
    available, device = device_memory()
    return Preflight(
        parameters=sum(weight.numel() for weight in weights),
        trainable=trainable,
        examples=examples,
        steps=steps,
        seconds=statistics.mean(taken[1:]) * steps * trainer.args.gradient_accumulation_steps,
        memory=peak_memory() + STATE_BYTES * trainable + MASTER_BYTES * halves,
        available=available,
        device=device,
    )
