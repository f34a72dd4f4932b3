"""`ecellm demo`: the main job, offline, on the simulated shop."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

#: Marks a folder that `ecellm demo` made and may replace.
MARKER = ".ecellm-demo"
DEMO_CONFIG = "demo.toml"


def demo(
    out: Annotated[
        Path, typer.Option(help="The folder for all that the demo writes; its own folder is replaced.")
    ] = Path("runs/demo"),
    scale: Annotated[float, typer.Option(min=0.01, help="How large the simulated shop is.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the shop, the dataset and the tuning.")] = 42,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Change a key of the recipe: optimisation.epochs=1.")
    ] = None,
) -> None:
    """Simulate a shop, build data for the ten tasks, tune XS on it, ask it, score it: all on this machine."""
    from rich.console import Console

    from ecellm.tuning.recipe import read_recipe

    console = Console(stderr=True)
    recipe = read_recipe("demo", [f"optimisation.seed={seed}", *(set_ or [])])
    _make_room(out)
    began = time.monotonic()
    _simulate(out, scale, seed, console)
    _build(out, seed, console)
    _tune(out, recipe, console)
    _ask(out, console)
    scores = _score(out, seed, console)
    _show(out, scores)
    typer.echo(f"All of it took {_minutes(time.monotonic() - began)}. Everything is in {out}:")
    typer.echo("  sources/ dataset/ model/ predictions.jsonl scores.json cheap.jsonl cheap_scores.json")


def _make_room(out: Path) -> None:
    """Remove an earlier demo; raises ValueError where the folder is somebody else's."""
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]):
        if not (out / MARKER).is_file():
            raise ValueError(f"{out} was not made by `ecellm demo`: name another folder with --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    (out / MARKER).touch()


def _timed(console: "Console", name: str, step: Callable[[], Any]) -> Any:
    began = time.monotonic()
    result = step()
    console.print(f"[bold]{name}[/bold]: {_minutes(time.monotonic() - began)}")
    return result


def _simulate(out: Path, scale: float, seed: int, console: "Console") -> None:
    from ecellm.sources.simulator import simulate

    _timed(console, "Simulated the shop", lambda: simulate(out / "sources", scale=scale, seed=seed))


def _build(out: Path, seed: int, console: "Console") -> None:
    from importlib.resources import as_file, files

    from ecellm.cli.build import show
    from ecellm.dataset.build import build
    from ecellm.dataset.config import read_config
    from ecellm.tasks import TASKS

    with as_file(files("ecellm.sources.simulator").joinpath(DEMO_CONFIG)) as path:
        config = read_config(path)
    tasks = list(TASKS.values())

    def step() -> dict[str, Any]:
        with console.status("building") as status:
            return build(out / "sources", config, out / "dataset", tasks, seed, lambda said: status.update(said))

    show(_timed(console, "Built the dataset", step), console)


def _tune(out: Path, recipe: Any, console: "Console") -> None:
    from ecellm.dataset.dataset import read_dataset
    from ecellm.tuning.tune import tune

    dataset = read_dataset(out / "dataset")
    _timed(console, "Tuned XS", lambda: tune(recipe, dataset, out / "model", console=console))


def _ask(out: Path, console: "Console") -> None:
    from ecellm.baselines.cheap import predict_cheaply
    from ecellm.dataset.dataset import read_dataset
    from ecellm.inference.asking import Asking
    from ecellm.inference.load import load_generator
    from ecellm.inference.predict import predict, questions
    from ecellm.models.folder import model_hash

    dataset = read_dataset(out / "dataset")
    whose = {"model": model_hash(out / "model"), "dataset": dataset.hash()}

    def step() -> None:
        asked = questions(dataset, None, None, None)
        with Asking(console) as progress:
            predict(load_generator(out / "model"), asked, out / "predictions.jsonl", whose, progress)

    _timed(console, "Asked XS", step)
    _timed(console, "Fitted and asked the cheap models", lambda: predict_cheaply(dataset, out / "cheap.jsonl"))


def _score(out: Path, seed: int, console: "Console") -> dict[str, dict[str, Any]]:
    from ecellm.dataset.dataset import read_dataset
    from ecellm.evaluation.evaluate import evaluate, write_scores

    dataset = read_dataset(out / "dataset")
    scores = {}
    for name, answers, file in (
        ("XS", "predictions.jsonl", "scores.json"),
        ("cheap", "cheap.jsonl", "cheap_scores.json"),
    ):
        scores[name] = _timed(console, f"Scored {name}", lambda a=answers: evaluate(out / a, dataset, seed=seed))
        write_scores(scores[name], out / file)
    return scores


def _show(out: Path, scores: dict[str, dict[str, Any]]) -> None:
    from ecellm.evaluation.table import print_comparison

    print_comparison(scores["XS"], scores["cheap"])


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
