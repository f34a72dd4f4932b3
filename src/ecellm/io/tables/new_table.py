"""Writing a table of our own columns, in the format of its file's name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from ecellm.io.files import atomic_write
from ecellm.io.tables.header import file_format


def write_new_table(table: pa.Table, out: Path) -> None:
    """Write a table atomically; raises DataError for a name of no known format."""
    file = file_format(out)
    with atomic_write(out) as path:
        if file == "parquet":
            pq.write_table(table, path)
            return
        with pa.output_stream(path, compression="gzip" if out.suffix == ".gz" else None) as stream:
            if file == "json":
                for row in table.to_pylist():
                    stream.write((json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
            else:
                is_tsv = out.name.removesuffix(".gz").endswith(".tsv")
                pc.write_csv(table, stream, pc.WriteOptions(delimiter="\t" if is_tsv else ","))
