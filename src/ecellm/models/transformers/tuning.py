"""Tuning causal and encoder-decoder models of transformers: by LoRA, QLoRA or whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ecellm.errors import ModelError
from ecellm.io.files import set_default_mode
from ecellm.models.folder import CHECKPOINTS, ModelInfo, RecipeInfo
from ecellm.models.training.arguments import computes_in_bf16
from ecellm.models.training.rows import Rows, evenly, rendered
from ecellm.models.transformers.base_models import base_hash, base_location, pinned_revision
from ecellm.models.transformers.generator import TransformersGenerator
from ecellm.models.transformers.lora import adapted, four_bits
from ecellm.models.transformers.packing import TokenisedExample
from ecellm.models.transformers.pretrained import attending, inference_attention, load_pretrained
from ecellm.models.transformers.trainer import LanguageTrainer
from ecellm.prompts import Template, Tokenizer, encode_response, end_token, template_for
from ecellm.types import Question

if TYPE_CHECKING:
    from ecellm.training.monitoring import Monitoring
    from ecellm.training.recipe import Recipe


@dataclass(frozen=True)
class Prepared:
    """A run that has not begun."""

    trainer: LanguageTrainer
    base: PreTrainedModel
    """The model without its adapters' interface; the adapters themselves are within its layers."""
    tokenizer: PreTrainedTokenizerBase
    template: Template
    """How prompts are laid out."""


def prepared(recipe: Recipe, rows: Rows, out: Path, console: Console) -> Prepared:
    """Load the base and set up its trainer.

    Raises ModelError where the base cannot be had or is of another family, or LoRA names modules it has not.
    """
    tokenizer = load_tokenizer(recipe)
    template = template_for(recipe.template, tokenizer)
    train = tokenised_examples(rows.train, recipe, template, tokenizer, console)
    checks = evenly(tokenised_examples(rows.validation, recipe, template, tokenizer, console), recipe.validation.rows)
    use_bf16 = computes_in_bf16(recipe.optimisation.precision)
    base = load_base(recipe, use_bf16)
    model: nn.Module = base
    if recipe.lora is not None:
        model = adapter = adapted(base, recipe.lora, recipe.family == "encoder-decoder")
        # A converted GGUF file lies in this machine's cache: the adapter names it as the recipe does.
        adapter.peft_config["default"].base_model_name_or_path = recipe.base
        adapter.peft_config["default"].revision = pinned_revision(recipe.base, recipe.revision)
    freeze(base, recipe)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end_token(tokenizer)
    trainer = LanguageTrainer(model, recipe, train, checks, out / CHECKPOINTS, use_bf16, int(pad))
    return Prepared(trainer, base, tokenizer, template)


def trainer_for(recipe: Recipe, rows: Rows, out: Path, console: Console) -> LanguageTrainer:
    """Return the trainer alone; raises ModelError as `prepared`."""
    return prepared(recipe, rows, out, console).trainer


def tune(recipe: Recipe, rows: Rows, out: Path, checkpoint: str | None, monitoring: Monitoring) -> ModelInfo:
    """Tune a model, write its weights or adapter and its tokenizer to `out`, and return its description.

    Raises ModelError as `prepared`.
    """
    ready = prepared(recipe, rows, out, monitoring.console)
    trainer, model, tokenizer = ready.trainer, ready.base, ready.tokenizer
    info = ModelInfo(recipe=RecipeInfo.model_validate(recipe.model_dump(mode="json")), template=ready.template)
    if recipe.lora is not None:
        info = info.model_copy(update={"base_hash": base_hash(recipe.base, recipe.revision)})
    tokens = sum(example.length for example in trainer.examples) / len(trainer.steps)
    attention = inference_attention(model) if recipe.family == "causal" else None
    monitoring.attach(
        trainer,
        tokens,
        model,
        lambda: attending(model, attention),
        lambda: TransformersGenerator(model, tokenizer, info),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.accelerator.wait_for_everyone()  # all have read the best checkpoint
    trainer.save_model(str(out))  # by all: the weights may be spread over processes
    if trainer.is_world_process_zero():
        tokenizer.save_pretrained(out)
        set_default_mode(out.glob("*.safetensors"))
    state = trainer.state
    reached = {"validation_loss": state.best_metric, "best_step": state.best_global_step, "steps": state.global_step}
    return info.model_copy(update=reached)


def tokenised_examples(
    rows: Sequence[Question], recipe: Recipe, template: Template, tokenizer: Tokenizer, console: Console
) -> list[TokenisedExample]:
    """Return the rows as prompts and responses, tokenised apart; what was truncated is counted and printed."""
    prompts = rendered(rows, template, tokenizer, recipe, console)
    found, truncated, most = [], 0, recipe.max_response_tokens
    for question, prompt in zip(rows, prompts, strict=True):
        example = question.example
        response = encode_response(example.output, tokenizer)
        truncated += len(response) > most
        found.append(TokenisedExample(example.id, example.task, prompt.ids, response[:most]))
    if truncated:
        console.print(f"Responses truncated to {most} tokens: {truncated:,} of {len(rows):,}.")
    return found


def load_tokenizer(recipe: Recipe) -> PreTrainedTokenizerBase:
    """Return the base's tokenizer; raises ModelError where it cannot be had."""
    location = base_location(recipe.base)
    try:
        return AutoTokenizer.from_pretrained(location, revision=recipe.revision)
    except (OSError, ValueError) as error:
        raise _not_had(recipe) from error


def load_base(recipe: Recipe, use_bf16: bool) -> PreTrainedModel:
    """Return the base model, its weights in fp32; in bf16 for LoRA on an accelerator, and as the recipe says.

    Raises ModelError where it cannot be had or is of another family.
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
        raise ModelError(f"Recipe {recipe.name}: the base {recipe.base} is {family}, not {recipe.family}.")
    return model


def freeze(model: PreTrainedModel, recipe: Recipe) -> None:
    """Freeze what the recipe freezes of a causal model; raises ModelError where it has no more layers than that."""
    how = recipe.optimisation
    if how.freeze_embeddings:
        model.get_input_embeddings().weight.requires_grad_(False)
    if how.freeze_layers:
        layers = model.get_decoder().layers
        if how.freeze_layers >= len(layers):
            raise ModelError(
                f"optimisation.freeze_layers is {how.freeze_layers}, and {recipe.base} has {len(layers)} layers: "
                "freeze fewer."
            )
        for layer in layers[: how.freeze_layers]:
            layer.requires_grad_(False)


def _not_had(recipe: Recipe) -> ModelError:
    return ModelError(
        f"Recipe {recipe.name}: the base {recipe.base!r} is no model's folder and cannot be had from the hub: "
        "download it, or set base to its folder."
    )
