"""One run at a time writes a file."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from ecellm.errors import DataError
from ecellm.io.locks import write_lock

SECOND = """
import sys
from pathlib import Path
from ecellm.io.locks import write_lock

with write_lock(Path(sys.argv[1])):
    pass
"""


def second_process(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", SECOND, str(path)], capture_output=True, text=True, check=False)


def test_a_second_process_is_refused_until_the_first_has_ended_and_nothing_is_changed(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("kept")
    with write_lock(out):
        assert f"DataError: Another run is writing {out}" in second_process(out).stderr
    assert second_process(out).returncode == 0
    assert out.read_text() == "kept" and [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_file_that_was_to_be_new_but_has_been_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("another run's")
    with pytest.raises(DataError, match="Another run"), write_lock(tmp_path / "out.jsonl", must_be_empty=True):
        pass


def test_a_file_system_without_locks_is_written_unprotected(tmp_path: Path) -> None:
    with patch("ecellm.io.locks.lock_descriptor", side_effect=OSError), write_lock(tmp_path / "out.jsonl"):
        assert (tmp_path / "out.jsonl").exists()
