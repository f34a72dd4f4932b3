"""JSON that a command left behind, and that was damaged since, is refused with its name."""

from pathlib import Path

import pytest

from ecellm.errors import DataError
from ecellm.io.json_files import read_json, read_run_record

DAMAGED = {
    b'{"seed": 4': "is not valid JSON",
    b"\xff\xfe": "is not valid JSON",
    b"": "is not valid JSON",
    b"[" * 100_000: "is not valid JSON",
    b"[1]": "is not a JSON object",
    b"null": "is not a JSON object",
}


@pytest.mark.parametrize(("data", "message"), DAMAGED.items())
def test_a_damaged_file_is_named_with_what_to_do(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(data)
    with pytest.raises(DataError, match=rf"run\.json {message}"):
        read_json(file)
    with pytest.raises(DataError, match=rf"run\.json {message}.*: name another output, or remove {tmp_path}\.$"):
        read_run_record(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*none\.json\.$"):
        read_json(tmp_path / "none.json")
