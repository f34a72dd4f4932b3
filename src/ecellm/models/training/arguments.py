"""The arguments of `transformers.Trainer` for a recipe, whatever the model."""

from __future__ import annotations

import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import TrainingArguments

if TYPE_CHECKING:
    from ecellm.training.recipe import Recipe


#: Trainer's names of the validation loss, of the mean of the tasks' own metrics on validation rows, and of the step
#: where that is within noise of the highest so far, else -1.
LOSS, SCORE, KEPT = "eval_loss", "eval_score", "eval_kept"
#: bf16 must take less than this share of fp32's time: a smaller gain is noise.
MAX_SHARE_OF_FP32 = 0.8
#: Products that are timed in each precision.
PRODUCTS = 10


def arguments(
    recipe: Recipe,
    folder: Path,
    steps: int,
    validates: bool,
    use_bf16: bool,
    best: str = LOSS,
    accumulate: int = 1,
) -> TrainingArguments:
    """Return Trainer's arguments.

    `steps` is how many an epoch has; `folder` takes the checkpoints; `best` is the validation metric by which one is
    kept, LOSS or KEPT; `accumulate` is how many batches make a step.
    """
    choices = recipe.optimisation
    every = max(1, max(1, steps) // recipe.validation.per_epoch)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=max(choices.epochs, choices.min_steps / max(1, steps)),
        learning_rate=choices.learning_rate,
        lr_scheduler_type=choices.schedule if choices.schedule != "constant" else "constant_with_warmup",
        warmup_steps=choices.warmup,
        weight_decay=choices.weight_decay,
        max_grad_norm=choices.clip,
        gradient_accumulation_steps=accumulate,
        bf16=use_bf16,
        eval_strategy="steps" if validates else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=validates,
        metric_for_best_model=best if validates else None,
        greater_is_better=best == KEPT,
        logging_steps=10,
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        seed=choices.seed,
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )


def computes_in_bf16(precision: str) -> bool:
    """Return whether to compute in bf16: as the recipe says, or for "auto" where the device is faster in it."""
    if precision != "auto":
        return precision == "bf16"
    return torch.cuda.is_bf16_supported() if torch.cuda.is_available() else _cpu_gains_by_bf16()


@lru_cache(maxsize=1)
def _cpu_gains_by_bf16() -> bool:
    """Time one product in both: a processor may have instructions for bf16 and be slower by them, as Sapphire Rapids
    is where a virtual machine hides its tile unit (docs/speed.md)."""
    if not torch.cpu._is_avx512_bf16_supported():
        return False
    return _seconds_of_product(torch.bfloat16) < MAX_SHARE_OF_FP32 * _seconds_of_product(torch.float32)


def _seconds_of_product(kind: torch.dtype) -> float:
    """Return the shortest of several times that a product of a layer's size takes."""
    states, weights = torch.ones(1024, 384, dtype=kind), torch.ones(1536, 384, dtype=kind)
    seconds = []
    for _ in range(PRODUCTS):
        start = time.perf_counter()
        torch.nn.functional.linear(states, weights)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
