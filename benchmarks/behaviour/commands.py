"""Running the `ecellm` command in processes of its own, one thread each, away from the network and from GPUs."""

import os
import subprocess
import sys
import time
from pathlib import Path

#: So much of what a failed command wrote on standard error is shown.
LAST_LINES = 20
#: Sums depend on the number of threads, and on the device.
SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
    "HF_HUB_OFFLINE": "1",
}


class CommandFailedError(Exception):
    """A command ended with another exit code than 0."""


class Commands:
    """Runs the command in a folder, and says how long each run took; after one has failed, no other begins."""

    def __init__(self, folder: Path):
        self.folder = folder
        paths = [str(Path(path).resolve()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        self.environment = {
            **os.environ,
            **SETTINGS,
            "PYTHONPATH": os.pathsep.join(paths),
            "ECELLM_CACHE": str(folder / "cache"),
        }
        self._failed: CommandFailedError | None = None
        imported = self._execute("-c", "import ecellm; print(ecellm.__file__)")
        if imported.returncode:
            raise CommandFailedError(f"ecellm cannot be imported:\n{_end(imported.stderr)}")
        print(f"running {imported.stdout.strip()}", flush=True)

    def run(self, step: str, *arguments: object) -> None:
        """Run `ecellm` with the arguments; raises CommandFailedError, which names the step, where it fails."""
        if self._failed:
            raise self._failed
        began = time.monotonic()
        done = self._execute("-m", "ecellm", *map(str, arguments))
        if done.returncode:
            command = " ".join(["ecellm", *map(str, arguments)])
            self._failed = CommandFailedError(
                f"{step} failed with exit code {done.returncode}: {command}\n{_end(done.stderr)}"
            )
            raise self._failed
        print(f"{time.monotonic() - began:6.1f} s  {step}", flush=True)

    def _execute(self, *line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *line],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )


def _end(text: str) -> str:
    return "\n".join(text.splitlines()[-LAST_LINES:])
