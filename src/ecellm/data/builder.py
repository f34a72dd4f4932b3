"""Building a dataset: open the Store, let each task's sampler draw, select, write the folder atomically."""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from ecellm.data.config import BuildConfig, TaskPlan
from ecellm.data.dataset import write_dataset
from ecellm.data.dropped import write_dropped
from ecellm.data.engines.base import RejectedRow, Workbench
from ecellm.data.filters.quality import unfit
from ecellm.data.filters.selection import BEYOND, Part, Rules, Selection, select
from ecellm.data.manifest import Manifest
from ecellm.data.paper_deviations import deviations
from ecellm.data.readers.custom_tables import own_columns
from ecellm.data.readers.custom_tables_columns import Columns
from ecellm.data.readers.custom_tables_ids import differing_ids
from ecellm.data.samplers import SAMPLERS, Draw, Plan, Sampler
from ecellm.data.samplers.base import BRAND, CATEGORY, RESERVE, TIME
from ecellm.data.schema import Store
from ecellm.data.source_cache import PROVIDERS, READING, Shelf
from ecellm.data.sources import EngineChoice, Wanted, obstacles, open_shelf
from ecellm.errors import ConfigError, DataError
from ecellm.io.files import atomic_folder, refuse_existing
from ecellm.tasks import TASKS, Task, chosen_tasks
from ecellm.types import SPLITS, Example

#: What is drawn beyond a quota grows fourfold while a quota is missed, up to so many times the quota.
MOST_RESERVE = 8

#: Tables that samplers draw from by category.
BY_CATEGORY = {"reviews", "relations", "purchases", "questions"}
#: Tables of labelled pairs: rows of the user's own that say their split are taken as they are.
LABELLED = {"pairs", "relations", "judgements"}
#: The kinds of Amazon Review files, one per category, that a table is made of. Purchases come from
#: the ratings, what was bought from the metadata.
FILES = {"reviews": ("reviews",), "relations": ("metadata",), "purchases": ("ratings", "metadata")}

Say = Callable[[str], None]


def build(
    sources: Path,
    config: BuildConfig,
    out: Path,
    tasks: Sequence[Task],
    seed: int | None,
    say: Say,
    engine: EngineChoice | None = None,
    dropped_dir: Path | None = None,
) -> Manifest:
    """Build the dataset folder `out` and return its manifest.

    `say(step)` is called as each step begins. The rows that samplers and rules filter are written to the folder
    `dropped_dir`, where one is named. Raises DataError where a folder to write exists, a source is missing or
    unreadable, a task lacks its tables or categories, or no task has any row.
    """
    _check_folders(out, dropped_dir)
    chosen = config.seed if seed is None else seed
    columns = own_columns(sources, config.sources.tables)
    samplers = {task.name: _sampler(task, columns) for task in tasks}
    labelled = {name: table for name, sampler in samplers.items() if (table := _labelled(sampler, columns))}
    plans = {task.name: replace(config.plan(task, chosen), given_split=task.name in labelled) for task in tasks}
    missing = obstacles(sources, config.sources)
    for task in tasks:
        _check(task, samplers[task.name], plans[task.name], config, missing.get(task.name), labelled.get(task.name))
    say(f"{READING} sources")
    tables = {table for name, sampler in samplers.items() for table in _needs(sampler, plans[name])}
    with ExitStack() as stack:
        with open_shelf(sources, config.sources, _wanted(samplers, plans, config), tables, engine, say=say) as shelf:
            own = shelf.store(set())
            plans = {
                task.name: _with_categories(task, samplers[task.name], plans[task.name], own, config)
                for task in tasks
            }
            plans |= {name: _with_all_rows(name, table, plans[name], own, config) for name, table in labelled.items()}
            draws, selection = _chosen(shelf, tasks, samplers, plans, config, say, keep=dropped_dir is not None)
            rejected = shelf.bench.rejected()
            if not any(selection.split(split) for split in SPLITS):
                why = _nothing_left(sources, draws, selection) + _listed(rejected)
                raise DataError(why + differing_ids(shelf.bench, sources, config.sources.tables, columns, own))
            manifest = _manifest(
                config, chosen, plans, draws, selection, rejected, shelf.bench, engine or EngineChoice()
            )
            if dropped_dir is not None:
                say("writing the filtered rows")
                write_dropped(shelf.bench, draws, selection, stack.enter_context(atomic_folder(dropped_dir)))
        say("writing")
        examples = {split: selection.split(split) for split in SPLITS}
        write_dataset(stack.enter_context(atomic_folder(out)), examples, manifest, rejected)
    return manifest


def tasks_to_build(
    sources: Path, config: BuildConfig, names: str | None = None
) -> tuple[list[Task], Mapping[str, str]]:
    """Return the tasks of a build: those named, or all that the config names or its own tables can make; and why the
    others of its own tables cannot be built.

    Raises ConfigError for an unknown name and where there is nothing to build.
    """
    if names is not None:
        return chosen_tasks(names), {}
    if config.sources.tables.named():
        missing = obstacles(sources, config.sources)
        chosen = [task for task in TASKS.values() if task.name not in missing]
    else:
        missing, chosen = {}, [task for task in TASKS.values() if task.name in config.tasks]
    if not chosen:
        raise ConfigError("The config names nothing to build: add [tasks.PM] and the like, or tables of your own.")
    return chosen, missing


