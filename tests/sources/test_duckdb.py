"""DuckDB: its memory is limited, beyond which it spills to disk."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from source_files import review, review_file, write_lines

from ecellm.dataset.config import Sources
from ecellm.sources import Engine, Wanted, open_store

REVIEWS = Sources(amazon_reviews="amazon_review_2018")


def test_too_little_memory_is_said_in_one_sentence(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(2000)])
    with (
        pytest.raises(ValueError, match="took more memory"),
        open_store(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"], engine=Engine(memory="10MB")),
    ):
        pass


def test_what_does_not_fit_is_spilled_and_a_full_disk_is_said_then(
    tmp_path: Path, file_limit: Callable[[int], AbstractContextManager[None]]
) -> None:
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(800)])

    def kept() -> int:
        with open_store(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"], Engine(memory="300MB")) as (store, _):
            users = [store["reviews"].select(**{name: "user_id"}) for name in ("a", "b")]
            pairs = users[0].cross_join(users[1])
            return store.count(store.keep(pairs.mutate(text=(pairs.a + pairs.b).hexdigest("md5").repeat(20))))

    assert kept() == 800 * 800
    with file_limit(10_000), pytest.raises(OSError, match="No space left"):
        kept()
