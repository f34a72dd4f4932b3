"""Amazon Review: reviews, purchases, products and relations from files in the source's own form."""

import gzip
from pathlib import Path

import pytest
from source_files import page, page_file, rating_file, read, review, review_file, write_lines

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, Sources
from ecellm.data.sources import EngineChoice
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS

pytestmark = pytest.mark.usefixtures("engine")

REVIEWS = Sources(amazon_reviews="amazon_review_2018")
BOTH = Sources(amazon_reviews="amazon_review_2018", amazon_reviews_2014="old")


def test_a_review_becomes_a_row_of_its_files_category(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(overall=4.0, reviewText="Très bon\nproduit")])
    assert read(tmp_path, REVIEWS, reviews=["Beauty"])["reviews"] == [
        {
            "category": "Beauty",
            "product_id": "B000000001",
            "user_id": "A1",
            "stars": 4,
            "text": "Très bon\nproduit",
            "time": 1472688000,
        }
    ]


def test_only_the_named_categories_are_read(tmp_path: Path) -> None:
    for category in ("Beauty", "Garden"):
        write_lines(review_file(tmp_path, category), [review()])
    found = read(tmp_path, REVIEWS, reviews=["Garden"])
    assert [row["category"] for row in found["reviews"]] == ["Garden"]
    assert [file.path for file in found.inputs] == ["amazon_review_2018/review/all_category/Garden.json.gz"]
    assert set(found.tables) == {"reviews"}


def test_a_review_without_text_has_an_empty_one(tmp_path: Path) -> None:
    silent = review(item="B2")
    del silent["reviewText"]
    write_lines(review_file(tmp_path), [silent, review(item="B3", reviewText=None)])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"])
    assert [row["text"] for row in found["reviews"]] == ["", ""]
    assert found.rejects == []


def test_bad_reviews_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    nobody = review()
    del nobody["reviewerID"]
    lines = [
        review(user="good"),
        b'{"overall": 5.0, "asin": "B1", ',
        b"",
        b"[1, 2]",
        nobody,
        review(overall="many"),
        review(overall=6),
        review(overall=2.5),
        b'{"overall": 5.0, "asin": "B1", "reviewText": "\xff\xfe"}',
        review(reviewText={"a": 1}),
        review(asin=""),
        review(unixReviewTime=None),
        review(user="good", reviewText='{ "braces" } are fine'),
    ]
    file = write_lines(review_file(tmp_path), lines)
    found = read(tmp_path, REVIEWS, reviews=["Beauty"])
    assert [row["user_id"] for row in found["reviews"]] == ["good", "good"]
    assert found.places() == {
        2: "not valid JSON",
        4: "not a JSON object",
        5: "reviewerID is missing",
        6: "overall has the wrong type",
        7: "stars are not 1 to 5",
        8: "stars are not 1 to 5",
        9: "invalid encoding",
        10: "reviewText has the wrong type",
        11: "asin is missing",
        12: "unixReviewTime is missing",
    }
    assert {row["file"] for row in found.rejects} == {file.relative_to(tmp_path).as_posix()}
    assert found.rejects[0]["excerpt"] == '{"overall": 5.0, "asin": "B1", '


#: Not times, whatever is meant: a year, a day of Excel, yyyymmdd, microseconds, a day far ahead.
IMPLAUSIBLE = [2016, 42370, 20160101, 1472688000000000, 4102444800]


def test_times_are_seconds_or_milliseconds_and_others_are_rejected(tmp_path: Path) -> None:
    times = [1472688000, 1472688000999, *IMPLAUSIBLE]
    write_lines(review_file(tmp_path), [review(unixReviewTime=time) for time in times])
    write_lines(rating_file(tmp_path), [f"B1,A1,5.0,{time}".encode() for time in times])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"], ratings=["Beauty"], tables=["reviews", "purchases"])
    for table in ("reviews", "purchases"):
        assert [row["time"] for row in found[table]] == [1472688000, 1472688000], table
    reason = "time is not from 1990 to tomorrow"
    assert found.reasons() == {("Beauty.csv", reason): 5, ("Beauty.json.gz", reason): 5}
    assert sorted(row["line"] for row in found.rejects) == sorted([*range(3, 8)] * 2)


