"""The simulated shop's files: the real formats, the real dirt, the same bytes for the same seed."""

import ast
import csv
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ecellm.data.simulator import simulate

CATEGORIES = (
    "Electronics",
    "Home_and_Kitchen",
    "Sports_and_Outdoors",
    "Tools_and_Home_Improvement",
    "Cell_Phones_and_Accessories",
)
REVIEW = {"overall", "verified", "reviewTime", "reviewerID", "asin", "summary", "unixReviewTime"}
META = ["category", "tech1", "description", "fit", "title", "also_buy", "tech2", "brand", "feature", "rank"]
META += ["also_view", "details", "main_cat", "similar_item", "date", "price", "asin", "imageURL", "imageURLHighRes"]
QUESTION = ["asin", "category", "questionText", "questionType", "review_snippets", "answers", "is_answerable", "qid"]


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines(path: Path) -> list[str]:
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8").splitlines()


def objects(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The good lines, and how many are bad."""
    good, bad = [], 0
    for line in lines(path):
        try:
            good.append(json.loads(line))
        except json.JSONDecodeError:
            bad += 1
    return good, bad


def leipzig(path: Path) -> list[list[str]]:
    with path.open(encoding="latin-1", newline="") as file:
        return list(csv.reader(file))


def test_same_seed_same_bytes_and_another_seed_other_bytes(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        simulate(tmp_path / name, 0.02, seed)
    one, again, other = (hashes(tmp_path / name) for name in ("one", "again", "other"))
    assert one == again
    assert one.keys() == other.keys()
    assert all(one[file] != other[file] for file in one)


def test_a_bigger_shop_begins_with_the_smaller_ones_whole_shards(shop: Path, tmp_path: Path) -> None:
    simulate(tmp_path / "more", 1.02, seed=1)
    for name in ("rating/all_category/Electronics.csv", "meta/all_category/meta_Electronics.json.gz"):
        one, more = (lines(root / "amazon_review_2018" / name) for root in (shop, tmp_path / "more"))
        assert more[: len(one)] == one
        assert len(more) > len(one)


def test_rows_grow_linearly_with_the_scale(tmp_path: Path) -> None:
    small = simulate(tmp_path / "small", 0.1)
    large = simulate(tmp_path / "large", 0.4)
    assert small.keys() == large.keys()
    assert all(large[table] == pytest.approx(4 * small[table], rel=0.15) for table in small)


def test_every_file_of_the_five_sources_is_there(small_shop: Path) -> None:
    splits = [f"mave/datasets/splits/PRODUCT/{split}/00_All/mave_" for split in ("train", "val", "test")]
    names = {"examples.parquet", "products.parquet", "sources.csv"}
    expected = {
        *(f"amazon_review_2018/review/all_category/{name}.json.gz" for name in CATEGORIES),
        *(f"amazon_review_2018/meta/all_category/meta_{name}.json.gz" for name in CATEGORIES),
        *(f"amazon_review_2018/rating/all_category/{name}.csv" for name in CATEGORIES),
        *(f"amazon_review_2014/meta_{name}.json.gz" for name in CATEGORIES),
        *(
            f"amazon_google/{name}.csv"
            for name in ("Amazon", "GoogleProducts", "Amzon_GoogleProducts_perfectMapping")
        ),
        *(f"shopping_queries_dataset/shopping_queries_dataset_{name}" for name in names),
        *(f"{start}{kind}.jsonl" for start in splits for kind in ("positives", "negatives")),
        *(f"productQA/{split}-qar.jsonl" for split in ("train", "val", "test")),
    }
    assert set(hashes(small_shop)) == expected


@pytest.mark.parametrize("category", CATEGORIES)
def test_reviews_ratings_and_metadata_agree(small_shop: Path, category: str) -> None:
    folder = small_shop / "amazon_review_2018"
    reviews, bad_reviews = objects(folder / "review" / "all_category" / f"{category}.json.gz")
    pages, bad_pages = objects(folder / "meta" / "all_category" / f"meta_{category}.json.gz")
    ratings = [line.split(",") for line in lines(folder / "rating" / "all_category" / f"{category}.csv")]
    assert bad_reviews == bad_pages == 1
    assert sum(len(row) != 4 for row in ratings) == 1
    assert all(row.keys() >= REVIEW and row["overall"] in (1.0, 2.0, 3.0, 4.0, 5.0) for row in reviews)
    assert all(list(page) == META for page in pages)
    rated = [(item, user, float(stars), int(time)) for item, user, stars, time in ratings[:-1]]
    assert rated == [(row["asin"], row["reviewerID"], row["overall"], row["unixReviewTime"]) for row in reviews]
    known = {page["asin"] for page in pages}
    assert {row["asin"] for row in reviews} <= known
    assert {other for page in pages for name in ("also_buy", "also_view") for other in page[name]} <= known
    assert all(len(asin) == 10 for asin in known)


def test_dates_are_said_in_both_of_the_reviews_forms(small_shop: Path) -> None:
    from datetime import UTC, datetime

    rows, _ = objects(small_shop / "amazon_review_2018" / "review" / "all_category" / "Electronics.json.gz")
    for row in rows:
        said = datetime.strptime(row["reviewTime"], "%m %d, %Y").replace(tzinfo=UTC)
        assert int(said.timestamp()) == row["unixReviewTime"]


def test_stars_lean_to_five(shop: Path) -> None:
    rows, _ = objects(shop / "amazon_review_2018" / "review" / "all_category" / "Sports_and_Outdoors.json.gz")
    shares = {stars: count / len(rows) for stars, count in Counter(row["overall"] for row in rows).items()}
    assert 0.45 < shares[5.0] < 0.75
    assert all(0.02 < shares[stars] < 0.3 for stars in (1.0, 2.0, 3.0, 4.0))


def test_enough_shoppers_come_back(shop: Path) -> None:
    loyal = {}
    for category in CATEGORIES[:4]:
        rows = [line.split(",") for line in lines(shop / f"amazon_review_2018/rating/all_category/{category}.csv")]
        bought = Counter(user for _, user in {(row[0], row[1]) for row in rows if len(row) == 4})
        loyal[category] = sum(count >= 5 for count in bought.values())
    assert sum(loyal[category] for category in CATEGORIES[:3]) >= 1_500
    assert loyal["Tools_and_Home_Improvement"] >= 300


def test_the_dirt_of_the_real_files_is_there(shop: Path) -> None:
    folder = shop / "amazon_review_2018"
    pages, _ = objects(folder / "meta" / "all_category" / "meta_Home_and_Kitchen.json.gz")
    reviews, _ = objects(folder / "review" / "all_category" / "Home_and_Kitchen.json.gz")
    assert len({page["asin"] for page in pages}) < len(pages)
    assert len({json.dumps(row) for row in reviews}) < len(reviews)
    assert any("reviewText" not in row for row in reviews)
    assert any(page["title"].startswith("<span") for page in pages)
    assert any("&amp;" in page["title"] for page in pages)
    for name in ("brand", "price", "description", "similar_item"):
        assert 0 < sum(not page[name] for page in pages) < len(pages), name
    assert any("/dp/B0" in page["similar_item"] for page in pages)
    for name in ("productQA/train-qar.jsonl", "mave/datasets/splits/PRODUCT/train/00_All/mave_positives.jsonl"):
        assert objects(shop / name)[1] == 1
    google = (shop / "amazon_google" / "Amazon.csv").read_bytes()
    with pytest.raises(UnicodeDecodeError):
        google.decode("utf-8")
    assert "éditions lumière" in google.decode("latin-1")


def test_a_few_titles_review_texts_and_prices_are_odd_as_in_the_real_files(shop: Path) -> None:
    folder = shop / "amazon_review_2018"
    pages = [
        page
        for name in CATEGORIES
        for page in objects(folder / "meta" / "all_category" / f"meta_{name}.json.gz")[0]
        if not page["title"].startswith("<span")
    ]
    titles = [page["title"] for page in pages]
    texts = [
        row.get("reviewText", "")
        for row in objects(folder / "review" / "all_category" / "Home_and_Kitchen.json.gz")[0]
    ]
    base = shop / "shopping_queries_dataset" / "shopping_queries_dataset_products.parquet"
    found = [row["product_title"] for row in pq.read_table(base).to_pylist()]
    prices = [row[4] for row in leipzig(shop / "amazon_google" / "Amazon.csv")[1:]]
    for many, odd in (
        (titles, [title for title in titles if "&quot;" in title]),
        (titles, [title for title in titles if "&eacute;" in title]),
        (titles, [title for title in titles if "&amp; Case" in title]),
        (titles, [title for title in titles if "  " in title]),
        (titles, [title for title in titles if title != title.strip()]),
        (titles, [title for title in titles if not title]),
        (texts, [text for text in texts if text != text.rstrip()]),
        (texts, [text for text in texts if text.endswith("\n")]),
        (found, [title for title in found if "<br" in title]),
        (found, [title for title in found if "  " in title]),
        (prices, [price for price in prices if price.isdigit() and price != "0"]),
    ):
        assert 0 < len(odd) < 0.05 * len(many), odd[:1]


def test_the_metadata_of_2014_fills_gaps_of_2018s(shop: Path) -> None:
    filled = {"title": 0, "brand": 0}
    for name in CATEGORIES:
        pages, _ = objects(shop / "amazon_review_2018" / "meta" / "all_category" / f"meta_{name}.json.gz")
        by_id = {page["asin"]: page for page in pages if not page["title"].startswith("<span")}
        *whole, broken = lines(shop / "amazon_review_2014" / f"meta_{name}.json.gz")
        with pytest.raises(SyntaxError):
            ast.literal_eval(broken)
        old = [ast.literal_eval(line) for line in whole]
        assert 0 < len(old) < 0.08 * len(pages)
        assert {page["asin"] for page in old} <= {page["asin"] for page in pages}
        for page in old:
            now = by_id.get(page["asin"])
            for field in filled if now else ():
                filled[field] += bool(page[field] and not now[field])
        assert all(page["asin"] in {row["asin"] for row in old} for page in by_id.values() if not page["title"])
    assert min(filled.values()) > 10


def test_the_mapping_names_products_of_both_catalogues(shop: Path) -> None:
    folder = shop / "amazon_google"
    amazon, google = leipzig(folder / "Amazon.csv"), leipzig(folder / "GoogleProducts.csv")
    mapping = leipzig(folder / "Amzon_GoogleProducts_perfectMapping.csv")
    assert amazon[0] == ["id", "title", "description", "manufacturer", "price"]
    assert google[0] == ["id", "name", "description", "manufacturer", "price"]
    assert mapping[0] == ["idAmazon", "idGoogleBase"]
    assert (folder / "Amazon.csv").read_bytes().count(b"\r\n") == len(amazon)
    left, right = ({row[0]: row[1] for row in rows[1:]} for rows in (amazon, google))
    assert len(left) == len(amazon) - 1
    assert len(right) == len(google) - 1
    assert len(mapping) > 700
    assert all(one in left and other in right for one, other in mapping[1:])
    reworded = sum(left[one] != right[other] for one, other in mapping[1:])
    assert reworded > 0.9 * len(mapping)


def test_judgements_have_all_labels_and_known_products(shop: Path) -> None:
    base = shop / "shopping_queries_dataset" / "shopping_queries_dataset"
    examples = pq.read_table(f"{base}_examples.parquet").to_pylist()
    products = {row["product_id"]: row for row in pq.read_table(f"{base}_products.parquet").to_pylist()}
    with Path(f"{base}_sources.csv").open() as file:
        sources = {int(row["query_id"]) for row in csv.DictReader(file)}
    assert {row["query_id"] for row in examples} == sources
    assert all(row["product_id"] in products for row in examples)
    assert len({row["example_id"] for row in examples}) == len(examples)
    american = [row for row in examples if row["product_locale"] == "us"]
    assert len(american) > 2_500
    assert len(american) < len(examples)
    shares = {label: n / len(american) for label, n in Counter(row["esci_label"] for row in american).items()}
    assert set(shares) == set("ESCI")
    assert min(shares.values()) > 0.08
    splits: dict[int, set[str]] = {}
    for row in examples:
        splits.setdefault(row["query_id"], set()).add(row["split"])
    assert all(len(found) == 1 for found in splits.values())
    several = Counter(query for query, _ in {(row["query_id"], row["esci_label"]) for row in american})
    assert sum(count >= 2 for count in several.values()) > 300


def test_spans_of_the_attributes_hold_their_values(shop: Path) -> None:
    names: set[str] = set()
    count = 0
    for split in ("train", "val", "test"):
        folder = shop / "mave" / "datasets" / "splits" / "PRODUCT" / split / "00_All"
        positives, _ = objects(folder / "mave_positives.jsonl")
        negatives, _ = objects(folder / "mave_negatives.jsonl")
        count += len(positives)
        for row in positives:
            texts = [paragraph["text"] for paragraph in row["paragraphs"]]
            assert row["paragraphs"][0]["source"] == "title"
            for attribute in row["attributes"]:
                names.add(attribute["key"])
                assert attribute["evidences"]
                for found in attribute["evidences"]:
                    assert found["value"] == texts[found["pid"]][found["begin"] : found["end"]] != ""
        assert negatives
        assert all(not attribute["evidences"] for row in negatives for attribute in row["attributes"])
    assert len(names) >= 40
    assert count >= 2_500


def test_questions_are_answerable_or_not_and_some_answer_is_the_most_helpful(shop: Path) -> None:
    rows = [row for split in ("train", "val", "test") for row in objects(shop / f"productQA/{split}-qar.jsonl")[0]]
    assert len(rows) >= 4_000
    assert {row["category"] for row in rows} == set(CATEGORIES)
    assert all(list(row) == QUESTION for row in rows)
    assert {row["questionType"] for row in rows} == {"descriptive", "yesno"}
    share = sum(row["is_answerable"] for row in rows) / len(rows)
    assert 0.35 < share < 0.7
    assert all(row["answers"] and row["answers"][0]["answerText"] for row in rows)
    snippets = [len(row["review_snippets"]) for row in rows if row["review_snippets"]]
    assert 5 <= min(snippets) <= max(snippets) <= 8
    texts = Counter(row["questionText"] for row in rows)
    assert len(texts) > 0.95 * len(rows)


def test_one_answerable_open_question_in_ten_has_no_answer_with_a_helpful_vote(shop: Path) -> None:
    rows = [row for split in ("train", "val", "test") for row in objects(shop / f"productQA/{split}-qar.jsonl")[0]]
    asked = [row for row in rows if row["is_answerable"] and row["questionType"] == "descriptive"]
    unvoted = [row for row in asked if not any(answer["helpful"][0] for answer in row["answers"])]
    assert 0.07 < len(unvoted) / len(asked) < 0.13
    assert {answer["helpful"][1] for row in unvoted for answer in row["answers"]} == {0, 1, 2}
    voted = [row for row in asked if row not in unvoted]
    assert all(max(answer["helpful"][0] for answer in row["answers"]) >= 2 for row in voted)


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "inf", "1e9"])
def test_a_scale_out_of_range_is_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, scale: str
) -> None:
    code, _, err = run("simulate", "--out", tmp_path / "shop", "--scale", scale)
    assert code == 1
    assert "scale" in err
    assert not list(tmp_path.iterdir())


def test_the_verb_writes_a_shop_and_refuses_to_write_over_it(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    out = tmp_path / "shop"
    code, said, _ = run("simulate", "--out", out, "--scale", "0.02", "--seed", "5")
    assert code == 0
    assert "reviews" in said
    before = hashes(out)
    code, _, err = run("simulate", "--out", out, "--scale", "0.02", "--seed", "6")
    assert code == 1
    assert "exists already" in err
    assert hashes(out) == before
    simulate(tmp_path / "same", 0.02, 5)
    assert hashes(tmp_path / "same") == before


def test_nothing_is_left_where_writing_fails(tmp_path: Path) -> None:
    def stop(share: float) -> None:
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "shop", 0.02, say=stop)
    assert not list(tmp_path.iterdir())
