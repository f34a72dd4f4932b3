"""MAVE: attribute values marked in product texts, JSON lines per split, positives and negatives.

Files: splits/PRODUCT/{train,val,test}/00_All/mave_{positives,negatives}.jsonl.
https://github.com/google-research-datasets/MAVE
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.raw import Part, Workbench, no_texts
from ecellm.store import conform, keyed

SPLITS = {"train": "train", "val": "validation", "test": "test"}
FIELDS = ("title", "description", "feature", "price", "brand")
STRUCTURE = {
    "id": "VARCHAR",
    "category": "VARCHAR",
    "paragraphs": [{"text": "VARCHAR", "source": "VARCHAR"}],
    "attributes": [{"key": "VARCHAR", "evidences": [{"value": "VARCHAR", "pid": "BIGINT"}]}],
}


def read(bench: Workbench, folder: Path) -> tuple[ir.Table, ir.Table]:
    """Return `products` (catalogue mave) and `attributes`.

    A product may stand as a positive and as a negative, with the same paragraphs: its product_id here is its
    id with the kind and split, so that each row asks for its own attributes.
    """
    parts = [
        Part(
            folder / "datasets" / "splits" / "PRODUCT" / name / "00_All" / f"mave_{kind}.jsonl",
            {"split": split, "kind": kind},
        )
        for name, split in SPLITS.items()
        for kind in ("positives", "negatives")
    ]
    rows = bench.json_lines(parts, STRUCTURE, ["id", "paragraphs", "attributes"])
    rows = rows.mutate(key=rows.id + "/" + rows.split + "/" + rows.kind)
    place = ibis.row_number().over(
        group_by=rows.key,
        order_by=keyed(
            "mave", rows.paragraphs.cast("json").cast("string"), rows.attributes.cast("json").cast("string")
        ),
    )
    ranked = bench.keep(rows.mutate(place=place))
    bench.reject(ranked.filter(ranked.place > 0), "mave", "product stands there already", ranked.id)
    once = bench.keep(ranked.filter(ranked.place == 0))
    return _products(bench, once), bench.keep(_attributes(once))


def _products(bench: Workbench, rows: ir.Table) -> ir.Table:
    def text_of(name: str) -> ir.StringValue:
        own = rows.paragraphs.filter(lambda paragraph: paragraph.source == name)
        return own.map(lambda paragraph: paragraph.text).join(", ").nullif("")

    sources = rows.paragraphs.map(lambda paragraph: paragraph.source)
    texts = {name: text_of(name) for name in FIELDS}
    # A source's rank is the place of its first paragraph; sources of one text keep that order.
    products = rows.select(
        catalogue=ibis.literal("mave"),
        category=rows.category.fill_null(""),
        product_id=rows.key,
        categories=no_texts(),
        fields=_in_order(sources),
        **texts,
    )
    return bench.keep(conform(products, "products"))


def _in_order(sources: ir.ArrayValue) -> ir.ArrayValue:
    """Return the distinct known names of an array in the order of their first places."""
    known = sources.filter(lambda name: name.isin(FIELDS))
    return known.filter(lambda name, place: known.index(name) == place)


def _attributes(rows: ir.Table) -> ir.Table:
    asked = rows.select(
        "category",
        "key",
        "split",
        "paragraphs",
        "attributes",
        place=ibis.range(rows.attributes.length()).unnest(),
    )
    one = asked.mutate(attribute=asked.attributes[asked.place])
    evidences = one.attribute.evidences
    empty = evidences.isnull() | (evidences.length() == 0)
    rows_of = one.select(
        category=one.category.fill_null(""),
        product_id=one.key,
        attribute=one.attribute.key,
        position=one.place,
        split=one.split,
        paragraphs=one.paragraphs,
        evidence=ibis.range(ibis.ifelse(empty, 1, evidences.length())).unnest(),
        evidences=evidences,
        empty=empty,
    )
    found = ibis.ifelse(
        rows_of.empty, ibis.null(rows_of.evidences.type().value_type), rows_of.evidences[rows_of.evidence]
    )
    flat = rows_of.mutate(found=found)
    named = flat.mutate(value=flat.found.value, field=flat.paragraphs[flat.found.pid].source)
    return conform(named, "attributes")
