"""The rows that a run learns from and is checked on, as prompts."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from rich.console import Console

from ecellm.dataset.dataset import Asked
from ecellm.prompts import Prompt, Template, render_all
from ecellm.tuning.recipe import Recipe


class _Tasked(Protocol):
    @property
    def task(self) -> str: ...


OfTask = TypeVar("OfTask", bound=_Tasked)


@dataclass(frozen=True)
class Rows:
    """What is learned from and what is checked on."""

    train: Sequence[Asked]
    validation: Sequence[Asked]


def rendered(
    rows: Sequence[Asked], template: Template, tokenizer: Any, recipe: Recipe, console: Console
) -> list[Prompt]:
    """Return the rows' prompts; what was cut to fit is counted and said."""
    prompts = render_all(rows, template, tokenizer, recipe.max_tokens)
    cut: Counter[str] = Counter()
    for prompt in prompts:
        cut.update(prompt.cut)
    if cut:
        counts = ", ".join(f"{name}: {count:,}" for name, count in sorted(cut.items()))
        console.print(f"Prompts cut to {recipe.max_tokens} tokens ({len(rows):,} rows): {counts}.")
    return prompts


def evenly(rows: Sequence[OfTask], most: int) -> list[OfTask]:
    """Return at most `most` rows, the first ones of each task, as evenly as the tasks allow."""
    by_task: dict[str, list[OfTask]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(row)
    share = -(-most // max(1, len(by_task)))
    return [row for found in by_task.values() for row in found[:share]]
