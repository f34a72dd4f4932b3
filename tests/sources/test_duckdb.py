"""DuckDB: its memory is limited, beyond which it spills to disk."""

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
