"""The page of results: written from stored scores and run facts, so that no figure is typed by hand.

A folder holds `introduction.md`, the head of the page, and one folder a run, shown in order of their names, each with

    run.json       title, machine, seconds of each step, other facts (`RunFacts`)
    scores.json    the model's SCORES.json
    tfidf.json     the TF-IDF baseline's SCORES.json on the same dataset
    manifest.json  the dataset's manifest; its counts are shown
    text.md        what it shows and what it does not, written by hand

and, for the learning curves and for other seeds, where they were taken,

    log.jsonl      the tuning log: validation loss by task, pass by pass
    rows/N.json    SCORES.json of the same recipe tuned on N rows
    seeds/N.json   SCORES.json of the same recipe and rows with seed N

and, where models made for one task answered the same rows,

    models/NAME.json      the SCORES.json of each
    compared/NAME.json    what `ecellm compare MODEL NAME --out` wrote of it beside the run's model, if taken
    models.md             what they show, written by hand

or one folder a study, with the `study.md` that `ecellm study` wrote and text.md. Where there is no such folder, the
page is the introduction alone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ecellm.data.dataset import MANIFEST, read_manifest
from ecellm.data.manifest import PARTS
from ecellm.errors import DataError
from ecellm.evaluation.compare import holm, read_differences
from ecellm.evaluation.published_scores import BEST, NAMES, SOURCE, quoted_rows
from ecellm.evaluation.runs import main_rows, read_scores
from ecellm.evaluation.score_rows import ScoreRow
from ecellm.io.config_files import first_problem
from ecellm.io.files import atomic_write
from ecellm.io.json_files import read_json
from ecellm.io.markdown import markdown_table
from ecellm.reports.score_grid import DOMAIN_NAMES
from ecellm.reports.tables import NONE, interval_text, metric_text
from ecellm.tasks import TASKS
from ecellm.types import DIVERSE, DOMAINS, UNSEEN

INTRODUCTION, RUN, STUDY = "introduction.md", "run.json", "study.md"


class RunFacts(BaseModel):
    """What the scores do not say about a run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    model: str
    """Heads the model's column."""
    machine: str
    commands: tuple[str, ...]
    seconds: dict[str, float]
    """Wall-clock seconds of each step, in order."""
    facts: dict[str, str] = {}
    """Anything else, such as the peak memory."""
    fitted: dict[str, dict[str, float]] = {}
    """Seconds in which the models made for one task were fitted, by name and task."""


def results_page(folder: Path) -> str:
    """Return the page as Markdown; raises DataError naming a file that is missing or out of form."""
    folders = sorted(path for path in folder.glob("*") if path.is_dir())
    if not folders and not (folder / INTRODUCTION).is_file():
        raise DataError(
            f"{folder} has no results: put {INTRODUCTION} there, and each run or study in a folder below it."
        )
    files = [path / name for path in folders for name in _kinds(path)]
    first = next((file for file in files if file.name == RUN), None)
    sections = (_study(file.parent) if file.name == STUDY else _section(file.parent, file == first) for file in files)
    return "\n\n".join([_text(folder / INTRODUCTION), *sections]) + "\n"


def _kinds(folder: Path) -> list[str]:
    """Return which of run and study a folder holds; raises DataError where it holds neither."""
    found = [name for name in (RUN, STUDY) if (folder / name).is_file()]
    if not found:
        raise DataError(f"{folder} has neither {RUN} nor {STUDY}: complete it, or remove it.")
    return found