def test_a_carriage_return_alone_ends_a_line_too(tmp_path: Path) -> None:
    data = b"B1,A1,5.0,1400000000\rB2,A1,4.0,1400000001\r\nbad\rB3,A1,3.0,1400000002\n\r\n"
    write_lines(rating_file(tmp_path), [data], end=b"")
    found = read(tmp_path, REVIEWS, ratings=["Beauty"], tables=["purchases"])
    assert sorted(row["product_id"] for row in found["purchases"]) == ["B1", "B2", "B3"]
    assert found.reasons() == {("Beauty.csv", "not 4 columns"): 1}


def test_a_file_whose_times_are_all_implausible_is_refused_with_a_value(tmp_path: Path) -> None:
    write_lines(rating_file(tmp_path), [b"B1,A1,5.0,20160101", b"B2,A1,5.0,20160102"])
    with pytest.raises(EcellmError, match=r"time is not from 1990 to tomorrow, as in 'B1,A1,5\.0,20160101'"):
        read(tmp_path, REVIEWS, ratings=["Beauty"], tables=["purchases"])


def test_lines_may_end_as_on_windows(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(), b"bad", review(), b"\xff", review()], end=b"\r\n")
    found = read(tmp_path, REVIEWS, reviews=["Beauty"])
    assert len(found["reviews"]) == 3
    assert found.places() == {2: "not valid JSON", 4: "invalid encoding"}


def test_only_the_first_lines_of_each_file_of_reviews_are_read(tmp_path: Path) -> None:
    for category in ("Beauty", "Garden"):
        lines = [*(review(user=f"{category}{number}") for number in range(6)), b"bad and late"]
        lines[1], lines[3] = b"", b"bad"
        write_lines(review_file(tmp_path, category), lines)
    found = read(tmp_path, REVIEWS, reviews=["Beauty", "Garden"], first_reviews=5)
    # Blank and broken lines count.
    assert {row["user_id"] for row in found["reviews"]} == {
        f"{category}{number}" for category in ("Beauty", "Garden") for number in (0, 2, 4)
    }
    folder = "amazon_review_2018/review/all_category"
    assert {(row["file"], row["line"], row["reason"]) for row in found.rejects} == {
        (f"{folder}/{category}.json.gz", 4, "not valid JSON") for category in ("Beauty", "Garden")
    }
    assert {(file.path, file.bytes) for file in found.inputs} == {
        (f"{folder}/{path.name}", path.stat().st_size)
        for path in (review_file(tmp_path, "Beauty"), review_file(tmp_path, "Garden"))
    }


@pytest.mark.parametrize("first", [None, 100])
def test_all_reviews_are_read_where_no_number_or_a_large_one_is_given(tmp_path: Path, first: int | None) -> None:
    write_lines(review_file(tmp_path), [*(review(user=f"A{number}") for number in range(6)), b"bad"])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"], first_reviews=first)
    assert len(found["reviews"]) == 6
    assert found.places() == {7: "not valid JSON"}


@pytest.mark.parametrize("ending", [".json", ".json.gz"])
def test_the_first_reviews_of_a_folder_are_counted_over_its_files_in_their_order(tmp_path: Path, ending: str) -> None:
    folder = review_file(tmp_path)
    for place in (2, 0, 1):
        users = [review(user=f"{place}-{number}") for number in range(3)]
        write_lines(folder / f"part-{place}{ending}", [*users[:2], b"bad", users[2]])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"], first_reviews=7)
    assert {row["user_id"] for row in found["reviews"]} == {"0-0", "0-1", "0-2", "1-0", "1-1"}
    names = [f"amazon_review_2018/review/all_category/Beauty.json.gz/part-{place}{ending}" for place in (0, 1)]
    assert sorted((row["file"], row["line"]) for row in found.rejects) == [(name, 3) for name in names]
    # What is not read at all is no input.
    assert sorted(file.path for file in found.inputs) == names


