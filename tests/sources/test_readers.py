"""Each source reads its own raw format into the Store's tables; bad rows are set aside and counted."""

import gzip
from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from raw_files import (
    esci,
    esci_product,
    json_gz,
    judged,
    leipzig,
    mave,
    meta_folder,
    page,
    qa,
    ratings,
    review,
    reviews_folder,
)

from ecellm.dataset.config import Sources
from ecellm.sources import Wanted, open_store
from ecellm.sources.raw import Workbench
from ecellm.store import SCHEMAS, Store

NOTHING = Wanted()


def opened(
    root: Path, tables: Collection[str], wanted: Wanted = NOTHING, **sources: str
) -> AbstractContextManager[tuple[Store, Workbench]]:
    return open_store(root, Sources(**sources), wanted, tables)


def rows(store: Store, table: str) -> list[dict[str, Any]]:
    found = store[table].to_pyarrow().to_pylist()
    return sorted(found, key=repr)


def test_reviews_keep_text_stars_and_time_and_set_bad_rows_aside(tmp_path: Path) -> None:
    good = review("B1", "U1", 4.0, 'fine, with "quotes" and é')
    bad = ["{not json", '["a list"]', {"asin": "B1", "overall": 5.0}, review("B1", "U2", 7.0, "seven stars")]
    json_gz(reviews_folder(tmp_path) / "Toys.json.gz", [good, *bad])
    with opened(tmp_path, ["reviews"], Wanted(reviews=["Toys"]), amazon_reviews="amazon") as (store, bench):
        assert store["reviews"].schema() == SCHEMAS["reviews"]
        assert rows(store, "reviews") == [
            {
                "category": "Toys",
                "product_id": "B1",
                "user_id": "U1",
                "stars": 4,
                "text": 'fine, with "quotes" and é',
                "time": 1_500_000_000,
            }
        ]
        reasons = sorted(row["reason"] for row in bench.rejected())
    assert reasons == [
        "not a JSON object",
        "not valid JSON",
        "reviewerID is missing",
        "stars are not 1 to 5",
    ]


def test_a_line_of_wrong_encoding_is_set_aside_with_its_number(tmp_path: Path) -> None:
    path = json_gz(reviews_folder(tmp_path) / "Toys.json.gz", [review("B1", "U1", 4.0, "fine")])
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole + b'{"asin": "B2", "reviewText": "caf\xe9"}\n' + whole))
    with opened(tmp_path, ["reviews"], Wanted(reviews=["Toys"]), amazon_reviews="amazon") as (store, bench):
        assert len(rows(store, "reviews")) == 2
        (rejected,) = bench.rejected()
    assert rejected["line"] == 2 and "encoding" in rejected["reason"]


def test_metadata_gives_products_once_and_relations_from_lists_and_markup(tmp_path: Path) -> None:
    markup = '<tr> <a href="/dp/B000000009?x">y</a> class="z" asin=B000000008 </tr>'
    pages = [
        page(
            "B1",
            "Mug",
            also_buy=["B2", "B2", "B1"],
            similar_item=markup,
            description=["one", "", "two"],
            brand="Acme",
        ),
        page("B1", "Mug again"),
        page("B2", "Cup", also_view=["B1"]),
    ]
    json_gz(meta_folder(tmp_path) / "meta_Home.json.gz", pages)
    found = []
    for order in (pages, pages[::-1]):
        json_gz(meta_folder(tmp_path) / "meta_Home.json.gz", order)
        with opened(tmp_path, ["relations"], Wanted(metadata=["Home"]), amazon_reviews="amazon") as (store, bench):
            found.append((rows(store, "products"), rows(store, "relations")))
            assert [row["reason"] for row in bench.rejected()] == ["product stands there already"]
    assert found[0] == found[1]
    products, relations = found[0]
    assert [product["product_id"] for product in products] == ["B1", "B2"] or len(products) == 2
    if {"Mug"} & {product["title"] for product in products}:
        kept = next(product for product in products if product["title"] == "Mug")
        assert (kept["description"], kept["brand"], kept["price"]) == ("one, two", "Acme", None)
        assert {(row["relation"], row["other_id"]) for row in relations if row["product_id"] == "B1"} == {
            ("also_buy", "B2"),
            ("similar", "B000000008"),
            ("similar", "B000000009"),
        }