def write_results_page(folder: Path, out: Path) -> None:
    """Write the page atomically."""
    page = results_page(folder)
    with atomic_write(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _section(run: Path, quoting: bool) -> str:
    """A run's section; the paper's figures, which are the same for all, stand where it is `quoting` them."""
    facts = read_run_facts(run / RUN)
    scores, tfidf = _scores(run / "scores.json"), _scores(run / "tfidf.json")
    times = ", ".join(f"{step} {seconds:,.0f} s" for step, seconds in facts.seconds.items())
    lines = [f"Machine: {facts.machine}.", f"Times: {times}."]
    lines += [f"{name[:1].upper()}{name[1:]}: {value}." for name, value in facts.facts.items()]
    commands = "\n".join(f"    {command}" for command in facts.commands)
    tables = [
        "\n\n".join([f"### {DOMAIN_NAMES[domain]}", table, *([_quoted_table(domain)] if quoting else [])])
        for domain in DOMAINS
        if (table := _score_table(domain, facts.model, scores, tfidf))
    ]
    return "\n\n".join(
        [
            f"## {facts.title}",
            commands,
            "\n".join(f"- {line}" for line in lines),
            f"### Rows\n\n{_count_table(read_manifest(run / MANIFEST), run)}",
            *tables,
            *_models(run, facts, scores, tfidf),
            *_seeds(run, facts.model, scores),
            *_curves(run, scores),
            _text(run / "text.md"),
        ]
    )


def _quoted_table(domain: str) -> str:
    """One line a task: the paper's figures, of its own rows."""
    rows = {name: row for name, row in quoted_rows(f"{domain}_{DIVERSE}").items() if name in {BEST, *NAMES.values()}}
    lines = [
        [task, *(f"{row[task].value:.3f}" if task in row else NONE for row in rows.values())]
        for task in TASKS
        if any(task in row for row in rows.values())
    ]
    return f"Quoted from {SOURCE}, on ECInstruct's own rows:\n\n{markdown_table(['task', *rows], lines)}"


def _study(folder: Path) -> str:
    """A study's own page, one level down, and what it shows."""
    page = _text(folder / STUDY)
    return "\n\n".join([f"#{page}", _text(folder / "text.md")])


def _models(run: Path, facts: RunFacts, scores: Sequence[ScoreRow], tfidf: Sequence[ScoreRow]) -> list[str]:
    """Return the models made for one task, each beside the run's own, both baselines and the paper's best."""
    ours, beside = main_rows(scores), main_rows(tfidf)
    others = {path.stem: main_rows(_scores(path)) for path in sorted((run / "models").glob("*.json"))}
    verdicts = _verdicts(run)
    paper = {f"{domain}_{DIVERSE}": quoted_rows(f"{domain}_{DIVERSE}").get(BEST, {}) for domain in DOMAINS}
    lines = []
    for task in TASKS:
        for domain in DOMAINS:
            place = (task, f"{domain}_{DIVERSE}")
            best = paper[place[1]].get(task)
            for name, rows in others.items():
                if place not in rows or place not in ours:
                    continue
                seconds = facts.fitted.get(name, {}).get(task)
                lines.append(
                    [
                        task,
                        DOMAIN_NAMES[domain].lower(),
                        name,
                        interval_text(rows[place]),
                        verdicts.get((name, *place), NONE),
                        interval_text(ours[place]),
                        interval_text(beside[place]) if place in beside else NONE,
                        f"{rows[place]['floor']:.3f}",
                        f"{best.value:.3f} ({best.model})" if best else NONE,
                        NONE if seconds is None else f"{seconds:,.0f}",
                    ]
                )
    if not lines:
        return []
    head = ["task", "rows", "made for the task", "its score", f"against {facts.model}", facts.model]
    head += ["TF-IDF baseline", "best trivial baseline", "the paper's best", "seconds to fit"]
    table = markdown_table(head, lines)
    return [f"### Models made for one task\n\n{table}\n\n{_text(run / 'models.md')}"]


def _verdicts(run: Path) -> dict[tuple[str, str, str], str]:
    """Return how the models made for one task stand against the run's own, by (name, task, setting).

    The p-values are Holm's over all lines of all of them.
    """
    found = []
    for path in sorted((run / "compared").glob("*.json")):
        differences, paired = read_differences(path)
        found += [(path.stem, paired, difference) for difference in differences]
    adjusted = holm([difference for _, _, difference in found])
    return {
        (name, difference.task, difference.setting): difference.verdict + ("" if paired else ", by intervals")
        for (name, paired, _), difference in zip(found, adjusted, strict=True)
    }


def _seeds(run: Path, model: str, scores: Sequence[ScoreRow]) -> list[str]:
    """Return the same recipe's scores by seed, with their mean: what the order of the rows alone changes."""
    others = {path.stem: main_rows(_scores(path)) for path in sorted((run / "seeds").glob("*.json"))}
    if not others:
        return []
    columns = [main_rows(scores), *others.values()]
    lines = []
    for task in TASKS:
        for domain in DOMAINS:
            place = (task, f"{domain}_{DIVERSE}")
            if not all(place in column for column in columns):
                continue
            values = [column[place]["value"] for column in columns]
            apart = max(values) - min(values)
            cells = [*values, sum(values) / len(values), apart, columns[0][place]["floor"]]
            lines.append([task, DOMAIN_NAMES[domain].lower(), *(f"{cell:.3f}" for cell in cells)])
    head = ["task", "rows", model, *(f"seed {name}" for name in others), "mean", "apart at most"]
    return [f"### By seed\n\n{markdown_table([*head, 'best trivial baseline'], lines)}"]


def _curves(run: Path, scores: Sequence[ScoreRow]) -> list[str]:
    """Return the learning curves that were taken: by training rows, and by passes over them."""
    found = []
    sizes = sorted((int(path.stem), path) for path in (run / "rows").glob("*.json"))
    if sizes:
        found.append(f"### By training rows, in domain\n\n{_size_table(sizes, scores)}")
    if (run / "log.jsonl").is_file():
        found.append(f"### Validation loss by passes over the training rows\n\n{_loss_table(run / 'log.jsonl')}")
    return found


def _size_table(sizes: Sequence[tuple[int, Path]], scores: Sequence[ScoreRow]) -> str:
    """One line a task: strict values of the recipe on fewer rows, then on all."""
    columns = [*(main_rows(_scores(path)) for _, path in sizes), main_rows(scores)]
    setting = f"IND_{DIVERSE}"
    lines = [
        [task, *(interval_text(rows[task, setting]) if (task, setting) in rows else NONE for rows in columns)]
        for task in TASKS
        if (task, setting) in columns[-1]
    ]
    return markdown_table(["task", *(f"{size:,} rows" for size, _ in sizes), "all rows"], lines)


def _loss_table(log: Path) -> str:
    """One line a check, one column a task."""
    prefix = "eval_loss_"
    try:
        checks = [row for row in map(json.loads, _text(log).splitlines()) if "eval_loss" in row]
        tasks = [task for task in TASKS if checks and prefix + task in checks[0]]
        lines = [
            [f"{row['epoch']:.2f}", f"{row['eval_loss']:.3f}", *(f"{row[prefix + task]:.3f}" for task in tasks)]
            for row in checks
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{log} is no tuning log: take it from the MODEL folder.") from error
    return markdown_table(["passes", "mean of tasks", *tasks], lines)


def _score_table(domain: str, model: str, scores: Sequence[ScoreRow], tfidf: Sequence[ScoreRow]) -> str:
    """Return a table with one line a task, or "": the strict value with its interval, beside the TF-IDF baseline, the
    best trivial baseline, the unseen instruction and the published rules."""
    strict, published = main_rows(scores), main_rows(scores, "published")
    beside = main_rows(tfidf)
    lines = []
    for task in TASKS:
        place = (task, f"{domain}_{DIVERSE}")
        if place not in strict:
            continue
        row, other, unseen = strict[place], beside.get(place), strict.get((task, f"{domain}_{UNSEEN}"))
        lines.append(
            [
                task,
                metric_text(row),
                interval_text(row),
                interval_text(other) if other else NONE,
                f"{row['floor']:.3f} ({row['floor_name']})",
                interval_text(unseen) if unseen else NONE,
                f"{published[place]['value']:.3f}",
                f"{row['n']:,}",
                f"{row['unparsed']:,}",
                f"{row['missing']:,}",
            ]
        )
    if not lines:
        return ""
    names = ["task", "metric", model, "TF-IDF baseline", "best trivial baseline", f"{model}, unseen instruction"]
    return markdown_table([*names, "published rules", "rows", "unparsed", "missing"], lines)


def _count_table(manifest: Mapping[str, object], run: Path) -> str:
    counts = manifest.get("counts")
    if not isinstance(counts, dict):
        raise DataError(f"{run / 'manifest.json'} has no counts: copy the dataset's manifest.")
    lines = [[task, *(f"{counts[task].get(part, 0):,}" for part in PARTS)] for task in TASKS if task in counts]
    return markdown_table(["task", "train", "validation", "test, in domain", "test, out of domain"], lines)


def read_run_facts(path: Path) -> RunFacts:
    """Return the facts in a run.json; raises DataError naming the file and what is wrong in it."""
    try:
        return RunFacts.model_validate(read_json(path))
    except ValidationError as error:
        raise DataError(f"{path}: {first_problem(error)}") from error


def _scores(path: Path) -> list[ScoreRow]:
    return read_scores(path)["scores"]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
