"""Of rows that repeat a product both engines keep the same one, whatever stands in them and wherever they stand."""

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import source_files
from source_files import (
    Read,
    described,
    judged_product,
    judgement,
    page,
    page_file,
    read,
    write_catalogues,
    write_esci,
    write_mave,
)

from ecellm.data.config import Sources

SOURCES = Sources(
    amazon_reviews="amazon_review_2018",
    amazon_google="amazon_google",
    esci="shopping_queries_dataset",
    mave="mave",
)
#: What writers of JSON write in different ways, and what compares in different ways.
ODD = (
    *(
        'say "comb"',
        "back\\slash",
        "a/b",
        "tab\tand\nline",
        "\x01\x1f\x7f",
        "\u2028\u2029",
        "caf\u00e9",
        "\U0001f9f4",
    ),
    *("<b>&amp;</b>", "", " ", "Z", "a", "null", "[]", "{}", "\u0000"[:0] + "'", "\ufffd", "10", "9"),
)
PRODUCTS, TIMES = 12, 5
TABLES = ("products", "relations", "attributes", "matches", "judgements")


def texts(rng: random.Random) -> str:
    return "".join(rng.choices(ODD, k=rng.randint(0, 3)))


def pages(rng: random.Random) -> Iterator[dict[str, Any]]:
    """Pages of a few products, each several times: now other texts, now gaps, now the same."""
    for number in range(PRODUCTS):
        for _ in range(TIMES):
            given = {
                "title": f"Comb {texts(rng)}",
                "brand": rng.choice([None, texts(rng)]),
                "description": rng.choice([None, [texts(rng), texts(rng)]]),
                "also_buy": rng.choice([[], [f"B{rng.randint(0, 3):09}"]]),
            }
            yield page(f"B{number:09}", **given)
        yield from [page(f"B{number:09}", title="Twice")] * 2


def write(root: Path, rng: random.Random) -> None:
    rows = list(pages(rng))
    rng.shuffle(rows)
    folder = page_file(root)
    folder.mkdir(parents=True)
    for part in range(3):
        lines = "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows[part::3])
        (folder / f"part-{part}.json.gz").write_bytes(gzip.compress(lines.encode()))
    attributes = [None, {}, {"Material": [("Oak", 0)]}, {"Material": [("Oak", 0), ("Elm", 1)], "Size": [("9", 0)]}]
    write_mave(
        root,
        {
            ("train", "positives"): [
                described(f"M{number}", [("title", f"Oak {texts(rng)}")], rng.choice(attributes))
                for number in range(PRODUCTS)
                for _ in range(TIMES)
            ]
        },
    )
    latin = [text for text in ODD if text.isascii() and "\n" not in text and "\x01" not in text]
    write_catalogues(
        root,
        [(f"a{number}", rng.choice(latin), rng.choice(latin), "", "1") for number in range(9) for _ in range(TIMES)],
        [("g1", rng.choice(latin), "", rng.choice(latin), "") for _ in range(TIMES)],
        [("a1", "g1")],
    )
    judged = [
        judged_product(number, product_title=f"Comb {texts(rng)}", product_brand=rng.choice([None, texts(rng)]))
        for number in range(PRODUCTS)
        for _ in range(TIMES)
    ]
    write_esci(root, [judgement(number) for number in range(PRODUCTS)], judged)


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
@pytest.mark.parametrize("seed", [1, 2])
def test_both_engines_keep_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    write(tmp_path, random.Random(seed))
    found: list[Read] = []
    for engine in (source_files.ENGINE, source_files.SPARK):
        monkeypatch.setattr(source_files, "ENGINE", engine)
        found.append(read(tmp_path, SOURCES, metadata=["Beauty"], tables=TABLES))
    duckdb, spark = found
    assert sum(row["reason"] == "product stands there already" for row in duckdb.rejects) > 100
    assert len({row["file"] for row in duckdb.rejects}) == 7
    assert spark.rejects == duckdb.rejects
    assert spark.tables == duckdb.tables
