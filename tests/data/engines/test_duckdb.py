"""DuckDB: its memory is limited, beyond which it spills to disk; gzip files are unpacked for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import pytest
from source_files import opened, read, review, review_file, write_lines

from ecellm.data.config import Sources
from ecellm.data.engines import duckdb, line_numbers
from ecellm.data.sources import EngineChoice, Wanted
from ecellm.errors import EcellmError

REVIEWS = Sources(amazon_reviews="amazon_review_2018")


def test_too_little_memory_is_said_in_one_sentence(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(2000)])
    with (
        pytest.raises(EcellmError, match="took more memory"),
        opened(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"], engine=EngineChoice(memory="1MB")),
    ):
        pass


def test_what_does_not_fit_is_spilled_and_a_full_disk_is_said_then(
    tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(800)])

    def kept() -> int:
        with opened(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"], engine=EngineChoice(memory="300MB")) as (
            store,
            _,
        ):
            users = [store["reviews"].select(**{name: "user_id"}) for name in ("a", "b")]
            pairs = users[0].cross_join(users[1])
            return store.count(store.keep(pairs.mutate(text=(pairs.a + pairs.b).hexdigest("md5").repeat(20))))

    assert kept() == 800 * 800
    with file_limit(10_000), pytest.raises(OSError, match="No space left"):
        kept()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        pytest.param(duckdb, "PACKED_AT_ONCE", 1, id="one gzip file after the other"),
        pytest.param(duckdb, "AT_ONCE", 2, id="two files at a time"),
        pytest.param(duckdb, "MOST_UNPACKED", 0, id="DuckDB unpacks"),
    ],
)
def test_however_gzip_files_are_read_rows_and_rejects_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, value: int
) -> None:
    names = [f"Shop {number}" for number in range(5)]
    for number, category in enumerate(names):
        good = [review(user=f"A{number}{turn}") for turn in range(30)]
        write_lines(review_file(tmp_path, category), [*good[:number], b"bad", *good[number:], b"bad", b"\xff"])
    usual = read(tmp_path, REVIEWS, reviews=names)
    assert [row["line"] for row in usual.rejects[:4]] == [1, 32, 33, 2]
    monkeypatch.setattr(module, name, value)
    other = read(tmp_path, REVIEWS, reviews=names)
    assert other.tables == usual.tables and other.rejects == usual.rejects
    assert sorted(other.inputs, key=str) == sorted(usual.inputs, key=str)


def test_bad_lines_are_numbered_however_far_apart_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is looked through block by block, no further than its last bad line."""
    monkeypatch.setattr(line_numbers, "BLOCK", 300)
    good = [review(user=f"A{number}") for number in range(40)]
    write_lines(review_file(tmp_path), [b"bad", *good[:15], b"bad", b"{}", *good[15:], b"bad"])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"])
    assert [row["line"] for row in found.rejects] == [1, 17, 18, 44]
    write_lines(review_file(tmp_path), [*good[:15], b"bad", *good[15:]])
    assert [row["line"] for row in read(tmp_path, REVIEWS, reviews=["Beauty"]).rejects] == [16]


def test_unpacked_files_are_gone_once_they_are_read(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(), b"bad"])
    space = tmp_path / "space"
    space.mkdir()
    with opened(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"], temporary=space):
        assert not list(space.rglob("*Beauty*"))


def test_no_room_to_unpack_is_a_full_disk(
    tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(800)])
    with (
        file_limit(10_000),
        pytest.raises(OSError, match="No space left"),
        opened(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"]),
    ):
        pass