def test_ratings_need_four_columns_a_rating_and_a_time(tmp_path: Path) -> None:
    ratings(tmp_path, "Toys", ["B1,U1,5.0,100", "B1,U2,5.0", "B1,U3,six,100", "B1,U4,4.0,soon", "", "B2,U1,1.0,200"])
    json_gz(meta_folder(tmp_path) / "meta_Toys.json.gz", [page("B1", "x")])
    wanted = Wanted(ratings=["Toys"])
    with opened(tmp_path, ["purchases"], wanted, amazon_reviews="amazon") as (store, bench):
        assert [(row["product_id"], row["user_id"], row["time"]) for row in rows(store, "purchases")] == [
            ("B1", "U1", 100),
            ("B2", "U1", 200),
        ]
        assert len(bench.rejected()) == 3


def test_metadata_of_2014_is_read_as_literals_and_never_executed(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    lines = [
        "{'asin': 'B1', 'title': \"Jo's mug\", 'brand': 'Acme', 'categories': [['Home', 'Mugs']]}",
        "__import__('os').system('touch hacked')",
    ]
    (old / "meta_Home.json.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    json_gz(meta_folder(tmp_path) / "meta_Home.json.gz", [page("B1", "")])
    wanted = Wanted(metadata=["Home"], ratings=["Home"])
    with opened(tmp_path, ["relations"], wanted, amazon_reviews="amazon", amazon_reviews_2014="old") as (
        store,
        bench,
    ):
        (found,) = [row for row in rows(store, "products") if row["catalogue"] == "amazon_2014"]
        assert (found["title"], found["brand"], found["categories"]) == ("Jo's mug", "Acme", ["Home", "Mugs"])
        assert len(bench.rejected()) == 1


def test_the_leipzig_files_are_latin_1(tmp_path: Path) -> None:
    leipzig(tmp_path, [("a1", "café ñ", "", "acme", "0")], [("g1", "cafe", "words", "", "3.99")], ["a1 g1", "a1 g1"])
    with opened(tmp_path, ["matches"], amazon_google="leipzig") as (store, _):
        first = next(row for row in rows(store, "products") if row["catalogue"] == "amazon")
        assert (first["title"], first["description"], first["brand"], first["price"]) == ("café ñ", None, "acme", "0")
        assert len(rows(store, "matches")) == 2


def test_judgements_of_other_locales_and_labels_are_left_out(tmp_path: Path) -> None:
    examples = [judged("mug", "P1", "E"), judged("taza", "P1", "E", locale="es"), judged("mug", "P2", "X")]
    esci(tmp_path, examples, [esci_product("P1", "Mug"), esci_product("P1", "Taza", "es")])
    with opened(tmp_path, ["judgements"], esci="esci") as (store, bench):
        assert [row["query"] for row in rows(store, "judgements")] == ["mug"]
        assert [row["title"] for row in rows(store, "products")] == ["Mug"]
        assert len(bench.rejected()) == 1


def test_mave_joins_paragraphs_and_gives_a_row_per_evidence(tmp_path: Path) -> None:
    texts = [("Red mug", "title"), ("nice", "feature"), ("big", "title"), ("12", "price")]
    product = {
        "id": "M1",
        "category": "Mug",
        "paragraphs": [{"text": text, "source": source} for text, source in texts],
        "attributes": [
            {"key": "Color", "evidences": [{"value": "Red", "pid": 0, "begin": 0, "end": 3}]},
            {"key": "Size", "evidences": []},
            {"key": "Look", "evidences": [{"value": "big", "pid": 2}, {"value": "nice", "pid": 1}]},
        ],
    }
    other = {"id": "M2", "category": "Mug", "paragraphs": product["paragraphs"], "attributes": []}
    for split in ("train", "val", "test"):
        for kind in ("positives", "negatives"):
            mave(tmp_path, split, kind, [product if (split, kind) == ("val", "positives") else other, "{broken"])
    with opened(tmp_path, ["attributes"], mave="mave") as (store, bench):
        (found,) = [row for row in rows(store, "products") if row["product_id"].startswith("M1")]
        assert (found["title"], found["feature"], found["price"]) == ("Red mug, big", "nice", "12")
        assert found["fields"] == ["title", "feature", "price"]
        values = {(row["attribute"], row["value"], row["field"], row["split"]) for row in rows(store, "attributes")}
        assert values == {
            ("Color", "Red", "title", "validation"),
            ("Size", None, None, "validation"),
            ("Look", "big", "title", "validation"),
            ("Look", "nice", "feature", "validation"),
        }
        assert len(bench.rejected()) == 6


def test_questions_keep_up_votes_and_answers_in_order(tmp_path: Path) -> None:
    row = {
        "asin": "Q1",
        "category": "Toys",
        "questionText": "how big?",
        "questionType": "descriptive",
        "review_snippets": ["big", "red"],
        "answers": [{"answerText": "very", "helpful": [2, 5]}, {"answerText": "so so", "helpful": [3, 3]}],
        "is_answerable": 1,
    }
    for split in ("train", "val", "test"):
        qa(tmp_path, split, [row, {"asin": "Q2"}] if split == "train" else [row])
    with opened(tmp_path, ["questions"], amazon_qa="qa") as (store, bench):
        (found,) = [row for row in rows(store, "questions") if row["split"] == "train"]
        assert found["answers"] == [{"text": "very", "helpful": 2}, {"text": "so so", "helpful": 3}]
        assert found["answerable"] is True and found["snippets"] == ["big", "red"]
        assert len(bench.rejected()) == 1


def damaged(path: Path, how: str) -> None:
    data = path.read_bytes()
    middle = len(data) // 2
    changed = {
        "cut short": data[:middle],
        "no gzip": b"hello\n" * 20,
        "one byte wrong": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
        "wrong checksum": data[:-8] + b"\0\0\0\0" + data[-4:],
    }
    path.write_bytes(changed[how])


@pytest.mark.parametrize("how", ["cut short", "no gzip", "one byte wrong", "wrong checksum"])
def test_a_damaged_gzip_is_named_in_one_sentence(tmp_path: Path, how: str) -> None:
    rows_ = [review(f"B{number}", "U", 5.0, f"text {number * 7919}") for number in range(2000)]
    path = json_gz(reviews_folder(tmp_path) / "Toys.json.gz", rows_)
    damaged(path, how)
    with (
        pytest.raises(ValueError, match=r"Toys\.json\.gz is damaged or cut short"),
        opened(tmp_path, ["reviews"], Wanted(reviews=["Toys"]), amazon_reviews="amazon"),
    ):
        pass


def test_a_missing_folder_file_or_parquet_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "amazon").mkdir()
    esci(tmp_path, [{"query": "mug"}], [esci_product("P1", "Mug")])
    cases = [
        (["reviews"], Wanted(reviews=["Toys"]), {"amazon_reviews": "nowhere"}, "There is no folder"),
        (["reviews"], Wanted(reviews=["Toys"]), {"amazon_reviews": "amazon"}, r"There is no file .*Toys\.json\.gz"),
        (["judgements"], Wanted(), {"esci": "esci"}, "lacks one of the columns"),
    ]
    for tables, wanted, sources, said in cases:
        with pytest.raises(ValueError, match=said), opened(tmp_path, tables, wanted, **sources):
            pass
    (tmp_path / "esci" / "shopping_queries_dataset_examples.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(ValueError, match="cannot be read"), opened(tmp_path, ["judgements"], esci="esci"):
        pass


def test_every_input_file_is_recorded_with_its_hash(tmp_path: Path) -> None:
    leipzig(tmp_path, [("a", "x", "", "", "1")], [("g", "x", "", "", "1")], ["a g"])
    with opened(tmp_path, ["matches"], amazon_google="leipzig") as (_, bench):
        assert sorted(file.path for file in bench.inputs) == [
            "leipzig/Amazon.csv",
            "leipzig/Amzon_GoogleProducts_perfectMapping.csv",
            "leipzig/GoogleProducts.csv",
        ]
        assert all(len(file.sha256) == 64 and file.bytes > 0 for file in bench.inputs)


def test_the_real_sample_has_the_rows_it_is_said_to_have(real_data: Path) -> None:
    names = {
        "amazon_reviews": "amazon_review_2018",
        "amazon_google": "amazon_google",
        "esci": "shopping_queries_dataset",
        "mave": "mave",
        "amazon_qa": "productQA",
    }
    wanted = Wanted(["Appliances"], ["Magazine_Subscriptions"], ["Video_Games"])
    with opened(real_data, set(SCHEMAS), wanted, **names) as (store, bench):
        counts = {name: store[name].count().to_pyarrow().as_py() for name in SCHEMAS if store.has(name)}
        assert counts["reviews"] == 2_277
        assert counts["purchases"] == 78_363
        assert counts["matches"] == 1_300
        assert counts["judgements"] == 3_371
        assert counts["questions"] == 8_950 + 1_042 + 3_371
        catalogues = store["products"].group_by("catalogue").agg(n=lambda t: t.count()).to_pyarrow().to_pylist()
        sizes = {row["catalogue"]: row["n"] for row in catalogues}
        assert (sizes["amazon"], sizes["google"], sizes["mave"]) == (1_363, 3_226, 4_511 + 721)
        assert {row["reason"] for row in bench.rejected()} == {"product stands there already"}
        assert len(bench.rejected()) == 1_065