@pytest.mark.parametrize(("first", "read_rows"), [({"first_reviews": 12}, 12), ({}, 40)])
def test_a_build_reads_as_many_reviews_as_the_config_says(
    tmp_path: Path, engine: EngineChoice, first: dict[str, int], read_rows: int
) -> None:
    made = "one two three four five six seven eight nine ten and number {} of all reviews here"
    rows = [review(user=f"A{n}", item=f"B{n:09}", reviewText=made.format(n * 7919)) for n in range(40)]
    write_lines(review_file(tmp_path), rows)
    plan = {"in_domain": ["Beauty"], "out_of_domain_test": 0, **first}
    config = BuildConfig.model_validate({"sources": {"amazon_reviews": "amazon_review_2018"}, "tasks": {"SA": plan}})
    manifest = build(tmp_path, config, tmp_path / "out", [TASKS["SA"]], None, lambda step: None, engine)
    assert sum(manifest["counts"]["SA"].values()) == read_rows
    assert manifest["config"]["tasks"]["SA"]["first_reviews"] == first.get("first_reviews")


def test_a_rating_becomes_a_purchase(tmp_path: Path) -> None:
    write_lines(rating_file(tmp_path), [b"B1,A1,5.0,1400000000", b"B2,A1,1.0,1400000001"])
    assert read(tmp_path, REVIEWS, ratings=["Beauty"], tables=["purchases"])["purchases"] == [
        {"category": "Beauty", "product_id": "B1", "user_id": "A1", "time": 1400000000},
        {"category": "Beauty", "product_id": "B2", "user_id": "A1", "time": 1400000001},
    ]


def test_bad_ratings_are_set_aside_with_line_and_reason(tmp_path: Path) -> None:
    lines = [
        b"item,user,rating,time",
        b"B1,A1,5.0,1400000000",
        b"B1,A1,5.0",
        b"B1,A1,5.0,1400000000,x",
        b"B1,A1,0.0,1400000000",
        b"B1,A1,nan,1400000000",
        b"B1,A1,5.0,yesterday",
        b",A1,5.0,1400000000",
        b"B\xff,A1,5.0,1400000000",
    ]
    write_lines(rating_file(tmp_path), lines)
    found = read(tmp_path, REVIEWS, ratings=["Beauty"], tables=["purchases"])
    assert len(found["purchases"]) == 1
    assert found.places() == {
        1: "rating is not 1 to 5",
        3: "not 4 columns",
        4: "not 4 columns",
        5: "rating is not 1 to 5",
        6: "rating is not 1 to 5",
        7: "time is not a whole number",
        8: "product or user is missing",
        9: "invalid encoding",
    }


def test_a_page_becomes_a_product(tmp_path: Path) -> None:
    write_lines(page_file(tmp_path), [page(title='<span class="a">Comb</span>', brand="")])
    assert read(tmp_path, REVIEWS, metadata=["Beauty"])["products"] == [
        {
            "catalogue": "amazon_2018",
            "category": "Beauty",
            "product_id": "B000000001",
            "title": '<span class="a">Comb</span>',
            "description": "A comb., Made of wood.",
            "feature": "light, strong",
            "brand": None,
            "price": "$4.99",
            "categories": ["Beauty", "Hair Care"],
            "fields": [],
            "shown": None,
        }
    ]


