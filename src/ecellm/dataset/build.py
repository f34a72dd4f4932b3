"""Building a dataset: open the Store, let each task draw, select, write the folder whole."""

import json
import platform
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ecellm.dataset.config import BuildConfig
from ecellm.dataset.dataset import MANIFEST, write_split
from ecellm.dataset.select import BEYOND, Selection, select
from ecellm.files import refuse_existing, whole_folder
from ecellm.records import SPLITS, Sample
from ecellm.sources import Wanted, open_store
from ecellm.sources.raw import Workbench
from ecellm.store import Store
from ecellm.tasks import Task
from ecellm.tasks.answers import FreeText
from ecellm.tasks.task import Draw, Plan

REJECTS = "rejects.jsonl"

Say = Callable[[str], None]


def build(
    sources: Path, config: BuildConfig, out: Path, tasks: Sequence[Task], seed: int | None, say: Say
) -> dict[str, Any]:
    """Build the dataset folder `out` and return its manifest.

    `say` is told which step is under way. Raises ValueError where `out` exists, a source is missing or
    unreadable, a task lacks its tables or categories, or no task has any row.
    """
    refuse_existing(out)
    chosen = config.seed if seed is None else seed
    plans = {task.name: config.plan(task, chosen) for task in tasks}
    tables = {table for task in tasks for table in task.needs}
    say("reading sources")
    with open_store(sources, config.sources, _wanted(tasks, plans), tables) as (store, bench):
        draws = {task.name: _draw(task, store, plans[task.name], say) for task in tasks}
        rejected = bench.rejected()
        say("selecting rows")
        selection = select(
            {name: draw.samples for name, draw in draws.items()},
            {name: plan.quotas for name, plan in plans.items()},
            [task.name for task in tasks if isinstance(task.answer, FreeText)],
        )
        if not any(samples for parts in selection.samples.values() for samples in parts.values()):
            raise ValueError(f"No task has a row: check that {sources} holds the categories that the config names.")
        manifest = _manifest(config, chosen, plans, draws, selection, rejected, bench)
    say("writing")
    with whole_folder(out) as folder:
        for split in SPLITS:
            rows = [
                sample
                for parts in selection.samples.values()
                for (own, _), samples in parts.items()
                if own == split
                for sample in samples
            ]
            write_split(rows, folder / f"{split}.parquet")
        if rejected:
            lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rejected)
            (folder / REJECTS).write_text("".join(lines), encoding="utf-8")
        text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
        (folder / MANIFEST).write_text(text, encoding="utf-8")
    return manifest


def _wanted(tasks: Sequence[Task], plans: dict[str, Plan]) -> Wanted:
    """Return which Amazon Review files the tasks need: SA's reviews, PRP's pages, SR's ratings and pages."""
    found: dict[str, set[str]] = {"reviews": set(), "relations": set(), "purchases": set()}
    for task in tasks:
        plan = plans[task.name]
        for table in found.keys() & set(task.needs):
            categories = {*plan.in_domain, *plan.out_of_domain}
            if not plan.in_domain:
                raise ValueError(
                    f"Task {task.name} needs categories: set in_domain in the config's [tasks.{task.name}]."
                )
            found[table] |= categories
    return Wanted(found["reviews"], found["relations"] | found["purchases"], found["purchases"])


def _draw(task: Task, store: Store, plan: Plan, say: Say) -> Draw:
    say(f"drawing {task.name}")
    missing = [table for table in task.needs if not store.has(table)]
    if missing:
        why = store.notes.get(missing[0], "no source provides it")
        raise ValueError(
            f"Task {task.name} needs the table {missing[0]!r}: {why}, or leave the task out with --tasks."
        )
    return task.draw(store, plan)


def _manifest(
    config: BuildConfig,
    seed: int,
    plans: dict[str, Plan],
    draws: dict[str, Draw],
    selection: Selection,
    rejected: list[dict[str, Any]],
    bench: Workbench,
) -> dict[str, Any]:
    """Return the manifest; nothing in it depends on time, machine or path."""
    return {
        "seed": seed,
        "counts": {name: _counts(parts) for name, parts in selection.samples.items()},
        "quotas": {name: _quotas(plan) for name, plan in plans.items()},
        "dropped": {
            name: dict(sorted((draw.dropped + _named(selection.dropped[name])).items()))
            for name, draw in draws.items()
        },
        "drawn": {name: len(draw.samples) for name, draw in draws.items()},
        "rejected": _rejected_counts(rejected),
        "config": config.model_dump(mode="json"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("ecellm", "duckdb", "ibis-framework", "pyarrow")},
        },
        "inputs": [
            {"path": file.path, "bytes": file.bytes, "sha256": file.sha256}
            for file in sorted(bench.inputs, key=lambda file: file.path)
        ],
    }


def _named(dropped: Counter[str]) -> Counter[str]:
    """Return what selection left out; what was drawn in reserve and not needed is no loss."""
    return Counter({reason: count for reason, count in dropped.items() if reason != BEYOND and count})


def _counts(parts: dict[Any, list[Sample]]) -> dict[str, int]:
    return {f"{split} {domain}": len(samples) for (split, domain), samples in parts.items() if samples}


def _quotas(plan: Plan) -> dict[str, int]:
    return {f"{split} {domain}": count for (split, domain), count in plan.quotas.items()}


def _rejected_counts(rejected: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for row in rejected:
        counts.setdefault(row["file"], Counter())[row["reason"]] += 1
    return {file: dict(sorted(reasons.items())) for file, reasons in sorted(counts.items())}
