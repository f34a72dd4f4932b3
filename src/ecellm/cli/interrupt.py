"""Ctrl-C in the command: always a KeyboardInterrupt, and never lost in an import.

Python's own handler raises wherever the main thread is. Amid an import that is harmful: modules and their C code
catch it as if something were missing, or turn it into an error of their own, and the command goes on or fails.
"""

import signal
import sys
import threading
from _thread import interrupt_main
from types import FrameType

#: Seconds until a Ctrl-C that could not be raised is tried again.
AGAIN = 0.05


def hear_ctrl_c() -> None:
    """Have Ctrl-C raise KeyboardInterrupt in the main thread, once no import is under way.

    One that Python swallows because a finaliser ran (`sys.unraisablehook`) is raised again. A process that
    ignores Ctrl-C from its start, as those in a shell's background do, keeps ignoring it.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _pressed)
        sys.unraisablehook = _unraised


def _pressed(number: int, frame: FrameType | None) -> None:
    if _importing(frame):
        _press_again()
    else:
        raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib."):
            return True
        frame = frame.f_back
    return False


def _unraised(problem: "sys.UnraisableHookArgs") -> None:
    if issubclass(problem.exc_type, KeyboardInterrupt):
        _press_again()
    else:
        sys.__unraisablehook__(problem)


def _press_again() -> None:
    timer = threading.Timer(AGAIN, interrupt_main)
    timer.daemon = True
    timer.start()