def test_what_a_page_lacks_is_null_or_empty(tmp_path: Path) -> None:
    write_lines(page_file(tmp_path), [{"asin": "B1", "description": "", "category": None}])
    found = read(tmp_path, REVIEWS, metadata=["Beauty"])
    (row,) = found["products"]
    assert [row[name] for name in ("title", "description", "feature", "brand", "price")] == [None] * 5
    assert row["categories"] == []
    assert found.rejects == [] and found["relations"] == []


def test_a_page_of_wrong_types_is_set_aside(tmp_path: Path) -> None:
    lines = [
        page(),
        page(item="B2", also_buy="B1"),
        page(item="B3", title=["x"]),
        page(item="B4", title="[New] comb", description=["[New] and", "{so on}"]),
        page(item="B5", description=["A comb.", {"made": "of wood"}]),
        page(item="B6", feature=[["light"]]),
        page(item="B7", also_view=[None]),
    ]
    write_lines(page_file(tmp_path), lines)
    found = read(tmp_path, REVIEWS, metadata=["Beauty"])
    assert {row["product_id"] for row in found["products"]} == {"B000000001", "B4"}
    assert found.product("B4")["description"] == "[New] and, {so on}"
    assert found.places() == {
        2: "also_buy has the wrong type",
        3: "title has the wrong type",
        5: "description has the wrong type",
        6: "feature has the wrong type",
        7: "also_view has the wrong type",
    }


def test_of_a_repeated_product_one_stays_whatever_the_order(tmp_path: Path) -> None:
    twice = [page(title=f"Comb {number}") for number in range(8)]
    other = page(item="B2")
    kept = set()
    for order in (twice, twice[::-1], twice[3:] + twice[:3]):
        write_lines(page_file(tmp_path), [*order, other])
        found = read(tmp_path, REVIEWS, metadata=["Beauty"])
        kept.add(found.product("B000000001")["title"])
        assert len(found["products"]) == 2
        assert found.reasons() == {("meta_Beauty.json.gz", "product stands there already"): 7}
    assert len(kept) == 1


def test_the_same_product_may_stand_in_two_categories(tmp_path: Path) -> None:
    for category in ("Beauty", "Garden"):
        write_lines(page_file(tmp_path, category), [page()])
    found = read(tmp_path, REVIEWS, metadata=["Beauty", "Garden"])
    assert sorted(row["category"] for row in found["products"]) == ["Beauty", "Garden"]
    assert found.rejects == []


@pytest.mark.parametrize(
    "markup",
    [
        '<a href="https://www.amazon.com/x?asin=B000000007&ref=s">a</a><a href="/gp/x?asin=B000000008">b</a>',
        '<a href="/dp/B000000007/ref=psdc_1">x</a> <a href="/dp/B000000008?th=1">y</a><img src="/dp/B000000007"/>',
        "<tr data-asin=\"B000000007\"></tr><tr data-asin='B000000008'></tr>",
        '<a href="https://www.amazon.com/gp/product/B000000007">x</a><a href="/Comb-Oak/dp/B000000008">y</a>',
    ],
)
def test_similar_products_are_found_in_the_markup(tmp_path: Path, markup: str) -> None:
    write_lines(page_file(tmp_path), [page(similar_item=markup)])
    found = read(tmp_path, REVIEWS, metadata=["Beauty"])["relations"]
    assert [(row["other_id"], row["relation"]) for row in found] == [
        ("B000000007", "similar"),
        ("B000000008", "similar"),
    ]


def test_relations_are_distinct_and_never_to_the_page_itself(tmp_path: Path) -> None:
    also = ["B000000002", "B000000002", "B000000001", ""]
    write_lines(page_file(tmp_path), [page(also_buy=also, also_view=also[:1])])
    found = read(tmp_path, REVIEWS, metadata=["Beauty"])["relations"]
    assert [(row["product_id"], row["other_id"], row["relation"]) for row in found] == [
        ("B000000001", "B000000002", "also_buy"),
        ("B000000001", "B000000002", "also_view"),
    ]


def old_pages(root: Path, lines: list[bytes]) -> Path:
    return write_lines(root / "old" / "meta_Beauty.json.gz", lines)


