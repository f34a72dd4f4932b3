"""The asynchronous methods of the Python API, made of the synchronous ones: `python tests/async_methods.py` writes
them after a change, and a test compares."""

import re
import subprocess
import sys

from repository import REPOSITORY

FOLDER = REPOSITORY / "src" / "ecellm" / "inference"
SOURCE, MADE = FOLDER / "task_methods.py", FOLDER / "async_task_methods.py"
DOCSTRING = '"""The methods of the Python API for event loops, written by tests/async_methods.py."""\n'


def made() -> str:
    """Return the module."""
    _, _, text = SOURCE.read_text().partition('"""\n\n')
    text = re.sub(r"class TaskMethods", "class AsyncTaskMethods", text)
    text = re.sub(r"^    def ", "    async def ", text, flags=re.MULTILINE)
    text = re.sub(r"(self\._?[a-z_]+\()", r"await \1", text)
    return f"{DOCSTRING}\n{text}"


if __name__ == "__main__":
    MADE.write_text(made())
    subprocess.run([sys.executable, "-m", "ruff", "format", "--quiet", str(MADE)], check=True)
