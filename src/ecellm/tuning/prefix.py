"""Tuning XS: its examples and their weights, the warm start."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoTokenizer

from ecellm.dataset.dataset import Asked
from ecellm.inference.prefix import PrefixGenerator
from ecellm.models.examples import CHOICE, Example, add_lexical, lesson
from ecellm.models.lexical import Lexical, LexicalScores
from ecellm.models.minilm import minilm_folder
from ecellm.models.prefix_lm import PrefixLM, warm_start
from ecellm.models.row_attention import ROW_ATTENTION
from ecellm.prompts import named_template
from ecellm.tasks import TASKS
from ecellm.tuning.checkpoints import CHECKPOINTS
from ecellm.tuning.monitoring import Monitoring
from ecellm.tuning.prefix_trainer import PrefixTrainer
from ecellm.tuning.recipe import Recipe
from ecellm.tuning.rows import Rows, evenly, rendered
from ecellm.tuning.validation import fit_pools


@dataclass(frozen=True)
class Prepared:
    """What is tuned: the trainer, the linear models of words, and all validation examples."""

    trainer: PrefixTrainer
    lexical: LexicalScores
    validation: Sequence[Example]


def prepared(recipe: Recipe, rows: Rows, out: Path, console: Console) -> Prepared:
    """Fit the linear models of words, and return the trainer of XS."""
    tokenizer = load_tokenizer(recipe)
    lexical = LexicalScores({})
    if recipe.lexical:
        with console.status("Counting words"):
            lexical = LexicalScores.fit([row.sample for row in rows.train], recipe.optimisation.seed)
    values = lexical.of_values().read([row.sample for row in rows.train])
    train = lessons(rows.train, values, recipe, tokenizer, console)
    known = lexical.read([row.sample for row in rows.validation])
    validation = lessons(rows.validation, known, recipe, tokenizer, console)
    weigh(train, recipe)
    model = warm_start(base_folder(recipe))
    prepare(model, recipe)
    checks = evenly(validation, recipe.validation.rows)
    return Prepared(PrefixTrainer(model, recipe, train, checks, out / CHECKPOINTS, []), lexical, validation)


def tune_prefix(
    recipe: Recipe, rows: Rows, out: Path, checkpoint: str | None, monitoring: Monitoring
) -> dict[str, Any]:
    """Tune XS, write its weights and tokenizer to `out`, and return the facts of the run."""
    ready = prepared(recipe, rows, out, monitoring.console)
    trainer, model, tokenizer = ready.trainer, ready.trainer.network, load_tokenizer(recipe)
    facts = {"recipe": recipe.model_dump(), "template": named_template(recipe.template).model_dump(mode="json")}
    tokens = trainer.batches.tokens() / len(trainer.batches)
    monitoring.attach(
        trainer, tokens, model, ROW_ATTENTION, lambda: PrefixGenerator(model, tokenizer, facts, ready.lexical)
    )
    trainer.train(resume_from_checkpoint=checkpoint)
    pools = fit_pools(trainer.outcomes(ready.validation))
    model.set_attn_implementation("sdpa")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    return {
        "template": facts["template"],
        "lexical": ready.lexical.save(out),
        "pools": pools,
        "validation_score": trainer.state.best_metric,
        "best_step": trainer.state.best_global_step,
        "steps": trainer.state.global_step,
    }


def load_tokenizer(recipe: Recipe) -> Any:
    """Return the base's tokenizer."""
    return AutoTokenizer.from_pretrained(base_folder(recipe))


def lessons(
    rows: Sequence[Asked], scores: Sequence[Lexical], recipe: Recipe, tokenizer: Any, console: Console
) -> list[Example]:
    """Return the rows as examples with answers and lexical scores; what was truncated is counted and printed."""
    prompts = rendered(rows, named_template(recipe.template), tokenizer, recipe, console)
    examples = []
    for asked, found, prompt in zip(rows, scores, prompts, strict=True):
        example = lesson(asked, prompt, tokenizer, recipe.max_response_tokens)
        add_lexical(example, prompt, found, tokenizer)
        examples.append(example)
    return examples


def weigh(examples: Sequence[Example], recipe: Recipe) -> None:
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


def prepare(model: PrefixLM, recipe: Recipe) -> None:
    """Set the recipe's dropout and freeze what it freezes.

    Attention weights are not dropped: drawing the mask for them took two fifths of a CPU step.
    """
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0 if "attention.self" in name else recipe.optimisation.dropout
    model.bert.embeddings.word_embeddings.weight.requires_grad_(not recipe.optimisation.freeze_embeddings)


def base_folder(recipe: Recipe) -> Path:
    """Return the folder of the recipe's base; raises ValueError where it is not known."""
    if recipe.base == "minilm":
        return minilm_folder()
    folder = Path(recipe.base)
    if not (folder / "config.json").is_file():
        raise ValueError(f"Recipe {recipe.name}: base {recipe.base!r} is not 'minilm' and not a model's folder.")
    return folder
