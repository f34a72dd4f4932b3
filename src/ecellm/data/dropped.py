"""What a build filtered out, for those who want to look: a Parquet file per task and reason."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.data.filters.selection import Selection
from ecellm.data.samplers import Draw
from ecellm.data.schema import Engine


def write_dropped(engine: Engine, draws: Mapping[str, Draw], selection: Selection, folder: Path) -> None:
    """Write the rows that tasks and rules filtered to TASK/REASON.parquet; a reason's further tables end in -2 and so
    on. The engine writes its own rows: they may be many. Spark writes a folder for each file."""
    for task, draw in draws.items():
        dropped: dict[str, list[ir.Table | list[Mapping[str, object]]]] = defaultdict(list)
        for reason, tables in draw.lost.items():
            rows = [row for table in tables if isinstance(table, list) for row in table]
            dropped[reason] += [rows] if rows else []
            dropped[reason] += [table for table in tables if not isinstance(table, list)]
        for reason in dict.fromkeys(reason for reason, _ in selection.lost[task]):
            dropped[reason].append([asdict(example) for why, example in selection.lost[task] if why == reason])
        for reason, tables in dropped.items():
            for number, table in enumerate(tables, 1):
                name = slug(reason) + (f"-{number}" if number > 1 else "")
                path = folder / task / f"{name}.parquet"
                path.parent.mkdir(exist_ok=True)
                if isinstance(table, list):
                    pq.write_table(pa.Table.from_pylist(table), path)
                else:
                    engine.write(table, path)


def slug(reason: str) -> str:
    """Return a reason as a file's name."""
    return re.sub("[^a-z0-9]+", "-", reason.lower()).strip("-")
