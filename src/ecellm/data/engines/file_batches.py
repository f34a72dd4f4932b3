"""Which files DuckDB reads in one query."""

from collections.abc import Iterator, Sequence

from ecellm.data.engines.base import Part

#: Files read in one query: so many, and gzip files of so many bytes together, or one.
AT_ONCE, PACKED_AT_ONCE = 8, 128 << 20


def file_batches(parts: Sequence[Part]) -> Iterator[dict[int, Part]]:
    """Yield the parts by number, so many at a time as are read in one query."""
    some: dict[int, Part] = {}
    packed = 0
    for number, part in enumerate(parts):
        size = part.path.stat().st_size if is_gzipped(part) else 0
        if some and (len(some) == AT_ONCE or packed + size > PACKED_AT_ONCE):
            yield some
            some, packed = {}, 0
        some[number] = part
        packed += size
    yield some


def is_gzipped(part: Part) -> bool:
    """Say whether a part's file is compressed."""
    return part.path.suffix == ".gz"
