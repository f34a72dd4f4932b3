"""The run of a benchmark: convert, tune for each seed, fit baselines, predict, score; finished steps are kept.

OUT/run.json                    the plan, so that another one is refused
OUT/dataset/                    the DATASET folder
OUT/NAME-seed42/, OUT/tfidf/    model/, predictions.jsonl, took.jsonl (what each step took)
OUT/benchmark.json, OUT/benchmark.md
"""

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ecellm import __version__
from ecellm.data.dataset import MANIFEST, Dataset, read_dataset
from ecellm.data.dropped import slug
from ecellm.errors import DataError
from ecellm.evaluation.bootstrap import DRAWS, ends, resampled
from ecellm.evaluation.predictions import read_predictions, tests_of
from ecellm.experiments.benchmarks.converting import convert
from ecellm.experiments.benchmarks.formats import found as found_in
from ecellm.experiments.benchmarks.formats import inputs
from ecellm.experiments.benchmarks.measures import View, crossing, views
from ecellm.experiments.benchmarks.registry import Benchmark
from ecellm.experiments.benchmarks.report import markdown
from ecellm.experiments.benchmarks.results import (
    PAGE,
    RESULT,
    Interval,
    Kind,
    PublishedFigure,
    Result,
    System,
    Took,
    ViewScores,
)
from ecellm.inference.predict import predict
from ecellm.inference.run import failed_file
from ecellm.inference.selection import questions
from ecellm.io.files import atomic_write, refuse_existing, reporting_disk_full
from ecellm.io.journal import append_entries
from ecellm.io.json_files import read_run_record
from ecellm.io.progress import QuestionProgress
from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.baselines.progress import Fitting
from ecellm.models.baselines.registry import kind
from ecellm.models.folder import is_finished
from ecellm.models.load import OPENAI, best_device, check_predicts, identity, load_generator
from ecellm.tasks.scored import Scored
from ecellm.training.recipe import read_recipe
from ecellm.training.tune import tune
from ecellm.types import DIVERSE, SPLITS

RUN, TOOK, PREDICTIONS = "run.json", "took.jsonl", "predictions.jsonl"
SETTING = f"IND_{DIVERSE}"
FIRST_SEED = 42
#: Of the bootstrap draws: all systems are resampled alike.
DRAWS_SEED = 42
DIGITS = 6

Say = Callable[[str], None]


@dataclass(frozen=True)
class BenchmarkPlan:
    """What to run."""

    benchmark: Benchmark
    data: Path
    """The folder of raw files."""
    out: Path
    recipe: str | None
    """None: nothing is tuned."""
    changes: tuple[str, ...] = ()
    """`a.b=value`, for the recipe."""
    seeds: int = 3
    models: tuple[str, ...] = ()
    """Models that are evaluated as they are."""
    baselines: tuple[str, ...] = ()
    limit: int | None = None
    """Training rows at most."""


@dataclass(frozen=True)
class _Part:
    """One model of a run."""

    name: str
    kind: Kind
    folder: Path
    model: str
    """What `load_generator` takes."""
    seed: int | None = None


