"""The command as a whole: help, quick start, exit codes, and the commands that the README shows."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable

import pytest

from ecellm import __version__
from ecellm.cli.main import guarded
from ecellm.errors import DataError
from repository import REPOSITORY

Run = Callable[..., tuple[int, str, str]]
VERBS = (
    *("simulate", "download", "build", "check", "card", "export", "import", "show", "tune", "merge", "predict"),
    *("ask", "calibrate", "join", "baseline", "evaluate", "compare", "report", "results", "study", "reproduce"),
    *("recipes", "demo", "benchmark"),
)


def raiser(error: BaseException) -> Callable[[], None]:
    def run() -> None:
        raise error

    return run


def raiser_of_any(error: BaseException) -> Callable[..., None]:
    """The same, called with anything."""
    return lambda *args, **options: raiser(error)()


def test_help_lists_every_verb_and_each_has_help_of_its_own(run: Run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for verb in VERBS:
        assert re.search(rf"\b{verb}\b", out), verb
        own_code, own, _ = run(verb, "--help")
        assert own_code == 0 and "Usage" in own


def test_the_end_of_a_file_within_a_command_is_no_abort(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = EOFError("Compressed file ended before the end-of-stream marker was reached")
    monkeypatch.setattr("ecellm.data.dataset.read_dataset", raiser_of_any(cut))
    code, _, err = run("check", "dataset")
    assert code == 70 and "Aborted" not in err
    assert err.startswith("ecellm: error: internal error, not yours: UnexpectedEndError: Compressed file ended")


def test_the_version_is_said(run: Run) -> None:
    assert run("--version")[:2] == (0, f"ecellm {__version__}\n")


def test_help_loads_no_heavy_library() -> None:
    code = (
        "import ecellm.cli.app, sys; print([name for name in ('torch', 'transformers', 'ibis', 'sklearn', 'pandas') "
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("There is no file x."), 1, "There is no file x."),
        (DataError("r.jsonl has the column 'ti\ntle' twice."), 1, "r.jsonl has the column 'ti tle' twice."),
        (ValueError("of a library"), 70, "internal error"),
        (OSError(28, "No space left on device", "out/y"), 1, "no space left to write out/y"),
        (PermissionError(13, "Permission denied", "out"), 1, "cannot use out: permission denied"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("odd"), 70, "internal error"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(raiser(error)) == code
    err = capsys.readouterr().err
    assert message in err and len(err.splitlines()) == 1


def test_an_unknown_option_is_a_usage_error(run: Run) -> None:
    code, _, err = run("build", "--nonsense")
    assert code == 2 and "Traceback" not in err


def readme_commands() -> list[str]:
    text = (REPOSITORY / "README.md").read_text()
    return [line.strip() for line in text.splitlines() if line.startswith("    ecellm ")]


@pytest.mark.parametrize("line", readme_commands())
def test_the_readmes_commands_use_verbs_and_options_that_exist(line: str, run: Run) -> None:
    verb, *arguments = shlex.split(line)[1:]
    _, out, _ = run(verb, "--help")
    for option in (argument for argument in arguments if argument.startswith("--")):
        assert option in out, option


def test_recipes_are_listed_and_printed(run: Run) -> None:
    code, out, _ = run("recipes")
    assert code == 0 and {"xs", "demo"} <= {line.split()[0] for line in out.splitlines()}
    code, out, _ = run("recipes", "xs")
    assert code == 0 and 'name = "xs"' in out
    code, _, err = run("recipes", "nothing")
    assert code == 1 and "There is no recipe 'nothing'" in err
