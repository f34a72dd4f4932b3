"""MAVE: attribute values marked in product texts, JSON lines per split, positives and negatives.

Files: splits/PRODUCT/{train,val,test}/00_All/mave_{positives,negatives}.jsonl.
https://github.com/google-research-datasets/MAVE
"""

from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.data.engines.base import Part, Structure, Workbench
from ecellm.data.schema import conform

SPLITS = {"train": "train", "val": "validation", "test": "test"}
FIELDS = ("title", "description", "feature", "price", "brand")
STRUCTURE: Structure = {
    "id": "VARCHAR",
    "category": "VARCHAR",
    "paragraphs": [{"text": "VARCHAR", "source": "VARCHAR"}],
    "attributes": [{"key": "VARCHAR", "evidences": [{"value": "VARCHAR", "pid": "BIGINT"}]}],
}


def parts(folder: Path) -> list[Part]:
    """Return the files of positives and negatives."""
    return [
        Part(
            folder / "datasets" / "splits" / "PRODUCT" / name / "00_All" / f"mave_{kind}.jsonl",
            {"split": split, "kind": kind},
        )
        for name, split in SPLITS.items()
        for kind in ("positives", "negatives")
    ]


def read(bench: Workbench, folder: Path) -> dict[str, ir.Table]:
    """Return `products` (catalogue mave) and `attributes`.

    A product may stand as a positive and as a negative, with the same paragraphs: its product_id here is its
    id with split and kind, so that each row asks for its own attributes.
    """
    checks = {
        "a paragraph has no text or no known source": _bad_paragraph,
        "an attribute has no name": lambda row: (
            row.attributes.filter(lambda attribute: attribute["key"].isnull()).length() > 0
        ),
        "an evidence has no value or no paragraph": _bad_evidence,
    }
    needed = ["id", "paragraphs", "attributes"]
    read = bench.json_lines(parts(folder), STRUCTURE, needed, checks, by=["split", "kind", "id"])
    rows = read.mutate(product_id=read.id + "/" + read.split + "/" + read.kind)
    # What is made of lists is made once.
    products, attributes = bench.keep(_products(rows)), bench.keep(_attributes(rows))
    bench.forget(read)
    return {"products": conform(products, "products"), "attributes": conform(attributes, "attributes")}


def _bad_paragraph(row: ir.Table) -> ir.BooleanValue:
    bad = row.paragraphs.filter(
        lambda paragraph: paragraph.text.isnull() | paragraph.source.isnull() | paragraph.source.notin(FIELDS)
    )
    return bad.length() > 0


def _bad_evidence(row: ir.Table) -> ir.BooleanValue:
    evidences = row.attributes.map(lambda attribute: attribute.evidences).flatten()
    bad = evidences.filter(
        lambda one: one.value.isnull() | one.pid.isnull() | (one.pid < 0) | (one.pid >= row.paragraphs.length())
    )
    return bad.length() > 0


def _products(rows: ir.Table) -> ir.Table:
    there = rows.paragraphs.filter(lambda paragraph: paragraph.text != "")
    sources = there.map(lambda paragraph: paragraph.source)

    def text_of(name: str) -> ir.StringValue:
        own = there.filter(lambda paragraph: paragraph.source == name)
        return own.map(lambda paragraph: paragraph.text).join(", ").nullif("")

    products = rows.select(
        catalogue=ibis.literal("mave"),
        category=rows.category.fill_null(""),
        product_id=rows.product_id,
        fields=_in_order(sources),
        **{name: text_of(name) for name in FIELDS},
    )
    return conform(products, "products")


def _in_order(sources: ir.ArrayValue) -> ir.ArrayValue:
    """Return each of `FIELDS` that is there, in the order of their first places.

    Places and fields are sorted as one number each: to look at each source in turn takes twice as long.
    """
    many = len(FIELDS)
    places = ibis.array([sources.index(name) * many + number for number, name in enumerate(FIELDS)])
    names = ibis.array(list(FIELDS))
    return places.filter(lambda place: place >= 0).sort().map(lambda place: names[(place % many).cast("int32")])


def _attributes(rows: ir.Table) -> ir.Table:
    """Return a row for each evidence; an attribute without evidence has one row with null value."""
    requested = rows.mutate(position=ibis.range(rows.attributes.length()).unnest())
    requested = requested.mutate(attribute=requested.attributes[requested.position])
    evidences = requested.attribute.evidences
    count = evidences.length().fill_null(0)
    each = requested.mutate(evidences=evidences, place=ibis.range(ibis.greatest(count, 1)).unnest())
    found = each.mutate(evidence=each.evidences[each.place])
    return found.select(
        category=found.category.fill_null(""),
        product_id=found.product_id,
        attribute=found.attribute["key"],
        position=found.position,
        value=found.evidence.value,
        field=found.paragraphs[found.evidence.pid.cast("int32")].source,
        split=found.split,
    )
