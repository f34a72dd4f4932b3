"""What a recipe means to `transformers.Trainer`, whatever the model."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from ecellm.tuning.recipe import Recipe

#: XS keeps the checkpoint of the best score: the tasks' own metrics on validation rows.
SCORE = "eval_score"


def arguments(recipe: Recipe, folder: Path, steps: int, validates: bool, use_bf16: bool) -> TrainingArguments:
    """Return Trainer's arguments; `steps` is how many an epoch has, `folder` takes the checkpoints."""
    choices = recipe.optimisation
    best = SCORE if recipe.family == "prefix" else "eval_loss"
    every = max(1, max(1, steps) // recipe.validation.per_epoch)
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=max(choices.epochs, choices.min_steps / max(1, steps)),
        learning_rate=choices.learning_rate,
        lr_scheduler_type=choices.schedule if choices.schedule != "constant" else "constant_with_warmup",
        warmup_steps=choices.warmup,
        weight_decay=choices.weight_decay,
        max_grad_norm=choices.clip,
        gradient_accumulation_steps=choices.accumulate if recipe.family == "prefix" else 1,
        bf16=use_bf16,
        eval_strategy="steps" if validates else "no",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=validates,
        metric_for_best_model=best if validates else None,
        greater_is_better=best == SCORE,
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
    """Say whether to compute in bf16: as asked, or ("auto") where the device's own arithmetic has it."""
    if precision != "auto":
        return precision == "bf16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported()
    capabilities = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in capabilities and bool(torch.cpu._is_avx512_bf16_supported())
