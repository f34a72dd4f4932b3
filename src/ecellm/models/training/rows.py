"""The training and validation rows of a run, and their prompts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from rich.console import Console

from ecellm.prompts import Prompt, Template, Tokenizer, render_all
from ecellm.types import Question

if TYPE_CHECKING:
    from ecellm.training.recipe import Recipe


class _Tasked(Protocol):
    @property
    def task(self) -> str: ...


OfTask = TypeVar("OfTask", bound=_Tasked)


@dataclass(frozen=True)
class Rows:
    """Training and validation rows."""

    train: Sequence[Question]
    validation: Sequence[Question]


def rendered(
    rows: Sequence[Question], template: Template, tokenizer: Tokenizer, recipe: Recipe, console: Console
) -> list[Prompt]:
    """Return the rows' prompts; what was truncated is counted and printed."""
    prompts = render_all(rows, template, tokenizer, recipe.max_tokens)
    truncated: Counter[str] = Counter()
    for prompt in prompts:
        truncated.update(prompt.truncated)
    if truncated:
        counts = ", ".join(f"{name}: {count:,}" for name, count in sorted(truncated.items()))
        console.print(f"Prompts truncated to {recipe.max_tokens} tokens ({len(rows):,} rows): {counts}.")
    return prompts


def evenly(rows: Sequence[OfTask], most: int) -> list[OfTask]:
    """Return at most `most` rows, the first ones of each task, as evenly as the tasks allow."""
    by_task: dict[str, list[OfTask]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(row)
    share = -(-most // max(1, len(by_task)))
    return [row for found in by_task.values() for row in found[:share]]
