"""A journal is resumed: an incomplete last line is removed, and lines of another identity are never added to."""

import json
from pathlib import Path

import pytest

from ecellm.errors import DataError
from ecellm.io.journal import Journal, append_entries, complete_lines

IDENTITY = {"model": "m"}


def journal(path: Path, record: Path | None = None, **identity: str) -> Journal[int]:
    return Journal(path, identity or IDENTITY, lambda entry: int(entry["row"]), record)


def filled(path: Path, record: Path | None = None) -> Path:
    with journal(path, record) as made:
        assert made.keys() == set()
        made.begin()
        made.append([{"row": 1}, {"row": 2}])
    return path


def test_the_identity_stands_in_the_first_line_or_in_a_record_beside_the_journal(tmp_path: Path) -> None:
    inside = filled(tmp_path / "inside.jsonl").read_text()
    assert inside == '{"run": {"model": "m"}}\n{"row": 1}\n{"row": 2}\n'
    beside = filled(tmp_path / "beside.jsonl", tmp_path / "record.json").read_text()
    assert beside == '{"row": 1}\n{"row": 2}\n'
    assert json.loads((tmp_path / "record.json").read_text()) == IDENTITY


@pytest.mark.parametrize("record", [None, "record.json"])
def test_an_incomplete_last_line_is_removed_wherever_it_ends(record: str | None, tmp_path: Path) -> None:
    beside = None if record is None else tmp_path / record
    whole = filled(tmp_path / "out.jsonl", beside).read_bytes()
    for size in range(len(whole) + 1):
        (tmp_path / "out.jsonl").write_bytes(whole[:size])
        with journal(tmp_path / "out.jsonl", beside) as made:
            keys = made.keys()
            made.begin()
            made.append([{"row": row} for row in (1, 2) if row not in keys])
        assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_answers_of_another_identity_are_refused_and_left_as_they_are(tmp_path: Path) -> None:
    whole = filled(tmp_path / "out.jsonl").read_bytes()
    with journal(tmp_path / "out.jsonl", model="other") as made, pytest.raises(DataError, match="another model"):
        made.keys()
    assert (tmp_path / "out.jsonl").read_bytes() == whole


def test_a_line_that_is_no_entry_is_named(tmp_path: Path) -> None:
    append_entries(filled(tmp_path / "out.jsonl"), [{"other": 1}])
    with journal(tmp_path / "out.jsonl") as made, pytest.raises(DataError, match="line 4 is no answer"):
        made.keys()


def test_a_line_that_gives_a_key_twice_is_no_entry(tmp_path: Path) -> None:
    with filled(tmp_path / "out.jsonl").open("a") as file:
        file.write('{"row": 3, "row": 4}\n')
    with journal(tmp_path / "out.jsonl") as made, pytest.raises(DataError, match="line 4 is no answer"):
        made.keys()


def test_lines_are_counted_from_one(tmp_path: Path) -> None:
    append_entries(tmp_path / "log.jsonl", [{"text": "é"}, {"path": Path("a")}])
    assert list(complete_lines(tmp_path / "log.jsonl")) == [(1, '{"text": "é"}\n'.encode()), (2, b'{"path": "a"}\n')]
