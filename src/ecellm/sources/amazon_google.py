"""Amazon-Google Products (Leipzig): two software catalogues and their perfect mapping, three Latin-1 CSVs.

https://dbs.uni-leipzig.de/research/projects/benchmark-datasets-for-entity-resolution
"""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import ibis
import ibis.expr.types as ir

from ecellm.sources.workbench import Part, Tables, Workbench, no_texts, pieces
from ecellm.store import conform

#: The files' own encoding, and the one in which the authors read them.
LATIN, UTF8 = "latin-1", "utf-8"
AMAZON, GOOGLE, MAPPING = "Amazon.csv", "GoogleProducts.csv", "Amzon_GoogleProducts_perfectMapping.csv"
PLAIN_NUMBER = re.compile(r"-?(\d+(\.\d*)?|\.\d+)", re.ASCII)


def parts(folder: Path) -> list[Part]:
    """Return the three files."""
    return [Part(folder / name) for name in (AMAZON, GOOGLE, MAPPING)]


def read(bench: Workbench, folder: Path, encoding: str, space: Path) -> Tables:
    """Return `products` (catalogues amazon and google) and `matches`; rows without an id are rejected.

    With the encoding utf-8, bytes that are not UTF-8 become U+FFFD; `space` takes the converted files. Amazon's
    prices are given as the text of a float ("649" as "649.0"), as the published rows have them.
    """
    no_id = {"id is missing": lambda row: row.id.isnull() | (row.id == "")}
    no_ids = {"id is missing": lambda row: row.idAmazon.isnull() | row.idGoogleBase.isnull()}
    texts = ["description", "manufacturer", "price"]
    files = {part.path.name: [part] if encoding == LATIN else _as_utf8(bench, part, space) for part in parts(folder)}
    amazon = bench.csv_table(files[AMAZON], ["id", "title", *texts], encoding, no_id, ["id"])
    google = bench.csv_table(files[GOOGLE], ["id", "name", *texts], encoding, no_id, ["id"])
    mapping = bench.csv_table(files[MAPPING], ["idAmazon", "idGoogleBase"], encoding, no_ids)
    for copy in (part.path for some in files.values() for part in some if part.converted_from is not None):
        bench.discard(copy)
    amazon = _with_float_prices(bench, amazon)
    products = _catalogue(amazon, "amazon").union(_catalogue(google.rename(title="name"), "google"))
    matches = mapping.rename(left_id="idAmazon", right_id="idGoogleBase")
    return {"products": products, "matches": conform(matches, "matches")}


def float_text(price: str) -> str:
    """Return a plain decimal number as Python shows it as a float; any other text as it is."""
    return repr(float(price)) if PLAIN_NUMBER.fullmatch(price) else price


def _with_float_prices(bench: Workbench, rows: ir.Table) -> ir.Table:
    """Return the rows with prices as texts of floats.

    The engines write floats differently (10000000.0 and 1.0E7), so the distinct prices are written by Python.
    """
    prices = rows.filter(rows.price.notnull()).select("price").distinct()
    joined = rows.left_join(bench.mapped(prices, float_text), "price")
    return joined.mutate(price=joined.mapped).select(*rows.columns)


def _as_utf8(bench: Workbench, part: Part, space: Path) -> list[Part]:
    """Return copies of the part's files in UTF-8, line by line, with U+FFFD for what is not UTF-8."""
    originals = pieces([part])
    bench.inspect([piece.path for piece in originals])
    copies = []
    for place, piece in enumerate(originals):
        copy = space / f"{part.path.stem}-{place}.csv"
        # No translation of line ends on either side: quoted texts keep theirs.
        with (
            piece.path.open(encoding=UTF8, errors="replace", newline="") as file,
            copy.open("w", encoding=UTF8, newline="") as beside,
        ):
            shutil.copyfileobj(file, beside)
        copies.append(replace(piece, path=copy, converted_from=piece.path))
    return copies


def _catalogue(rows: ir.Table, name: str) -> ir.Table:
    products = rows.select(
        catalogue=ibis.literal(name),
        category=ibis.literal(""),
        product_id=rows.id,
        title=rows.title.nullif(""),
        description=rows.description.nullif(""),
        feature=ibis.null("string"),
        brand=rows.manufacturer.nullif(""),
        price=rows.price.nullif(""),
        categories=no_texts(),
        fields=no_texts(),
    )
    return conform(products, "products")
