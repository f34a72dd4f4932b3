"""Tuning XS: its examples and their weights, the warm start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ecellm.errors import ModelError
from ecellm.models.folder import CHECKPOINTS, ModelInfo, RecipeInfo
from ecellm.models.minilm import minilm_folder
from ecellm.models.training.rows import Rows, evenly, rendered
from ecellm.models.xs.augmentation import Augmentation
from ecellm.models.xs.encoder import torch_attention
from ecellm.models.xs.examples import CHOICE, EncodedExample, add_lexical, encode_example
from ecellm.models.xs.generator import XSGenerator
from ecellm.models.xs.lexical import Lexical, LexicalScores
from ecellm.models.xs.lexical.fitting import fit_lexical
from ecellm.models.xs.model import XSModel, warm_start
from ecellm.models.xs.shortening import without_punctuation
from ecellm.models.xs.trainer import XSTrainer
from ecellm.models.xs.validation import fit_pools
from ecellm.prompts import Tokenizer, named_template
from ecellm.tasks import TASKS
from ecellm.types import Question

if TYPE_CHECKING:
    from ecellm.training.monitoring import Monitoring
    from ecellm.training.recipe import Recipe


@dataclass(frozen=True)
class Prepared:
    """A run that has not begun: the trainer, the linear models of words, and all validation examples."""

    trainer: XSTrainer
    lexical: LexicalScores
    validation: Sequence[EncodedExample]


def prepared(recipe: Recipe, rows: Rows, out: Path, console: Console) -> Prepared:
    """Fit the linear models of words, and return the trainer of XS."""
    tokenizer = load_tokenizer(recipe)
    lexical = LexicalScores({})
    if recipe.lexical:
        with console.status("Counting words"):
            lexical = fit_lexical([row.example for row in rows.train], recipe.optimisation.seed)
    values = lexical.of_values().read([row.example for row in rows.train])
    train = encode_examples(rows.train, values, recipe, tokenizer, console)
    if recipe.optimisation.exchange:
        add_mirrored(train, rows.train, values, recipe, tokenizer)
    known = lexical.read([row.example for row in rows.validation])
    validation = encode_examples(rows.validation, known, recipe, tokenizer, console)
    weigh(train, recipe)
    model = warm_start(base_folder(recipe))
    prepare(model, recipe)
    checks = evenly(validation, recipe.validation.rows)
    augmentation = Augmentation(tokenizer, recipe.optimisation.word_dropout, recipe.optimisation.seed)
    trainer = XSTrainer(model, recipe, train, checks, out / CHECKPOINTS, augmentation)
    return Prepared(trainer, lexical, validation)


def trainer_for(recipe: Recipe, rows: Rows, out: Path, console: Console) -> XSTrainer:
    """Return the trainer alone."""
    return prepared(recipe, rows, out, console).trainer


def tune(recipe: Recipe, rows: Rows, out: Path, checkpoint: str | None, monitoring: Monitoring) -> ModelInfo:
    """Tune XS, write its weights and tokenizer to `out`, and return its description."""
    ready = prepared(recipe, rows, out, monitoring.console)
    trainer, model, tokenizer = ready.trainer, ready.trainer.network, load_tokenizer(recipe)
    described = RecipeInfo.model_validate(recipe.model_dump(mode="json"))
    info = ModelInfo(recipe=described, template=named_template(recipe.template))
    tokens = trainer.batches.tokens() / len(trainer.batches)
    monitoring.attach(
        trainer,
        tokens,
        model,
        lambda: answering(model),
        lambda: XSGenerator(model, tokenizer, info, ready.lexical),
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    pools = fit_pools(trainer.outcomes(ready.validation))
    model.save(out)
    tokenizer.save_pretrained(out)
    reached = {
        "lexical": ready.lexical.save(out),
        "pools": pools,
        "validation_score": trainer.validation_scores().get(trainer.state.best_global_step or 0),
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
    }
    return info.model_copy(update=reached)


@contextmanager
def answering(model: XSModel) -> Iterator[None]:
    """Let a model that is being tuned attend within the block as a finished one does."""
    before, model.attention = model.attention, torch_attention
    try:
        yield
    finally:
        model.attention = before


def load_tokenizer(recipe: Recipe) -> PreTrainedTokenizerBase:
    """Return the base's tokenizer."""
    return AutoTokenizer.from_pretrained(base_folder(recipe))


def encode_examples(
    rows: Sequence[Question], scores: Sequence[Lexical], recipe: Recipe, tokenizer: Tokenizer, console: Console
) -> list[EncodedExample]:
    """Return the rows as examples with answers and lexical scores; what was truncated is counted and printed."""
    prompts = rendered(rows, named_template(recipe.template), tokenizer, recipe, console)
    examples = []
    for question, found, prompt in zip(rows, scores, prompts, strict=True):
        example = encode_example(question, prompt, tokenizer, recipe.max_response_tokens)
        add_lexical(example, prompt, found, tokenizer)
        examples.append(without_punctuation(example, prompt, tokenizer))
    return examples


def add_mirrored(
    examples: Sequence[EncodedExample],
    rows: Sequence[Question],
    scores: Sequence[Lexical],
    recipe: Recipe,
    tokenizer: Tokenizer,
) -> None:
    """Give each example whose task compares two records the same question with the records exchanged."""
    exchanged = [(place, TASKS[question.example.task].exchanged) for place, question in enumerate(rows)]
    places = {place: exchange for place, exchange in exchanged if exchange is not None}
    others = [replace(rows[place], example=exchange(rows[place].example)) for place, exchange in places.items()]
    mirrored = encode_examples(others, [scores[place] for place in places], recipe, tokenizer, Console(quiet=True))
    for place, example in zip(places, mirrored, strict=True):
        examples[place].mirrored = example


def weigh(examples: Sequence[EncodedExample], recipe: Recipe) -> None:
    """Set each example's weight so that small tasks and rare classes are heard; weights average 1."""
    by_task = Counter(example.task for example in examples)
    most = recipe.mixing.task_rows or len(examples)
    seen = {task: min(rows, most) for task, rows in by_task.items()}
    classes = Counter((example.task, example.label) for example in examples if example.kind == CHOICE)
    fixed = {task for task, _ in classes if TASKS[task].answer.has_classes}
    kinds = Counter(task for task, _ in classes)
    for example in examples:
        rows = by_task[example.task]
        weight = (sum(seen.values()) / len(seen) / seen[example.task]) ** recipe.mixing.balance_tasks
        if example.task in fixed and example.kind == CHOICE:
            share = classes[example.task, example.label] * kinds[example.task] / rows
            weight *= share**-recipe.mixing.balance_classes
        example.weight = weight
    mean = sum(example.weight for example in examples) / len(examples)
    for example in examples:
        example.weight /= mean


def prepare(model: XSModel, recipe: Recipe) -> None:
    """Set the recipe's dropout and freeze what it freezes.

    Attention weights are not dropped: drawing the mask for them took two fifths of a CPU step.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0 if "attention.self" in name else recipe.optimisation.dropout
    model.bert.embeddings.word_embeddings.weight.requires_grad_(not recipe.optimisation.freeze_embeddings)


def base_folder(recipe: Recipe) -> Path:
    """Return the folder of the recipe's base; raises ModelError where it is not known."""
    if recipe.base == "minilm":
        return minilm_folder()
    folder = Path(recipe.base)
    if not (folder / "config.json").is_file():
        raise ModelError(f"Recipe {recipe.name}: base {recipe.base!r} is not 'minilm' and not a model's folder.")
    return folder
