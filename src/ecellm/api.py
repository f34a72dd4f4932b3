"""The verbs of the command line as Python functions; `import ecellm` offers them.

    import ecellm

    data = ecellm.build_dataset("sources", "config.toml", "dataset")
    model = ecellm.load_model(ecellm.tune("xs", data, "model"))
    ecellm.predict("model", data, "predictions.jsonl")
    scores = ecellm.evaluate("predictions.jsonl", data)

Paths may be texts, and a dataset its folder. Every function raises an `EcellmError` for a user's mistake.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ecellm.data.dataset import Dataset
    from ecellm.evaluation.score_rows import Scores
    from ecellm.inference.model import Model
    from ecellm.inference.run import RunCounts
    from ecellm.models.base import Decoding, Progress
    from ecellm.models.precision import Precision
    from ecellm.models.remote.client import Server


def load_model(
    model: str | Path,
    *,
    device: str | None = None,
    precision: "Precision | None" = None,
    template: str | None = None,
    decoding: "Decoding | None" = None,
    server: "Server | None" = None,
) -> "Model":
    """Load a model: a MODEL folder, a base, `vllm:` and one of these, or `openai:` and a server's model. (`Client` is
    the same for a model behind `ecellm serve`.)

    `device` is torch's name of one (None: the accelerator where there is one, else the CPU); `precision` fp32, bf16
    or int8, on a CPU; `template` the name or JSON file of a prompt template, for what was not tuned here; `decoding`
    how answers are made (None: candidates are scored, text is greedy); `server` how an `openai:` model is reached.

    Raises ModelError where there is no such model or it does not support an option, and ConfigError for a template
    that does not exist.
    """
    from ecellm.inference.model import Model
    from ecellm.models.base import Decoding
    from ecellm.models.load import load_generator

    how = decoding or Decoding()
    if precision is not None and isinstance(how, Decoding):
        how = replace(how, precision=precision)
    return Model(load_generator(model, how, template, server, device=device))


def load_dataset(folder: str | Path) -> "Dataset":
    """Open a DATASET folder; rows are read when they are needed.

    Raises DataError where it is none.
    """
    from ecellm.data.dataset import read_dataset

    return read_dataset(Path(folder))


def build_dataset(
    sources: str | Path,
    config: str | Path,
    out: str | Path,
    *,
    tasks: Collection[str] | None = None,
    engine: Literal["duckdb", "spark"] = "duckdb",
    seed: int | None = None,
) -> "Dataset":
    """Build a DATASET folder from raw files as a build config says, and open it.

    `tasks` are abbreviations (None: all that the config names); `seed` stands instead of the config's.

    Raises ConfigError for a config that cannot be used, and DataError where a source is missing or unreadable, no
    task has any row, or `out` exists.
    """
    from ecellm.data.builder import build, tasks_to_build
    from ecellm.data.config import read_config
    from ecellm.data.sources import EngineChoice

    settings = read_config(Path(config))
    chosen, _ = tasks_to_build(Path(sources), settings, _names(tasks))
    build(Path(sources), settings, Path(out), chosen, seed, lambda step: None, EngineChoice(engine))
    return load_dataset(out)


def tune(
    recipe: str | Path,
    data: "Dataset | str | Path",
    out: str | Path,
    *,
    tasks: Collection[str] | None = None,
    setting: str = "IND_Diverse_Instruction",
    resume: bool = False,
    limit: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Tune a model on a dataset and return its MODEL folder, `out`.

    `recipe` is a shipped recipe's name or a TOML file, changed by `overrides` such as "optimisation.epochs=1";
    `limit` keeps so many training rows, spread evenly over tasks; `resume` resumes an interrupted run.

    Raises ConfigError for a recipe that cannot be used, where the dataset has no training rows for tasks and setting,
    and where `out` holds another run; DataError where it is locked or no run; ModelError for a base not found.
    """
    from ecellm.tasks import chosen_tasks
    from ecellm.training.recipe import read_recipe
    from ecellm.training.tune import tune as run

    named = _names(tasks)
    run(
        read_recipe(str(recipe), list(overrides)),
        _dataset(data),
        Path(out),
        tasks=None if named is None else [task.name for task in chosen_tasks(named)],
        setting=setting,
        resume=resume,
        limit=limit,
    )
    return Path(out)


def predict(
    model: str | Path,
    data: "Dataset | str | Path",
    out: str | Path,
    *,
    settings: Sequence[str] | None = None,
    tasks: Collection[str] | None = None,
    limit: int | None = None,
    template: str | None = None,
    decoding: "Decoding | None" = None,
    server: "Server | None" = None,
    progress: "Progress | None" = None,
) -> "RunCounts":
    """Answer the test questions of a dataset and append the predictions to `out`, as JSON lines.

    `settings` are names such as "OOD_Unseen_Instruction" (None: all that the dataset has); `limit` is a total, spread
    evenly over tasks; `model`, `template`, `decoding` and `server` are as of `load_model`. An interrupted run is
    resumed.

    Raises DataError where `out` holds the answers of another run, ModelError as `load_model`, and ServerError where
    too many requests fail.
    """
    from ecellm.inference.predict import predict as run
    from ecellm.inference.selection import questions
    from ecellm.models.load import check_predicts, identity, load_generator, tasks_of
    from ecellm.tasks import chosen_tasks

    check_predicts(model)
    dataset, named = _dataset(data), _names(tasks)
    chosen = tasks_of(str(model)) if named is None else [task.name for task in chosen_tasks(named)]
    chosen_questions = questions(dataset, settings, chosen, limit)
    run_of = {**identity(model, decoding, template, server), "dataset": dataset.hash()}
    return run(load_generator(model, decoding, template, server), chosen_questions, Path(out), run_of, progress)


def evaluate(
    predictions: str | Path,
    data: "Dataset | str | Path",
    out: str | Path | None = None,
    *,
    by: Sequence[str] = (),
    seed: int = 42,
) -> "Scores":
    """Score a predictions file, strictly and by the published rules; write the scores to `out` where one is named.

    Returns what stands in SCORES.json: under "scores" one row per task, setting, scoring and metric, with its
    bootstrap interval. `by` also scores parts of the rows: "category", "length", "label" or a column of the rows.

    Raises DataError where the predictions cannot be read or are not of this dataset.
    """
    from ecellm.evaluation.evaluate import evaluate as run
    from ecellm.evaluation.evaluate import write_scores

    scores = run(Path(predictions), _dataset(data), seed=seed, by=by)
    if out is not None:
        write_scores(scores, Path(out))
    return scores


def _dataset(data: "Dataset | str | Path") -> "Dataset":
    return load_dataset(data) if isinstance(data, str | Path) else data


def _names(tasks: Collection[str] | None) -> str | None:
    """Return tasks as the command line takes them, so that both know the same names."""
    if tasks is None or isinstance(tasks, str):
        return tasks
    return ",".join(tasks)
