"""`ecellm demo`: the main job, offline, on the simulated shop: the other verbs, one after the other."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ecellm.cli.options import Changes
from ecellm.errors import ConfigError
from ecellm.types import DIVERSE, DOMAINS, UNSEEN

#: Marks a folder that `ecellm demo` made and may replace.
MARKER = ".ecellm-demo"
RECIPE = "demo"
#: What its table shows. The rest is a matter of `ecellm predict`.
SETTINGS = tuple(f"{domain}_{part}" for part in (DIVERSE, UNSEEN) for domain in DOMAINS)


def demo(
    out: Annotated[
        Path, typer.Option(help="The folder for all that the demo writes; a folder of its own is replaced.")
    ] = Path("runs/demo"),
    scale: Annotated[float, typer.Option(min=0.01, help="How large the simulated shop is.")] = 1.0,
    seed: Annotated[int, typer.Option(help="The seed of the shop, the dataset and the tuning.")] = 42,
    set_: Changes = None,
) -> None:
    """Simulate a shop, build data for the ten tasks, tune XS on it, predict and score: all on this machine."""
    from importlib.resources import as_file, files

    from ecellm.cli.baseline import baseline
    from ecellm.cli.build import build
    from ecellm.cli.predict import predict
    from ecellm.cli.report import report
    from ecellm.cli.simulate import simulate
    from ecellm.cli.tune import tune

    _make_room(out)
    began = time.monotonic()
    data, model = out / "dataset", out / "model"
    steps: dict[str, float] = {}
    with _step(steps, "Simulated a shop"):
        simulate(out=out / "sources", scale=scale, seed=seed)
    with (
        _step(steps, "Built the dataset"),
        as_file(files("ecellm.data.simulator").joinpath("demo.toml")) as config,
    ):
        build(sources=out / "sources", config=config, out=data, seed=seed)
    with _step(steps, "Tuned XS"):
        tune(recipe=RECIPE, data=data, out=model, set_=[f"optimisation.seed={seed}", *(set_ or [])])
    with _step(steps, "Predicted with XS"):
        for setting in SETTINGS:
            predict(model=str(model), data=data, out=out / "predictions.jsonl", setting=setting)
    with _step(steps, "Fitted the TF-IDF baseline and predicted with it"):
        baseline(name="tfidf", data=data, out=out / "tfidf")
        for setting in SETTINGS[: len(DOMAINS)]:
            predict(model=str(out / "tfidf"), data=data, out=out / "tfidf.jsonl", setting=setting)
    with _step(steps, "Scored both"):
        _score(out, data, seed)
    with _step(steps, "Wrote the report"):
        _write_facts(out, scale, seed, steps)
        report(runs=[f"XS={out}"], out=out / "report.html", title="The demo", seed=seed)
    typer.echo(f"The demo took {_minutes(time.monotonic() - began)}. Everything is in {out}:")
    typer.echo("sources/ dataset/ model/ predictions.jsonl scores.json report.html")
    typer.echo("tfidf/ tfidf.jsonl tfidf_scores.json")


def _make_room(out: Path) -> None:
    """Remove an earlier demo; raises ConfigError where the folder is somebody else's."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not (out / MARKER).is_file():
            raise ConfigError(f"{out} was not made by `ecellm demo`: name another folder with --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


@contextmanager
def _step(steps: dict[str, float], name: str) -> Iterator[None]:
    """Time a step: print how long it took, and note it in seconds."""
    began = time.monotonic()
    yield
    steps[name] = time.monotonic() - began
    typer.echo(f"{name} in {_minutes(steps[name])}.", err=True)


def _score(out: Path, data: Path, seed: int) -> None:
    """Score XS and the TF-IDF baseline and print them side by side."""
    from ecellm.data.dataset import read_dataset
    from ecellm.evaluation.evaluate import evaluate, write_scores
    from ecellm.reports.console import print_comparison

    dataset = read_dataset(data)
    ours = evaluate(out / "predictions.jsonl", dataset, seed=seed)
    tfidf = evaluate(out / "tfidf.jsonl", dataset, seed=seed)
    write_scores(ours, out / "scores.json")
    write_scores(tfidf, out / "tfidf_scores.json")
    print_comparison(ours, tfidf)


def _write_facts(out: Path, scale: float, seed: int, steps: dict[str, float]) -> None:
    """Write what the scores do not say of the run: machine, command, time."""
    import os
    import platform

    from ecellm.evaluation.runs import RUN_FACTS
    from ecellm.io.files import atomic_write
    from ecellm.reports.results_page import RunFacts

    facts = RunFacts(
        title="The demo",
        model="XS",
        machine=f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        commands=(f"ecellm demo --scale {scale:g} --seed {seed}",),
        seconds={name: round(seconds, 1) for name, seconds in steps.items()},
    )
    with atomic_write(out / RUN_FACTS) as temporary:
        temporary.write_text(facts.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
