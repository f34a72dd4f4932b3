"""The tuning run: from a dataset and a recipe to a MODEL folder, resumable at any moment."""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import AutoTokenizer, set_seed

from ecellm.dataset.dataset import Asked, Dataset, spread
from ecellm.files import refuse_existing, whole_file
from ecellm.inference.thresholds import fit_thresholds
from ecellm.models.examples import CHOICE, Example, lesson
from ecellm.models.folder import is_finished, write_facts
from ecellm.models.minilm import minilm_folder
from ecellm.models.prefix_lm import PrefixLM, warm_start
from ecellm.prompts import named_template, render_all
from ecellm.records import DIVERSE
from ecellm.tuning.progress import Progress
from ecellm.tuning.recipe import Recipe
from ecellm.tuning.trainer import PrefixTrainer

RUN = "run.json"
CHECKPOINTS = "checkpoints"
DEFAULT_SETTING = f"IND_{DIVERSE}"


def tune(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    *,
    tasks: Collection[str] | None = None,
    setting: str = DEFAULT_SETTING,
    resume: bool = False,
    limit: int | None = None,
    console: Console | None = None,
) -> None:
    """Tune a model and write it to `out`.

    Raises ValueError where `out` holds something else, where a resumed run differs in dataset or recipe, or
    where the dataset has no training rows for the tasks and setting.
    """
    console = console or Console(stderr=True)
    if resume and is_finished(out):
        console.print(f"{out} is finished: nothing to do.")
        return
    run = _checked_run(recipe, dataset, out, tasks, setting, limit, resume)
    set_seed(recipe.optimisation.seed)
    tokenizer = AutoTokenizer.from_pretrained(base_folder(recipe))
    rows = spread(dataset.view(setting, "train", tasks), limit, dataset.seed)
    if not rows:
        raise ValueError(f"{dataset.path} has no training rows for {setting} and these tasks.")
    with whole_file(out / RUN) as path:
        path.write_text(json.dumps(run, indent=2), encoding="utf-8")
    train = lessons(rows, recipe, tokenizer, console)
    validation = lessons(dataset.view(setting, "validation", tasks), recipe, tokenizer, console)
    weigh(train, recipe)
    model = warm_start(base_folder(recipe))
    prepare(model, recipe)
    checks = evenly(validation, recipe.validation.rows)
    trainer = PrefixTrainer(model, recipe, train, checks, out / CHECKPOINTS, [])
    trainer.add_callback(Progress(console, out, sum(trainer.batches.lengths) / len(trainer.batches)))
    trainer.train(resume_from_checkpoint=_last_checkpoint(out) if resume else None)
    offsets = fit_thresholds(model, validation) if recipe.validation.fit_thresholds else {}
    _save(model, tokenizer, recipe, dataset, offsets, trainer, out)


def lessons(rows: Sequence[Asked], recipe: Recipe, tokenizer: Any, console: Console) -> list[Example]:
    """Return the rows as examples with answers; what was cut to fit is counted and said."""
    prompts = render_all(rows, named_template(recipe.template), tokenizer, recipe.max_tokens)
    cut: Counter[str] = Counter()
    for prompt in prompts:
        cut.update(prompt.cut)
    if cut:
        counts = ", ".join(f"{name}: {count:,}" for name, count in sorted(cut.items()))
        console.print(f"Prompts cut to {recipe.max_tokens} tokens ({len(rows):,} rows): {counts}.")
    most = recipe.max_response_tokens
    return [lesson(asked, prompt, tokenizer, most) for asked, prompt in zip(rows, prompts, strict=True)]


def weigh(examples: Sequence[Example], recipe: Recipe) -> None:
    """Set each example's weight so that small tasks and rare classes are heard; weights average 1."""
    by_task = Counter(example.task for example in examples)
    classes = Counter((example.task, example.label) for example in examples if example.kind == CHOICE)
    fixed = {task for task, _ in classes if not _labels_are_shuffled(task, examples)}
    kinds = Counter(task for task, _ in classes)
    for example in examples:
        rows = by_task[example.task]
        weight = (len(examples) / len(by_task) / rows) ** recipe.mixing.balance_tasks
        if example.task in fixed and example.kind == CHOICE:
            share = classes[example.task, example.label] * kinds[example.task] / rows
            weight *= share**-recipe.mixing.balance_classes
        example.weight = weight
    mean = sum(example.weight for example in examples) / len(examples)
    for example in examples:
        example.weight /= mean


def evenly(examples: Sequence[Example], most: int) -> list[Example]:
    """Return at most `most` examples, the first ones of each task, as evenly as the tasks allow."""
    by_task: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        by_task[example.task].append(example)
    share = -(-most // max(1, len(by_task)))
    return [example for rows in by_task.values() for example in rows[:share]]


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


def _labels_are_shuffled(task: str, examples: Sequence[Example]) -> bool:
    """Say whether a task's options change from row to row, so that its letters are no classes."""
    return any(len(example.tokens) > 5 for example in examples if example.task == task)


def _checked_run(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    tasks: Collection[str] | None,
    setting: str,
    limit: int | None,
    resume: bool,
) -> dict[str, Any]:
    """Return what the run is made of; raises ValueError where `out` holds something that it cannot go on with."""
    run = {
        "recipe": recipe.model_dump(mode="json"),
        "dataset": dataset.hash(),
        "tasks": sorted(tasks) if tasks is not None else None,
        "setting": setting,
        "limit": limit,
    }
    record = out / RUN
    if record.is_file():
        if is_finished(out) or not resume:
            state = "a finished model" if is_finished(out) else "an unfinished run: go on with --resume"
            raise ValueError(f"{out} holds {state}; or name another output.")
        before = json.loads(record.read_text(encoding="utf-8"))
        different = [key for key in run if run[key] != before.get(key)]
        if different:
            raise ValueError(
                f"{out} was begun with another {', '.join(different)}: "
                "resume with the same ones, or name another output."
            )
    else:
        refuse_existing(out)
    return run


def _last_checkpoint(out: Path) -> str | None:
    """Return the newest whole checkpoint, or None where nothing was saved."""
    folders = sorted(
        (out / CHECKPOINTS).glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[-1]), reverse=True
    )
    # trainer_state.json is the last file that Trainer writes: without it the save was cut short.
    whole = [folder for folder in folders if (folder / "trainer_state.json").is_file()]
    return str(whole[0]) if whole else None


def _save(
    model: PrefixLM,
    tokenizer: Any,
    recipe: Recipe,
    dataset: Dataset,
    offsets: dict[str, list[float]],
    trainer: PrefixTrainer,
    out: Path,
) -> None:
    model.set_attn_implementation("sdpa")
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    template = named_template(recipe.template)
    write_facts(
        out,
        {
            "recipe": recipe.model_dump(mode="json"),
            "template": template.model_dump(mode="json"),
            "dataset": dataset.hash(),
            "versions": {name: version(name) for name in ("ecellm", "torch", "transformers")},
            "offsets": offsets,
            "validation_loss": trainer.state.best_metric,
            "best_step": trainer.state.best_global_step,
            "steps": trainer.state.global_step,
        },
    )
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
