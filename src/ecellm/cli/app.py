"""The verbs of the `ecellm` command, in the order of its help; each has a file of its own."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import typer

from ecellm import __version__
from ecellm.cli.ask import ask
from ecellm.cli.baseline import baseline
from ecellm.cli.benchmark import benchmark
from ecellm.cli.build import build
from ecellm.cli.calibrate import calibrate
from ecellm.cli.card import card
from ecellm.cli.check import check
from ecellm.cli.compare import compare
from ecellm.cli.demo import demo
from ecellm.cli.download import download
from ecellm.cli.evaluate import evaluate
from ecellm.cli.export import export
from ecellm.cli.import_ import import_
from ecellm.cli.join import join
from ecellm.cli.link import dedupe, link
from ecellm.cli.merge import merge
from ecellm.cli.predict import predict
from ecellm.cli.recipes import recipes
from ecellm.cli.report import report
from ecellm.cli.reproduce import reproduce
from ecellm.cli.results import results
from ecellm.cli.serve import serve
from ecellm.cli.show import show
from ecellm.cli.simulate import simulate
from ecellm.cli.study import study
from ecellm.cli.tune import tune

P = ParamSpec("P")


class UnexpectedEndError(Exception):
    """An EOFError within a verb: an internal error, as any other library's exception."""


def _without_eof(verb: Callable[P, None]) -> Callable[P, None]:
    """Keep a verb's EOFError, such as of a cut gzip file, from typer, which takes it for the end of typed input and
    says "Aborted!"."""

    @wraps(verb)
    def run(*args: P.args, **options: P.kwargs) -> None:
        try:
            verb(*args, **options)
        except EOFError as error:
            raise UnexpectedEndError(str(error) or "a file ended early") from error

    return run


app = typer.Typer(
    name="ecellm",
    help="One small language model for ten e-commerce tasks: build the data, tune, predict, score, report.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for verb in (
    simulate,
    download,
    build,
    check,
    card,
    export,
    show,
    tune,
    calibrate,
    merge,
    predict,
    ask,
    link,
    dedupe,
    serve,
    join,
    baseline,
    evaluate,
    compare,
    report,
    results,
    study,
    reproduce,
    benchmark,
    recipes,
    demo,
):
    app.command()(_without_eof(verb))
    if verb is export:  # `import` is a keyword
        app.command("import")(_without_eof(import_))


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecellm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    pass
