"""The `ecellm` command: one file a verb; errors become one clear line and an exit code.

Exit codes: 0 done; 1 a user's mistake or a full disk; 2 a wrong option; 70 a fault of ours; 130 interrupted.
Little is imported here, so that Ctrl-C is heard soon after the start.
"""

import os
import signal
import sys
from collections.abc import Callable

from ecellm.cli.interrupt import hear_ctrl_c

FAULT, INTERRUPTED = 70, 130


def main() -> None:
    """Run the command and turn errors into one line on standard error and an exit code."""
    hear_ctrl_c()
    code = guarded(_command)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the work is done or given up: Ctrl-C changes nothing now
    sys.exit(code)


def _command() -> None:
    from ecellm.cli.app import app

    app()


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
    from ecellm.files import NO_ROOM

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
