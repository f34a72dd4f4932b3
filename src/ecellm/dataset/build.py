"""Building a dataset: open the Store, let each task draw, select, write the folder whole."""

import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ecellm.dataset.config import BuildConfig, TaskPlan
from ecellm.dataset.dataset import MANIFEST, write_split
from ecellm.dataset.deviations import deviations
from ecellm.dataset.hub_card import HUB_CARD, hub_card
from ecellm.dataset.lost import sample_row, write_lost
from ecellm.dataset.quality import unfit
from ecellm.dataset.select import BEYOND, Part, Rules, Selection, select
from ecellm.files import refuse_existing, whole_folder
from ecellm.records import SPLITS, Sample
from ecellm.sources import Engine, Wanted, obstacles, open_shelf
from ecellm.sources.own_forms import Columns
from ecellm.sources.own_tables import own_columns
from ecellm.sources.shelf import PROVIDERS, READING, Shelf
from ecellm.sources.workbench import Workbench
from ecellm.store import Store
from ecellm.tasks import Task
from ecellm.tasks.answers import FreeText
from ecellm.tasks.task import BRAND, CATEGORY, RESERVE, TIME, Draw, Plan

REJECTS = "rejects.jsonl"
#: What is drawn beyond a quota grows fourfold while a quota is missed, up to so many times the quota.
MOST_RESERVE = 8

#: Tables that a task draws from by category: SA reviews, PRP relations, SR purchases, AP and AG questions.
BY_CATEGORY = {"reviews", "relations", "purchases", "questions"}
#: Tables of labelled pairs: rows of the user's own that say their split are taken as they are.
LABELLED = {"pairs", "relations", "judgements"}
#: The kinds of Amazon Review files, one per category, that a table is made of. Purchases are told from the
#: ratings, and what was bought from the metadata.
FILES = {"reviews": ("reviews",), "relations": ("metadata",), "purchases": ("ratings", "metadata")}

Say = Callable[[str], None]


def build(
    sources: Path,
    config: BuildConfig,
    out: Path,
    tasks: Sequence[Task],
    seed: int | None,
    say: Say,
    engine: Engine | None = None,
    lost: Path | None = None,
) -> dict[str, Any]:
    """Build the dataset folder `out` and return its manifest.

    `say` is told which step is under way. What tasks and rules left out is written to the folder `lost`, where one
    is named. Raises ValueError where a folder to write exists, a source is missing or unreadable, a task lacks its
    tables or categories, or no task has any row.
    """
    refuse_existing(out)
    if lost is not None:
        refuse_existing(lost)
        if lost.resolve() == out.resolve():
            raise ValueError(f"--out and --lost both name {out}: give each a folder of its own.")
    chosen = config.seed if seed is None else seed
    columns = own_columns(sources, config.sources.tables)
    tasks = [replace(task, needs=task.tables(columns)) for task in tasks]
    labelled = {task.name: table for task in tasks if (table := _labelled(task, columns))}
    plans = {task.name: replace(config.plan(task, chosen), given_split=task.name in labelled) for task in tasks}
    missing = obstacles(sources, config.sources)
    for task in tasks:
        if task.name in missing:
            raise ValueError(f"{task.name} cannot be built: {missing[task.name]}.")
        _check(task, plans[task.name], config)
        if task.name in labelled:
            _check_labelled(task, labelled[task.name], config)
    say(f"{READING} sources")
    tables = {table for task in tasks for table in _needs(task, plans[task.name])}
    with ExitStack() as stack:
        with open_shelf(sources, config.sources, _wanted(tasks, plans, config), tables, engine, say=say) as shelf:
            own = shelf.store(set())
            plans = {task.name: _with_categories(task, plans[task.name], own, config) for task in tasks}
            plans |= {name: _with_all_rows(name, table, plans[name], own, config) for name, table in labelled.items()}
            draws, selection = _chosen(shelf, tasks, plans, config, say, keep=lost is not None)
            if not any(selection.split(split) for split in SPLITS):
                raise ValueError(_nothing_left(sources, draws, selection))
            rejected = shelf.bench.rejected()
            manifest = _manifest(config, chosen, plans, draws, selection, rejected, shelf.bench, engine or Engine())
            if lost is not None:
                say("writing what was left out")
                write_lost(shelf.bench, draws, selection, stack.enter_context(whole_folder(lost)))
        say("writing")
        _write(stack.enter_context(whole_folder(out)), manifest, selection, rejected)
    return manifest


