"""The start of the `ecellm` command: errors become one clear line and an exit code.

Exit codes: 0 done; 1 something that the user can mend, such as a wrong file or a full disk; 2 a wrong option; 70 an
internal error; 130 interrupted.
Little is imported here, so that Ctrl-C is heard soon after the start.
"""

import os
import signal
import sys
from collections.abc import Callable

from ecellm.cli.interrupt import hear_ctrl_c
from ecellm.errors import EcellmError

INTERNAL_ERROR, INTERRUPTED = 70, 130


def main() -> None:
    """Run the command and turn errors into one line on standard error and an exit code."""
    hear_ctrl_c()
    code = guarded(_command)
    # The work is finished or abandoned: Ctrl-C must not interrupt the exit.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _command() -> None:
    from ecellm.cli.app import app

    app()


def guarded(run: Callable[[], object]) -> int:
    """Run a callable and return its exit code, with the reason of a failure on standard error."""
    try:
        run()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer turns Ctrl-C into this code without a message
            return _interrupted()
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except EcellmError as error:
        return _failed(str(error), 1)
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _failed(_about_files(error), 1)
    except Exception as error:
        return _internal(error)
    return 0


def _interrupted() -> int:
    print("ecellm: interrupted; what was finished before is kept, nothing is half-written.", file=sys.stderr)  # noqa: T201
    return INTERRUPTED


def _about_files(error: OSError) -> str:
    from ecellm.io.files import NO_ROOM

    where = f" {error.filename}" if error.filename else ""
    if error.errno in NO_ROOM:
        return f"no space left to write{where}: free some, then run the command again; nothing is half-written."
    reason = (error.strerror or str(error)).lower()
    return f"cannot use{where}: {reason}."


def _internal(error: Exception) -> int:
    if os.environ.get("ECELLM_TRACEBACK"):
        raise error
    hint = "run the command again with ECELLM_TRACEBACK=1 to see where, and report it"
    message = (str(error).splitlines() or [""])[0]
    return _failed(f"internal error, not yours: {type(error).__name__}: {message} ({hint}).", INTERNAL_ERROR)


def _failed(message: str, code: int) -> int:
    # The names of columns, which messages quote, may hold line breaks.
    print(f"ecellm: error: {' '.join(message.splitlines())}", file=sys.stderr)  # noqa: T201
    return code