def _chosen(
    shelf: Shelf,
    tasks: Sequence[Task],
    samplers: Mapping[str, Sampler],
    plans: Mapping[str, Plan],
    config: BuildConfig,
    say: Say,
    keep: bool,
) -> tuple[dict[str, Draw], Selection]:
    """Draw and select; draw more for the tasks whose reserve the filters used up. What was read and computed is let
    go where memory is short, unless all is to be kept."""
    draws: dict[str, Draw] = {}
    drawn: dict[str, Counter[Part]] = {}
    wanting, reserve = list(tasks), RESERVE
    while True:
        for place, task in enumerate(wanting):
            sampler = samplers[task.name]
            store = shelf.store(_needs(sampler, plans[task.name]) - {"products"} or None)
            say(f"drawing {task.name}")
            with shelf.bench.owning() as own:
                draw = sampler.draw(store, replace(plans[task.name], reserve=reserve))
            if not keep:
                shelf.bench.drop(own)
                later = {name for other in wanting[place + 1 :] for name in samplers[other.name].needs}
                if later:  # the last may be drawn from again
                    shelf.let_go(later)
            drawn[task.name] = Counter((example.split, example.domain) for example in draw.examples)
            _drop_unfit(draw, task, config)
            draws[task.name] = draw
        say("selecting rows")
        selection = select(
            {name: draw.examples for name, draw in draws.items()},
            {name: plan.quotas for name, plan in plans.items()},
            {task.name: _rules(task, config, plans[task.name]) for task in tasks},
        )
        # A quota was missed though more rows than it asks for were drawn: the source may have more.
        wanting = [
            task
            for task in wanting
            if any(
                len(selection.examples[task.name].get(part, ())) < quota < drawn[task.name][part]
                for part, quota in plans[task.name].quotas.items()
            )
        ]
        reserve *= 4
        if not wanting or reserve > MOST_RESERVE:
            return draws, selection


def _nothing_left(sources: Path, draws: Mapping[str, Draw], selection: Selection) -> str:
    """Say why a dataset would be empty: what was filtered out, or that nothing was there."""
    counts: Counter[str] = Counter()
    for name, draw in draws.items():
        counts += draw.dropped + _losses(selection.dropped[name])
    if not counts:
        return f"No task has a row: check that {sources} holds rows of the categories that the config names."
    reasons = "; ".join(f"{reason}: {count:,}" for reason, count in counts.most_common(5))
    return f"No task has a row. What was filtered out of those in {sources}: {reasons}."


def _listed(rejected: Iterable[RejectedRow]) -> str:
    """Say how many lines were rejected, by file and reason; empty where none was."""
    counts = Counter((row["file"], row["reason"]) for row in rejected)
    if not counts:
        return ""
    return f" Rejected: {'; '.join(f'{file}: {why}: {count:,}' for (file, why), count in counts.most_common(5))}."


def _drop_unfit(draw: Draw, task: Task, config: BuildConfig) -> None:
    """Take the samples that are not fit out of a draw."""
    max_words = config.tasks.get(task.name, TaskPlan()).max_words
    unfitting = unfit(draw.examples, task, config.language(task), max_words, draw.written)
    for reason, example in unfitting:
        draw.drop(reason, 1, [asdict(example)])
    out = {id(example) for _, example in unfitting}
    draw.examples = [example for example in draw.examples if id(example) not in out]


def _rules(task: Task, config: BuildConfig, plan: Plan) -> Rules:
    return Rules(
        many_answers=task.answer.has_many_answers,
        products_shared=plan.by == TIME,
        near_apart=not config.tasks.get(task.name, TaskPlan()).near_duplicates,
        as_given=plan.given_split,
    )


def _check_folders(out: Path, dropped_dir: Path | None) -> None:
    """Raise DataError where a folder to write exists, or both are the same."""
    refuse_existing(out)
    if dropped_dir is not None:
        refuse_existing(dropped_dir)
        if dropped_dir.resolve() == out.resolve():
            raise DataError(f"--out and --dropped-dir both name {out}: give each a folder of its own.")


def _sampler(task: Task, columns: Mapping[str, Columns]) -> Sampler:
    """Return a task's sampler with the tables it draws from, where the user has tables of these columns.

    Raises DataError where the task has none.
    """
    if task.name not in SAMPLERS:
        raise DataError(f"Task {task.name} cannot be built: it has no sampler, its rows are only imported.")
    sampler = SAMPLERS[task.name]
    return replace(sampler, needs=sampler.tables(columns))


