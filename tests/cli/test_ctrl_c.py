"""Ctrl-C in the command: heard at any moment, also amid an import, where modules swallow what they do not expect."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ecellm.cli.interrupt import hear_ctrl_c

#: What hears Ctrl-C as it is loaded, and takes it for something that is missing.
SWALLOWING = """
import signal
try:
    signal.raise_signal(signal.SIGINT)
except BaseException:
    heard = True
else:
    heard = False
"""


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    hook = sys.unraisablehook
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.unraisablehook = hook


@pytest.fixture
def swallowing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "swallowing.py").write_text(SWALLOWING)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("swallowing", None)


def work() -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        time.sleep(0.01)
    raise AssertionError("it went on")


def test_an_import_ends_first_and_then_it_is_raised(swallowing: None) -> None:
    hear_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        import swallowing as module  # type: ignore[import-not-found]

        assert not module.heard
        work()


def test_it_is_raised_at_once_where_nothing_is_imported() -> None:
    hear_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_one_that_a_finaliser_hears_is_raised_after_it() -> None:
    class Finalised:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    hear_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        Finalised()
        work()


def test_other_errors_of_a_finaliser_are_shown_as_ever(capsys: pytest.CaptureFixture[str]) -> None:
    class Failing:
        def __del__(self) -> None:
            raise ValueError("of a finaliser")

    hear_ctrl_c()
    Failing()
    assert "ValueError: of a finaliser" in capsys.readouterr().err


def test_a_process_that_ignores_it_goes_on_ignoring_it() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    hear_ctrl_c()
    signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize(
    "module", ["typer", "ecellm.cli.simulate", "rich.progress", "ecellm.data.simulator", "numpy"]
)
def test_a_command_that_is_still_loading_ends_with_one_sentence(module: str, tmp_path: Path) -> None:
    """Ctrl-C at the moment when the command looks for one of its modules."""
    pressing = (
        "import signal, sys\n"
        "class Pressing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {module!r}:\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Pressing())\n"
        "from ecellm.cli.main import main\n"
        "main()\n"
    )
    line = [sys.executable, "-c", pressing, "simulate", "--out", str(tmp_path / "shop"), "--scale", "20"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)
    message = "ecellm: interrupted; what was finished before is kept, nothing is half-written.\n"
    assert (done.returncode, done.stderr[-len(message) :]) == (130, message)
    assert "Traceback" not in done.stderr and list(tmp_path.iterdir()) == []
