"""A supervisor of workers without models, as a process of its own: `python supervised.py KIND FOLDER`.

Each worker writes its process id to FOLDER/NUMBER.pid once it is ready, and a line to FOLDER/log for each reload.
"""

import os
import socket
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from ecellm.cli.main import guarded
from ecellm.serving import supervisor
from ecellm.serving.logs import set_up
from ecellm.serving.messages import Failed, Ready, Reload, ReloadAll, Reloaded


def work(connection: Connection, number: int, listening: socket.socket, kind: str, folder: str) -> None:
    """Be a worker of some kind."""
    import signal

    signal.pthread_sigmask(signal.SIG_UNBLOCK, supervisor.SIGNALS)
    places = Path(folder)
    if kind == "dies" or (kind == "dies-later" and (places / "broken").exists()):
        os._exit(3)
    if kind == "fails":
        connection.send(Failed("ModelError", "There is no such model."))
        sys.exit(1)
    if kind == "hangs":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection.send(Ready())
    (places / f"{number}.pid").write_text(str(os.getpid()))
    if kind == "reloads" and number == 0:
        connection.send(ReloadAll(7))
    while True:
        try:
            message = connection.recv()
        except EOFError:
            sys.exit(0)
        with (places / "log").open("a") as log:
            log.write(f"{number} {message}\n")
        if isinstance(message, Reload):
            time.sleep(0.1)
            failed = (places / "broken").exists() and number == 1
            with (places / "log").open("a") as log:
                log.write(f"{number} done\n")
            connection.send(Reloaded("It is broken." if failed else None))


def main(kind: str, folder: str) -> None:
    """Run it, with short pauses."""
    supervisor.FIRST_PAUSE, supervisor.ENDING_SECONDS = 0.01, 0.2
    set_up()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = supervisor.Supervisor(work, (kind, folder), 2, listening, 0.2)
        sys.exit(guarded(made.run))


if __name__ == "__main__":
    main(*sys.argv[1:])
