"""The simulated shop: a seeded generator that writes all five sources in their real formats and paths.

It comes in shards, each as big as scale 1.0 and made from generators of its own, so that rows grow linearly
with the scale while memory does not. Products relate to, and are bought with, products of their own shard.
"""

import math
from collections.abc import Callable
from pathlib import Path

from ecellm.data.simulator import amazon_google, amazon_qa, amazon_reviews, esci, mave
from ecellm.data.simulator.department import stock
from ecellm.data.simulator.files import Files
from ecellm.data.simulator.random_draws import RandomDraws, generator, shards
from ecellm.data.simulator.vocabulary import departments
from ecellm.errors import DataError
from ecellm.io.files import atomic_folder

#: The build config for the simulated shop.
DEMO_CONFIG = Path(__file__).parent / "demo.toml"
SMALLEST, LARGEST = 0.01, 10_000.0


def simulate(
    out: Path, scale: float = 1.0, seed: int = 42, say: Callable[[float], None] = lambda share: None
) -> dict[str, int]:
    """Write the simulated shop's raw files below `out` and return the rows written per table.

    At scale 1.0 that is about 1,000 products and 6,000 reviews per category. The same seed and scale give the
    same bytes. `say` is called with the share that is done, 0 to 1. Raises DataError where `out` exists or the scale
    is out of range.
    """
    if not (math.isfinite(scale) and SMALLEST <= scale <= LARGEST):
        raise DataError(f"The scale must lie between {SMALLEST} and {LARGEST:,.0f}, not {scale}.")
    sizes = shards(scale)
    rows = dict.fromkeys(("products", "reviews", "questions", "described", "judgements", "catalogue rows"), 0)
    steps = len(departments()) + 1
    with atomic_folder(out) as folder, Files(folder) as files:
        for shard, size in enumerate(sizes):
            for place in range(len(departments())):
                _write_department(files, place, shard, size, seed, rows)
                say((shard + (place + 1) / steps) / len(sizes))
            draws = [RandomDraws(generator(seed, table, shard)) for table in ("esci", "odd titles")]
            rows["judgements"] += esci.write(files, shard, size, *draws)
            draws = [RandomDraws(generator(seed, table, shard)) for table in ("catalogues", "whole prices")]
            rows["catalogue rows"] += amazon_google.write(files, shard, size, *draws)
            say((shard + 1) / len(sizes))
    return rows


def _write_department(files: Files, place: int, shard: int, size: float, seed: int, rows: dict[str, int]) -> None:
    """Append one shelf to the files of Amazon Review, AmazonQA and MAVE."""
    department = departments()[place]
    number = shard * len(departments()) + place

    def draw(table: str) -> RandomDraws:
        return RandomDraws(generator(seed, table, department.name, shard))

    shelf = stock(department, number, size, draw("products"))
    # What is odd is drawn apart, so that everything else stays as it is.
    amazon_reviews.write_pages(files, shelf, draw("pages"), draw("odd pages"), first=shard == 0)
    numbers = generator(seed, "purchases", department.name, shard)
    rows["products"] += len(shelf.ids)
    rows["reviews"] += amazon_reviews.write_purchases(
        files, shelf, number, size, numbers, draw("odd reviews"), first=shard == 0
    )
    bad_line = number == 0
    questions, votes = draw("questions"), draw("answers without votes")
    rows["questions"] += amazon_qa.write(files, shelf, size, questions, votes, first=bad_line)
    rows["described"] += mave.write(files, shelf, draw("attributes"), first=bad_line)