def _check(
    task: Task, sampler: Sampler, plan: Plan, config: BuildConfig, missing: str | None, labelled: str | None
) -> None:
    """Raise DataError where something is missing for the task, such as a source, or the categories that it needs."""
    if missing is not None:
        raise DataError(f"{task.name} cannot be built: {missing}.")
    if labelled is not None:
        _check_labelled(task, labelled, config)
    if config.is_own(task):
        return
    for table in sampler.needs:
        source = PROVIDERS[table]
        if table != "products" and getattr(config.sources, source) is None:  # every source brings products
            raise DataError(
                f"Task {task.name} needs the source {source}: name its folder in the config's [sources], or "
                "leave the task out with --tasks."
            )
    if BY_CATEGORY.isdisjoint(sampler.needs):
        return
    where = f"in the config's [tasks.{task.name}]"
    if not plan.in_domain and any(count for (_, domain), count in plan.quotas.items() if domain == "IND"):
        raise DataError(f"Task {task.name} needs categories: set in_domain {where}.")
    if not plan.out_of_domain and plan.quotas.get(("test", "OOD")):
        raise DataError(
            f"Task {task.name} needs categories out of domain: set out_of_domain, or out_of_domain_test = 0, {where}."
        )


def _check_labelled(task: Task, table: str, config: BuildConfig) -> None:
    """Raise DataError where the config asks for other rows or splits than those of the user's labelled table."""
    chosen = config.tasks.get(task.name, TaskPlan())
    for key, given in (("out_of_domain", chosen.out_of_domain), ("near_duplicates", not chosen.near_duplicates)):
        if given:
            raise DataError(
                f"tasks.{task.name}.{key}: the rows of sources.tables.{table} say their split and are kept as they "
                "are; leave it out."
            )


def _labelled(sampler: Sampler, columns: Mapping[str, Columns]) -> str | None:
    """Return the table of the user's own whose rows are taken as they are, splits included; None for none."""
    return next((name for name in sampler.needs if name in LABELLED and "split" in columns.get(name, ())), None)


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


def _needs(sampler: Sampler, plan: Plan) -> set[str]:
    """Return the tables that a sampler draws from; to tell domains by brand it needs the products too."""
    return {*sampler.needs, *(["products"] if plan.by == BRAND else [])}


def _with_categories(task: Task, sampler: Sampler, plan: Plan, store: Store, config: BuildConfig) -> Plan:
    """Return the plan; of own tables all categories are in domain where the config names none, and there are no
    out-of-domain rows where it names no categories for them."""
    tables = [table for table in sampler.needs if table in BY_CATEGORY]
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


def _wanted(samplers: Mapping[str, Sampler], plans: Mapping[str, Plan], config: BuildConfig) -> Wanted:
    """Return the categories whose Amazon Review files the tasks need, by kind, and how much of the reviews."""
    found: dict[str, set[str]] = {"reviews": set(), "metadata": set(), "ratings": set()}
    for name, sampler in samplers.items():
        plan = plans[name]
        kinds = {kind for table in sampler.needs for kind in FILES.get(table, ())}
        for kind in kinds | ({"metadata"} if plan.by == BRAND else set()):
            found[kind] |= {*plan.categories("IND"), *plan.categories("OOD")}
    reading = [name for name, sampler in samplers.items() if "reviews" in sampler.needs]
    firsts = [config.tasks.get(name, TaskPlan()).first_reviews for name in reading]
    limits = [first for first in firsts if first is not None]
    # Tasks share what is read: it must be enough for each.
    return Wanted(**found, first_reviews=max(limits) if limits and len(limits) == len(firsts) else None)


def _manifest(
    config: BuildConfig,
    seed: int,
    plans: Mapping[str, Plan],
    draws: Mapping[str, Draw],
    selection: Selection,
    rejected: Iterable[RejectedRow],
    bench: Workbench,
    engine: EngineChoice,
) -> Manifest:
    """Return the manifest; nothing in it depends on time, machine or path."""
    return {
        "seed": seed,
        "counts": {name: _counts(selection.examples[name], plan) for name, plan in plans.items()},
        "quotas": {name: _named(plan.quotas) for name, plan in plans.items()},
        "drawn": {name: len(draw.examples) for name, draw in draws.items()},
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
        "inputs": [asdict(file) for file in sorted(bench.inputs, key=lambda file: file.path)],
    }


def _counts(parts: Mapping[Part, Sequence[Example]], plan: Plan) -> dict[str, int]:
    """Return a task's rows per split and domain ("train IND"), zeros included where there is a quota."""
    return _named({part: len(parts.get(part, ())) for part in plan.quotas})


def _named(numbers: Mapping[Part, int]) -> dict[str, int]:
    return {f"{split} {domain}": number for (split, domain), number in numbers.items()}


def _losses(dropped: Counter[str]) -> Counter[str]:
    """Return what selection filtered out; what was drawn in reserve and not needed is no loss."""
    return Counter({reason: count for reason, count in dropped.items() if reason != BEYOND})


def _by_file(rejected: Iterable[RejectedRow]) -> dict[str, dict[str, int]]:
    """Return how many raw lines were rejected, by file and reason."""
    found: dict[str, Counter[str]] = {}
    for row in rejected:
        found.setdefault(row["file"], Counter())[row["reason"]] += 1
    return {file: dict(sorted(reasons.items())) for file, reasons in sorted(found.items())}
