"""Tuning causal and encoder-decoder models of transformers: by LoRA, QLoRA or whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoTokenizer

from ecellm.dataset.dataset import Asked
from ecellm.inference.transformers_ import TransformersGenerator
from ecellm.models.bases import base_location
from ecellm.models.loading import asking_attention, load_pretrained
from ecellm.prompts import Template, encode_response, end_token, template_for
from ecellm.tuning.arguments import computes_in_bf16
from ecellm.tuning.checkpoints import CHECKPOINTS
from ecellm.tuning.language_trainer import LanguageTrainer
from ecellm.tuning.lora import adapted, four_bits
from ecellm.tuning.monitoring import Monitoring
from ecellm.tuning.packing import Lesson
from ecellm.tuning.recipe import Recipe
from ecellm.tuning.rows import Rows, evenly, rendered


def language_trainer(
    recipe: Recipe, rows: Rows, out: Path, console: Console
) -> tuple[LanguageTrainer, Any, Template]:
    """Return the trainer, the tokenizer and the prompts' layout.

    Raises ValueError where the base cannot be had or is of another family, or LoRA names modules it has not.
    """
    tokenizer = load_tokenizer(recipe)
    template = template_for(recipe.template, tokenizer)
    train = lessons(rows.train, recipe, template, tokenizer, console)
    checks = evenly(lessons(rows.validation, recipe, template, tokenizer, console), recipe.validation.rows)
    use_bf16 = computes_in_bf16(recipe.optimisation.precision)
    model = load_base(recipe, use_bf16)
    if recipe.lora is not None:
        model = adapted(model, recipe.lora, recipe.family == "encoder-decoder")
        # A converted GGUF file lies in this machine's cache: the adapter names it as the recipe does.
        model.peft_config["default"].base_model_name_or_path = recipe.base
    freeze(model, recipe)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end_token(tokenizer)
    trainer = LanguageTrainer(model, recipe, train, checks, out / CHECKPOINTS, use_bf16, int(pad))
    return trainer, tokenizer, template


def tune_language(
    recipe: Recipe, rows: Rows, out: Path, checkpoint: str | None, monitoring: Monitoring
) -> dict[str, Any]:
    """Tune a model, write its weights or adapter and its tokenizer to `out`, and return the facts of the run.

    Raises ValueError as `language_trainer`.
    """
    trainer, tokenizer, template = language_trainer(recipe, rows, out, monitoring.console)
    facts = {"recipe": recipe.model_dump(), "template": template.model_dump(mode="json")}
    tuned: Any = trainer.model
    model = tuned if recipe.lora is None else tuned.get_base_model()
    tokens = sum(lesson.length for lesson in trainer.lessons) / len(trainer.steps)
    attention = asking_attention(model) if recipe.family == "causal" else None
    monitoring.attach(trainer, tokens, model, attention, lambda: TransformersGenerator(model, tokenizer, facts))
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.accelerator.wait_for_everyone()  # all have read the best checkpoint
    trainer.save_model(str(out))  # by all: the weights may be spread over processes
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(out)
    return {
        "template": facts["template"],
        "validation_loss": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
    }


def lessons(
    rows: Sequence[Asked], recipe: Recipe, template: Template, tokenizer: Any, console: Console
) -> list[Lesson]:
    """Return the rows as prompts and responses, tokenised apart; what was cut to fit is counted and said."""
    prompts = rendered(rows, template, tokenizer, recipe, console)
    found, cut = [], 0
    for asked, prompt in zip(rows, prompts, strict=True):
        response = encode_response(asked.sample.output, tokenizer)
        cut += len(response) > recipe.max_response_tokens
        found.append(Lesson(asked.sample.id, asked.sample.task, prompt.ids, response[: recipe.max_response_tokens]))
    if cut:
        console.print(f"Responses cut to {recipe.max_response_tokens} tokens: {cut:,} of {len(rows):,}.")
    return found


def load_tokenizer(recipe: Recipe) -> Any:
    """Return the base's tokenizer; raises ValueError where it cannot be had."""
    location = base_location(recipe.base)
    try:
        return AutoTokenizer.from_pretrained(location, revision=recipe.revision)
    except (OSError, ValueError) as error:
        raise _not_had(recipe) from error


def load_base(recipe: Recipe, use_bf16: bool) -> Any:
    """Return the base model, its weights in fp32; in bf16 for LoRA on an accelerator, and as the recipe says.

    Raises ValueError where it cannot be had or is of another family.
    """
    quantised = recipe.lora is not None and recipe.lora.quantised
    half = use_bf16 and (recipe.lora is not None if torch.cuda.is_available() else recipe.optimisation.bf16_weights)
    more = {"quantization_config": four_bits()} if quantised else {}
    location = base_location(recipe.base)
    try:
        model = load_pretrained(location, recipe.revision, torch.bfloat16 if half else torch.float32, **more)
    except (OSError, ValueError) as error:
        raise _not_had(recipe) from error
    family = "encoder-decoder" if model.config.is_encoder_decoder else "causal"
    if family != recipe.family:
        raise ValueError(f"Recipe {recipe.name}: the base {recipe.base} is {family}, not {recipe.family}.")
    return model


def freeze(model: Any, recipe: Recipe) -> None:
    """Freeze what the recipe freezes of a causal model; raises ValueError where it has no more layers than that."""
    how = recipe.optimisation
    if how.freeze_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if how.freeze_layers:
        layers = (model.get_base_model() if recipe.lora is not None else model).get_decoder().layers
        if how.freeze_layers >= len(layers):
            raise ValueError(
                f"optimisation.freeze_layers is {how.freeze_layers}, and {recipe.base} has {len(layers)} layers: "
                "freeze fewer."
            )
        for layer in layers[: how.freeze_layers]:
            layer.requires_grad_(False)


def _not_had(recipe: Recipe) -> ValueError:
    return ValueError(
        f"Recipe {recipe.name}: the base {recipe.base!r} is no model's folder and cannot be had from the hub: "
        "download it, or set base to its folder."
    )
