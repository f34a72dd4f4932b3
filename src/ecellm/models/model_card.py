"""A model's card, the README.md of its folder, which a hub's page shows: written from the run, later with scores."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from ecellm.errors import ModelError
from ecellm.io.files import write_text
from ecellm.io.markdown import markdown_table
from ecellm.models import minilm
from ecellm.models.families import find_family
from ecellm.models.folder import ModelInfo, RecipeInfo, read_info
from ecellm.models.transformers import smollm2
from ecellm.models.transformers.base_models import ADAPTER

CARD, CURVE, LOG = "README.md", "loss.png", "log.jsonl"
#: What was logged at a step: numbers by name, the `step` among them.
LogRow = Mapping[str, float]
#: What the hub calls the bases that packages bring.
HUB_NAMES = {"minilm": minilm.HUB_NAME, smollm2.NAME: smollm2.HUB_NAME}


def write_model_card(model: Path, scores: str = "") -> None:
    """Write README.md into a finished model's folder, with what `model_scores` in `reports/` says of its scores.

    Raises ModelError where the folder is no finished model.
    """
    text = model_card(read_info(model), read_log(model / LOG), (model / ADAPTER).is_file(), scores)
    write_text(text, model / CARD)


def model_card(info: ModelInfo, log: Sequence[LogRow], is_adapter: bool, scores: str) -> str:
    """Return the card; `info` is what ecellm.json holds, `log` the rows of log.jsonl."""
    recipe = info.recipe
    parts = [
        "\n".join(_head(recipe, is_adapter)),
        f"# {recipe.name}: {recipe.base} for e-commerce",
        f"{_how(recipe)} on e-commerce instructions (the ten tasks of eCeLLM) with ecellm "
        f"{info.versions['ecellm']}. The licences of the base and of the data's sources hold for this model too.",
        "## Use",
        _usage(is_adapter),
        "## The run",
        markdown_table(("", ""), _run(info, log)),
        *_losses(info, log),
        *([scores] if scores else []),
        "## The recipe",
        "```json\n" + recipe.model_dump_json(indent=1, exclude_unset=True) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _head(recipe: RecipeInfo, is_adapter: bool) -> list[str]:
    """Return the YAML that a hub reads."""
    base = HUB_NAMES.get(recipe.base, recipe.base)
    library = "peft" if is_adapter else find_family(recipe.family).library
    return ["---", f"base_model: {json.dumps(base)}", f"library_name: {library}", "tags: [e-commerce, ecellm]", "---"]


def _how(recipe: RecipeInfo) -> str:
    lora = recipe.lora
    if lora is None:
        return "All weights were tuned"
    return f"LoRA of rank {lora.rank} on {', '.join(lora.modules)} was tuned"


def _usage(is_adapter: bool) -> str:
    lines = ["    ecellm predict FOLDER --data DATASET --out PREDICTIONS.jsonl"]
    if is_adapter:
        lines.append("    ecellm merge FOLDER --out WHOLE")
    return "\n".join(lines)


def _run(info: ModelInfo, log: Sequence[LogRow]) -> list[tuple[str, str]]:
    rows = info.rows
    last = log[-1] if log else {}
    facts = [
        ("dataset", f"`{info.dataset}`"),
        ("training rows", f"{sum(rows.values()):,}" if rows else ""),
        ("by task", ", ".join(f"{task} {count:,}" for task, count in rows.items())),
        ("steps", f"{info.steps or 0:,}"),
        ("best step by validation loss", f"{info.best_step:,}" if info.best_step else ""),
        ("device", info.device or ""),
        ("speed", f"{last['tokens_per_second']:,} tokens a second" if "tokens_per_second" in last else ""),
        ("peak memory", f"{last['peak_memory_gib']} GiB" if "peak_memory_gib" in last else ""),
        ("versions", ", ".join(f"{name} {version}" for name, version in info.versions.items())),
    ]
    return [(name, text) for name, text in facts if text]


def _losses(info: ModelInfo, log: Sequence[LogRow]) -> list[str]:
    """Return the validation losses of the best step, and the curve."""
    checks = [row for row in log if "eval_loss" in row]
    if not checks:
        return []
    best = next((row for row in checks if row["step"] == info.best_step), checks[-1])
    prefix = "eval_loss_"
    of_tasks = [(name.removeprefix(prefix), f"{best[name]:.4f}") for name in best if name.startswith(prefix)]
    losses = [("all", f"{best['eval_loss']:.4f}"), *of_tasks]
    return [
        "## Validation loss",
        markdown_table(("task", f"step {best['step']}"), losses),
        f"![Loss by step]({CURVE})",
    ]


def read_log(path: Path) -> list[LogRow]:
    """Return the steps that log.jsonl holds, without the lines of sample answers; nothing where there is no file.

    Raises ModelError where it is something else.
    """
    if not path.is_file():
        return []
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if "samples" not in row]
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is no tuning log: tune the model again.") from error