def test_metadata_of_2014_is_read_from_python_literals(tmp_path: Path) -> None:
    write_lines(rating_file(tmp_path), [b"B1,A1,5.0,1400000000"])
    write_lines(page_file(tmp_path), [page(item="B1", title="")])
    lines = [
        b"{'asin': 'B1', 'title': \"Woody's comb\", 'price': 4.99, 'categories': [['Beauty', 'Hair'], ['Gifts']], "
        b"'related': {'also_bought': ['B2']}, 'imUrl': None}",
        "{'asin': 'B2', 'title': 'Brosse à dents \\d', 'brand': 'Élan'}".encode(),
    ]
    old_pages(tmp_path, lines)
    found = read(tmp_path, BOTH, metadata=["Beauty"], ratings=["Beauty"])
    first, second = found.product("B1", "amazon_2014"), found.product("B2", "amazon_2014")
    assert (first["title"], first["categories"], first["brand"]) == ("Woody's comb", ["Beauty", "Hair"], None)
    assert (second["title"], second["categories"], second["brand"]) == ("Brosse à dents \\d", [], "Élan")
    assert found.product("B1", "amazon_2018")["title"] is None
    assert "old/meta_Beauty.json.gz" in {file.path for file in found.inputs}


def test_bad_literals_are_set_aside_and_nothing_is_executed(tmp_path: Path) -> None:
    write_lines(rating_file(tmp_path), [b"B1,A1,5.0,1400000000"])
    mark = tmp_path / "executed"
    lines = [
        b"{'asin': 'B1', 'title': 'Comb'}",
        f"{{'asin': 'B2', 'title': open({str(mark)!r}, 'w')}}".encode(),
        f"__import__('pathlib').Path({str(mark)!r}).touch()".encode(),
        b"{'asin': 'B3', 'title': b'bytes'}",
        b"{'asin': 'B4', 'title': {1, 2}}",
        b"{'asin': 'B5', 'title': '\xff'}",
        b"['asin', 'B6']",
        b"{'title': 'no number'}",
        b"(" * 5000,
        b"{'asin': 'B7', 'categories': 'Beauty'}",
    ]
    old_pages(tmp_path, lines)
    found = read(tmp_path, BOTH, ratings=["Beauty"], tables=["purchases"])
    assert [row["product_id"] for row in found["products"]] == ["B1"]
    assert not mark.exists()
    assert found.places() == {
        2: "not valid JSON",
        3: "not valid JSON",
        4: "not valid JSON",
        5: "not valid JSON",
        6: "invalid encoding",
        7: "not valid JSON",
        8: "asin is missing",
        9: "not valid JSON",
        10: "categories has the wrong type",
    }
    assert {row["file"] for row in found.rejects} == {"old/meta_Beauty.json.gz"}


def test_a_missing_category_of_2014_is_an_error(tmp_path: Path) -> None:
    write_lines(rating_file(tmp_path), [b"B1,A1,5.0,1400000000"])
    (tmp_path / "old").mkdir()
    with pytest.raises(EcellmError, match=r"There is no file .*old/meta_Beauty\.json\.gz"):
        read(tmp_path, BOTH, ratings=["Beauty"], tables=["purchases"])


def test_a_damaged_file_of_2014_is_an_error(tmp_path: Path) -> None:
    write_lines(rating_file(tmp_path), [b"B1,A1,5.0,1400000000"])
    whole = gzip.compress(b"{'asin': 'B1', 'title': 'Comb'}\n" * 50)
    file = tmp_path / "old" / "meta_Beauty.json.gz"
    file.parent.mkdir()
    file.write_bytes(whole[:-12])
    with pytest.raises(EcellmError, match=r"meta_Beauty\.json\.gz is damaged or cut short"):
        read(tmp_path, BOTH, ratings=["Beauty"], tables=["purchases"])