def run(plan: BenchmarkPlan, say: Say) -> Result:
    """Run what is not finished yet, write OUT/benchmark.json and OUT/benchmark.md, and return the result.

    Raises DataError where the raw files are not there or not of their form, OUT holds another run or something else,
    a baseline is not for the task, or a model left questions without an answer.
    """
    parts = _parts(plan)
    found_in(plan.data, plan.benchmark.formats)
    _claim(plan)
    dataset = _dataset(plan, say)
    say(f"{plan.benchmark.title}: {_summary(_counts(dataset))}.")
    found: dict[str, list[View]] = {}
    for part in parts:
        _finish(plan, part, dataset, say)
        texts = _answers(part, dataset, plan.benchmark.task)
        found[part.name] = views(plan.benchmark, dataset, plan.data, texts)
    result = _result(plan, dataset, parts, found)
    for name, text in ((RESULT, result.model_dump_json(indent=1) + "\n"), (PAGE, markdown(result))):
        with atomic_write(plan.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return result


def _parts(plan: BenchmarkPlan) -> list[_Part]:
    """Return the models; raises DataError for a recipe, change, baseline or model that cannot be."""
    for name in plan.baselines:
        kind(name, plan.benchmark.task)
    for name in plan.models:
        check_predicts(name)
        if name.startswith(OPENAI):
            raise DataError(f"{name}: for a server's model run `ecellm predict`, which says what it costs.")
    found: list[_Part] = []
    if plan.recipe is not None:
        name = read_recipe(plan.recipe, list(plan.changes)).name
        for seed in range(FIRST_SEED, FIRST_SEED + plan.seeds):
            folder = plan.out / f"{slug(name)}-seed{seed}"
            found.append(_Part(f"{name}, seed {seed}", "tuned", folder, str(folder / "model"), seed))
    found += [_Part(name, "model", plan.out / "models" / slug(name), name) for name in plan.models]
    for name in plan.baselines:
        found.append(_Part(name, "baseline", plan.out / name, str(plan.out / name / "model")))
    if not found:
        raise DataError("There is nothing to run: name a recipe, a model or a baseline.")
    return found


def _claim(plan: BenchmarkPlan) -> None:
    """Write the plan; raises DataError where OUT holds another run, or something else."""
    recipe = None if plan.recipe is None else read_recipe(plan.recipe, list(plan.changes)).model_dump(mode="json")
    made: dict[str, object] = {"benchmark": plan.benchmark.name, "recipe": recipe, "limit": plan.limit}
    record = plan.out / RUN
    if record.is_file():
        before = read_run_record(record)
        # A run without tuning and one with it may share their dataset.
        made["recipe"] = recipe or before.get("recipe")
        before["recipe"] = before.get("recipe") or recipe
        different = [name for name in made if made[name] != before.get(name)]
        if different:
            raise DataError(f"{plan.out} holds a run with another {' and '.join(different)}: name another output.")
    else:
        refuse_existing(plan.out)
    with atomic_write(record) as path:
        path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


def _dataset(plan: BenchmarkPlan, say: Say) -> Dataset:
    """Convert the raw files, unless that was done; raises DataError where they have changed since."""
    folder = plan.out / "dataset"
    if not (folder / MANIFEST).is_file():
        say("Converting the raw files.")
        return convert(plan.benchmark, plan.data, folder)
    dataset = read_dataset(folder)
    before = dataset.manifest["inputs"]
    names = [str(file["path"]) for file in before]
    absent = [name for name in names if not (plan.data / name).is_file()]
    if absent or [asdict(file) for file in inputs(plan.data, names)] != before:
        raise DataError(f"{plan.data} holds other files than those that {folder} was made of: name another output.")
    return dataset


def _finish(plan: BenchmarkPlan, part: _Part, dataset: Dataset, say: Say) -> None:
    """Tune or fit a model and predict with it, as far as that is not finished."""
    answers = part.folder / PREDICTIONS
    if _lines(answers) == len(dataset.examples("test")):
        return
    if part.kind != "model" and not is_finished(Path(part.model)):
        say(f"{'Tuning' if part.kind == 'tuned' else 'Fitting'} {part.name}.")
        with _timed(part.folder, "tune" if part.kind == "tuned" else "fit"):
            _make(plan, part, dataset)
    say(f"Predicting with {part.name}.")
    with _timed(part.folder, "predict"):
        _predict(part, dataset, plan.benchmark.task)


def _make(plan: BenchmarkPlan, part: _Part, dataset: Dataset) -> None:
    """Tune or fit a model."""
    model = Path(part.model)
    if part.kind == "baseline":
        with Fitting() as fitting:
            choices = Choices(limit=plan.limit, device=best_device())
            fit_baseline(part.name, dataset, model, [plan.benchmark.task], choices, fitting)
        return
    assert plan.recipe is not None
    recipe = read_recipe(plan.recipe, [*plan.changes, f"optimisation.seed={part.seed}"])
    with reporting_disk_full(model):
        tune(recipe, dataset, model, tasks=[plan.benchmark.task], setting=SETTING, resume=True, limit=plan.limit)


def _predict(part: _Part, dataset: Dataset, task: str) -> None:
    """Predict all test rows; raises DataError where some got no answer."""
    out = part.folder / PREDICTIONS
    out.parent.mkdir(parents=True, exist_ok=True)
    whose = {**identity(part.model), "dataset": dataset.hash()}
    with QuestionProgress() as progress:
        counts = predict(load_generator(part.model), questions(dataset, [SETTING], [task]), out, whose, progress)
    if counts.failed:
        raise DataError(
            f"{counts.failed.total():,} questions got no answer; {failed_file(out)} says why. Run it again."
        )


def _answers(part: _Part, dataset: Dataset, task: str) -> dict[str, str]:
    """Return the texts of a model's answers by example id."""
    answered = read_predictions(part.folder / PREDICTIONS, tests_of(dataset))
    return {name: one.text for name, one in answered[task, SETTING].items()}


def _lines(path: Path) -> int:
    """Return how many complete lines a file has; 0 where it is not there."""
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@contextmanager
def _timed(folder: Path, step: str) -> Iterator[None]:
    """Time a block and append a line, however it ends."""
    wall, processor = time.perf_counter(), time.process_time()
    try:
        yield
    finally:
        seconds = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
        if folder.is_dir():  # else nothing was begun
            line = {"step": step, **{name: round(value, 2) for name, value in seconds.items()}}
            append_entries(folder / TOOK, [line])


def _took(folder: Path) -> dict[str, Took]:
    """Return what the steps took, all runs together."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    if (folder / TOOK).is_file():
        for line in (folder / TOOK).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            for name in ("wall", "processor"):
                found[row["step"]][name] += row[name]
    return {step: Took(wall=round(s["wall"], 2), processor=round(s["processor"], 2)) for step, s in found.items()}


def _result(plan: BenchmarkPlan, dataset: Dataset, parts: Sequence[_Part], found: Mapping[str, list[View]]) -> Result:
    one = plan.benchmark
    elsewhere = crossing(dataset)
    return Result(
        benchmark=one.name,
        title=one.title,
        task=one.task,
        measure=one.measure,
        metrics=list(one.metrics),
        counts=_counts(dataset),
        crossing={split: sum(example.input in elsewhere for example in dataset.examples(split)) for split in SPLITS},
        inputs=dataset.manifest["inputs"],
        dataset=dataset.hash(),
        recipe=plan.recipe,
        changes=list(plan.changes),
        limit=plan.limit,
        systems=_systems(plan, parts, found),
        published=[PublishedFigure(**asdict(figure)) for figure in one.published],
        draws=DRAWS,
        version=__version__,
    )


def _systems(plan: BenchmarkPlan, parts: Sequence[_Part], found: Mapping[str, list[View]]) -> list[System]:
    """Return the models, the mean of a recipe's seeds before them."""
    one = plan.benchmark
    tuned = [part for part in parts if part.kind == "tuned"]
    systems = [
        System(
            name=part.name,
            kind=part.kind,
            seed=part.seed,
            views=_scores(one, [found[part.name]]),
            took=_took(part.folder),
        )
        for part in parts
    ]
    if len(tuned) < 2:
        return systems
    name = f"{tuned[0].name.rpartition(',')[0]}, mean of {len(tuned)} seeds"
    took = _mean_took([_took(part.folder) for part in tuned])
    mean = System(name=name, kind="mean", views=_scores(one, [found[part.name] for part in tuned]), took=took)
    return [mean, *systems]


def _mean_took(each: Sequence[Mapping[str, Took]]) -> dict[str, Took]:
    steps = dict.fromkeys(step for took in each for step in took)
    means = {
        step: {
            name: round(float(np.mean([getattr(took[step], name) for took in each if step in took])), 2)
            for name in ("wall", "processor")
        }
        for step in steps
    }
    return {step: Took(**seconds) for step, seconds in means.items()}


def _scores(one: Benchmark, models: Sequence[Sequence[View]]) -> list[ViewScores]:
    """Return each view's figures, the mean over the models: the draws of test rows are the same for all."""
    return [
        ViewScores(
            view=same[0].name,
            rows=len(same[0].scored.stats),
            figures=_intervals([view.scored for view in same], one, same[0].name),
        )
        for same in zip(*models, strict=True)
    ]


def _intervals(models: Sequence[Scored], one: Benchmark, view: str) -> dict[str, Interval]:
    drawn = [scored.figures(resampled(scored.stats, DRAWS_SEED, one.name, view)) for scored in models]
    found = {}
    for metric in one.metrics:
        low, high = ends(np.mean([figures[metric] for figures in drawn], axis=0))
        value = float(np.mean([scored.values()[metric] for scored in models]))
        found[metric] = Interval(value=round(value, DIGITS), low=round(low, DIGITS), high=round(high, DIGITS))
    return found


def _counts(dataset: Dataset) -> dict[str, int]:
    return {split: len(dataset.examples(split)) for split in SPLITS}


def _summary(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {split}" for split, count in counts.items()) + " rows"