def _chosen(
    shelf: Shelf, tasks: Sequence[Task], plans: Mapping[str, Plan], config: BuildConfig, say: Say, keep: bool
) -> tuple[dict[str, Draw], Selection]:
    """Draw and select; draw more for the tasks whose reserve the filters used up. What was read and computed is let
    go where memory is short, unless all is to be kept."""
    draws: dict[str, Draw] = {}
    drawn: dict[str, Counter[Part]] = {}
    wanting, reserve = list(tasks), RESERVE
    while True:
        for place, task in enumerate(wanting):
            store = shelf.store(_needs(task, plans[task.name]) - {"products"} or None)
            say(f"drawing {task.name}")
            with shelf.bench.owning() as own:
                draw = task.draw(store, replace(plans[task.name], reserve=reserve))
            if not keep:
                shelf.bench.drop(own)
                later = {name for other in wanting[place + 1 :] for name in other.needs}
                if later:  # the last may be drawn from again
                    shelf.let_go(later)
            drawn[task.name] = Counter((sample.split, sample.domain) for sample in draw.samples)
            _drop_unfit(draw, task, config)
            draws[task.name] = draw
        say("selecting rows")
        selection = select(
            {name: draw.samples for name, draw in draws.items()},
            {name: plan.quotas for name, plan in plans.items()},
            {task.name: _rules(task, config, plans[task.name]) for task in tasks},
        )
        # A quota was missed though more rows than it asks for were drawn: the source may have more.
        wanting = [
            task
            for task in wanting
            if any(
                len(selection.samples[task.name].get(part, ())) < quota < drawn[task.name][part]
                for part, quota in plans[task.name].quotas.items()
            )
        ]
        reserve *= 4
        if not wanting or reserve > MOST_RESERVE:
            return draws, selection


def _nothing_left(sources: Path, draws: Mapping[str, Draw], selection: Selection) -> str:
    """Say why a dataset would be empty: what was left out, or that nothing was there."""
    counts: Counter[str] = Counter()
    for name, draw in draws.items():
        counts += draw.dropped + _losses(selection.dropped[name])
    if not counts:
        return f"No task has a row: check that {sources} holds the categories that the config names."
    reasons = "; ".join(f"{reason}: {count:,}" for reason, count in counts.most_common(5))
    return f"No task has a row. What was left out of those in {sources}: {reasons}."


def _drop_unfit(draw: Draw, task: Task, config: BuildConfig) -> None:
    """Take the samples that are not fit out of a draw."""
    most_words = config.tasks.get(task.name, TaskPlan()).most_words
    unfitting = unfit(draw.samples, task, config.language(task), most_words, draw.written)
    for reason, sample in unfitting:
        draw.drop(reason, 1, [sample_row(sample)])
    out = {id(sample) for _, sample in unfitting}
    draw.samples = [sample for sample in draw.samples if id(sample) not in out]


def _rules(task: Task, config: BuildConfig, plan: Plan) -> Rules:
    return Rules(
        many_answers=isinstance(task.answer, FreeText),
        products_shared=plan.by == TIME,
        near_apart=not config.tasks.get(task.name, TaskPlan()).near_duplicates,
        as_given=plan.given_split,
    )


def _write(
    folder: Path, manifest: Mapping[str, Any], selection: Selection, rejected: Sequence[Mapping[str, Any]]
) -> None:
    """Write a dataset's files."""
    for split in SPLITS:
        write_split(selection.split(split), folder / f"{split}.parquet")
    if rejected:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rejected)
        (folder / REJECTS).write_text("".join(lines), encoding="utf-8")
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
    (folder / HUB_CARD).write_text(hub_card(manifest), encoding="utf-8")


def _check(task: Task, plan: Plan, config: BuildConfig) -> None:
    """Raise ValueError where the config lacks a source or the categories that the task needs."""
    if config.is_own(task):
        return
    for table in task.needs:
        source = PROVIDERS[table]
        if table != "products" and getattr(config.sources, source) is None:  # every source brings products
            raise ValueError(
                f"Task {task.name} needs the source {source}: name its folder in the config's [sources], or "
                "leave the task out with --tasks."
            )
    if BY_CATEGORY.isdisjoint(task.needs):
        return
    where = f"in the config's [tasks.{task.name}]"
    if not plan.in_domain and any(count for (_, domain), count in plan.quotas.items() if domain == "IND"):
        raise ValueError(f"Task {task.name} needs categories: set in_domain {where}.")
    if not plan.out_of_domain and plan.quotas.get(("test", "OOD")):
        raise ValueError(
            f"Task {task.name} needs categories out of domain: set out_of_domain, or out_of_domain_test = 0, {where}."
        )


def _check_labelled(task: Task, table: str, config: BuildConfig) -> None:
    """Raise ValueError where the config asks for other rows or splits than those of the user's labelled table."""
    chosen = config.tasks.get(task.name, TaskPlan())
    for key, given in (("out_of_domain", chosen.out_of_domain), ("near_duplicates", not chosen.near_duplicates)):
        if given:
            raise ValueError(
                f"tasks.{task.name}.{key}: the rows of sources.tables.{table} say their split and are kept as they "
                "are; leave it out."
            )


def _labelled(task: Task, columns: Mapping[str, Columns]) -> str | None:
    """Return the table of the user's own whose rows a task takes as they are, splits included; None for none."""
    return next((name for name in task.needs if name in LABELLED and "split" in columns.get(name, ())), None)


