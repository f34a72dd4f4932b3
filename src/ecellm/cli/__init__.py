"""The `ecellm` command: one file a verb; errors become one clear line and an exit code.

Exit codes: 0 done; 1 a user's mistake or a full disk; 2 a wrong option; 70 a fault of ours; 130 interrupted.
"""

import os
import signal
import sys
from collections.abc import Callable

import typer

from ecellm import __version__
from ecellm.cli.ask import ask
from ecellm.cli.baseline import baseline
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
from ecellm.cli.merge import merge
from ecellm.cli.predict import predict
from ecellm.cli.recipes import recipes
from ecellm.cli.report import report
from ecellm.cli.reproduce import reproduce
from ecellm.cli.results import results
from ecellm.cli.show import show
from ecellm.cli.simulate import simulate
from ecellm.cli.study import study
from ecellm.cli.tune import tune
from ecellm.files import NO_ROOM

FAULT, INTERRUPTED = 70, 130

app = typer.Typer(
    name="ecellm",
    help="One small language model for ten e-commerce tasks: build the data, tune, ask, score, report.",
    no_args_is_help=True,
    add_completion=False,
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
    join,
    baseline,
    evaluate,
    compare,
    report,
    results,
    study,
    reproduce,
    recipes,
    demo,
):
    app.command()(verb)
    if verb is export:  # `import` is a word of Python's
        app.command("import")(import_)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ecellm {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say which version."),
) -> None:
    pass


def main() -> None:
    """Run the command and turn errors into one line on standard error and an exit code."""
    code = guarded(app)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done or given up: Ctrl-C changes nothing now
    sys.exit(code)


def guarded(run: Callable[[], object]) -> int:
    """Run something; return the exit code that its end deserves, having said why."""
    try:
        run()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer turns Ctrl-C into this code and says nothing
            return _interrupted()
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except ValueError as error:
        return _said(str(error), 1)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _said(_about_files(error), 1)
    except Exception as error:
        return _fault(error)
    return 0


def _interrupted() -> int:
    print("ecellm: interrupted; what was finished before is kept, nothing is half-written.", file=sys.stderr)  # noqa: T201
    return INTERRUPTED


def _about_files(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    if error.errno in NO_ROOM:
        return f"no space left to write{where}: free some, then run the command again; nothing is half-written."
    reason = (error.strerror or str(error)).lower()
    return f"cannot use{where}: {reason}."


def _fault(error: Exception) -> int:
    if os.environ.get("ECELLM_TRACEBACK"):
        raise error
    hint = "set ECELLM_TRACEBACK=1 to see where, and report it"
    said = (str(error).splitlines() or [""])[0]
    return _said(f"a fault of ours, not yours: {type(error).__name__}: {said} ({hint}).", FAULT)


def _said(message: str, code: int) -> int:
    print(f"ecellm: error: {message}", file=sys.stderr)  # noqa: T201
    return code
