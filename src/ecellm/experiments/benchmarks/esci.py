"""The three ESCI tasks in the split of Shopping Queries, US, read by the project's own reader.

Every judgement of the test split is a test row, every one of the training split a training row; the judgements of a
tenth of the training queries, by keyed hash, are held out for validation. Nothing is filtered by language, and what
repeats or contradicts itself stays, unlike in the datasets that `ecellm build` makes of this source. QPR's rows are
this project's: lists of two to four products with distinct labels.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import ibis

from ecellm.data.config import Sources
from ecellm.data.readers.esci import EXAMPLES_FILE, PRODUCTS_FILE
from ecellm.data.samplers import SAMPLERS, Plan
from ecellm.data.samplers.drawing import normalised
from ecellm.data.schema import Store, keyed
from ecellm.data.sources import Wanted, open_shelf
from ecellm.experiments.benchmarks.formats import Converted, Format
from ecellm.types import Domain, Split

FILES = (EXAMPLES_FILE, PRODUCTS_FILE)
#: Queries whose key begins lower than this, of 256, are held out: a tenth.
HELD_OUT_BELOW = "1a"
SEED = 0


def esci_format(task: str) -> Format:
    """Return the format of one of the tasks MPC, PSI and QPR."""
    return Format("Shopping Queries", FILES, partial(_read, task))


def _read(task: str, folder: Path, benchmark: str) -> Converted:
    tables = {"products", "judgements"}
    with open_shelf(folder.parent, Sources(esci=folder.name), Wanted(), tables) as shelf:
        store = _with_validation(shelf.store())
        quotas = _rows_by_split(store)
        drawn = SAMPLERS[task].draw(store, Plan(SEED, quotas, given_split=True, reserve=0.0))
        dropped = drawn.dropped.copy()
        for row in shelf.bench.rejected():
            dropped[f"rejected: {row['reason']}"] += 1
        read = [replace(file, path=Path(file.path).name) for file in shelf.bench.inputs]
    return Converted(drawn.examples, sorted(read, key=lambda file: file.path), dropped)


def _with_validation(store: Store) -> Store:
    """Return the Store with a tenth of the training queries held out, whatever their case and spacing."""
    rows = store["judgements"]
    key = keyed(SEED, "benchmark validation", normalised(rows["query"]))
    split = ibis.cases(((rows.split == "train") & (key < HELD_OUT_BELOW), "validation"), else_=rows.split)
    return replace(store, tables={**store.tables, "judgements": rows.mutate(split=split)})


def _rows_by_split(store: Store) -> Mapping[tuple[Split, Domain], int]:
    """Return how many judgements each split has: no draw takes more."""
    rows = store["judgements"]
    counted = {row["split"]: int(row["rows"]) for row in store.rows(rows.group_by("split").agg(rows=rows.count()))}
    splits: tuple[Split, ...] = ("train", "validation", "test")
    return {(split, "IND"): counted.get(split, 0) for split in splits}