def _with_all_rows(name: str, table: str, plan: Plan, store: Store, config: BuildConfig) -> Plan:
    """Return a task's plan; a quota that the config does not name is all rows of that split of the labelled table."""
    rows = store[table]
    if table in BY_CATEGORY:
        rows = rows.filter(rows.category.isin(plan.in_domain))
    counted = store.rows(rows.group_by("split").agg(rows=rows.count()))
    there = {row["split"]: int(row["rows"]) for row in counted}
    named = config.tasks.get(name, TaskPlan()).model_fields_set
    quotas = {
        (split, domain): there.get(split, 0) if domain == "IND" and split not in named else quota
        for (split, domain), quota in plan.quotas.items()
    }
    return replace(plan, quotas=quotas)


def _needs(task: Task, plan: Plan) -> set[str]:
    """Return the tables that a task draws from; to tell domains by brand it needs the products too."""
    return {*task.needs, *(["products"] if plan.by == BRAND else [])}


def _with_categories(task: Task, plan: Plan, store: Store, config: BuildConfig) -> Plan:
    """Return the plan; of own tables all categories are in domain where the config names none, and there are no
    out-of-domain rows where it names no categories for them."""
    tables = [table for table in task.needs if table in BY_CATEGORY]
    if not (tables and config.is_own(task)):
        return plan
    quotas = dict(plan.quotas)
    if ("test", "OOD") in quotas and not plan.out_of_domain:
        quotas["test", "OOD"] = 0
    there = store.rows(store[tables[0]].select("category").distinct().order_by("category"))
    names = [row["category"] for row in there]
    abroad = plan.out_of_domain if plan.by == CATEGORY else ()
    inside = plan.in_domain or tuple(name for name in names if name not in abroad)
    return replace(plan, quotas=quotas, in_domain=inside)


def _wanted(tasks: Sequence[Task], plans: Mapping[str, Plan], config: BuildConfig) -> Wanted:
    """Return the categories whose Amazon Review files the tasks need, by kind, and how much of the reviews."""
    found: dict[str, set[str]] = {"reviews": set(), "metadata": set(), "ratings": set()}
    for task in tasks:
        plan = plans[task.name]
        kinds = {kind for table in task.needs for kind in FILES.get(table, ())}
        for kind in kinds | ({"metadata"} if plan.by == BRAND else set()):
            found[kind] |= {*plan.categories("IND"), *plan.categories("OOD")}
    firsts = [config.tasks.get(task.name, TaskPlan()).first_reviews for task in tasks if "reviews" in task.needs]
    limits = [first for first in firsts if first is not None]
    # Tasks share what is read: it must be enough for each.
    return Wanted(**found, first_reviews=max(limits) if limits and len(limits) == len(firsts) else None)


def _manifest(
    config: BuildConfig,
    seed: int,
    plans: Mapping[str, Plan],
    draws: Mapping[str, Draw],
    selection: Selection,
    rejected: Iterable[dict[str, Any]],
    bench: Workbench,
    engine: Engine,
) -> dict[str, Any]:
    """Return the manifest; nothing in it depends on time, machine or path."""
    return {
        "seed": seed,
        "counts": {name: _counts(selection.samples[name], plan) for name, plan in plans.items()},
        "quotas": {name: _named(plan.quotas) for name, plan in plans.items()},
        "drawn": {name: len(draw.samples) for name, draw in draws.items()},
        "dropped": {
            name: dict(sorted((draw.dropped + _losses(selection.dropped[name])).items()))
            for name, draw in draws.items()
        },
        "spare": {name: selection.dropped[name][BEYOND] for name in draws},
        "rejected": _by_file(rejected),
        "config": config.model_dump(mode="json"),
        "deviations": deviations(config, plans, [name for name, plan in plans.items() if plan.given_split]),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("ecellm", engine.package, "ibis-framework", "pyarrow")},
        },
        "inputs": [
            {"path": file.path, "bytes": file.bytes, "sha256": file.sha256}
            for file in sorted(bench.inputs, key=lambda file: file.path)
        ],
    }


def _counts(parts: Mapping[Part, Sequence[Sample]], plan: Plan) -> dict[str, int]:
    """Return a task's rows per split and domain ("train IND"), zeros included where rows may be asked for."""
    return _named({part: len(parts.get(part, ())) for part in plan.quotas})


def _named(numbers: Mapping[Part, int]) -> dict[str, int]:
    return {f"{split} {domain}": number for (split, domain), number in numbers.items()}


def _losses(dropped: Counter[str]) -> Counter[str]:
    """Return what selection left out; what was drawn in reserve and not needed is no loss."""
    return Counter({reason: count for reason, count in dropped.items() if reason != BEYOND})


def _by_file(rejected: Iterable[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return how many raw lines were set aside, by file and reason."""
    found: dict[str, Counter[str]] = {}
    for row in rejected:
        found.setdefault(row["file"], Counter())[row["reason"]] += 1
    return {file: dict(sorted(reasons.items())) for file, reasons in sorted(found.items())}
