"""Opening the Store: whole-file faults are one clear sentence, nothing is left behind, order does not matter."""

import gzip
import json
import os
import random
import signal
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from source_files import (
    ALL,
    described,
    judged_product,
    judgement,
    mave_file,
    opened,
    page,
    page_file,
    question,
    rating_file,
    read,
    review,
    review_file,
    write_catalogues,
    write_esci,
    write_lines,
    write_mave,
    write_questions,
)

from ecellm.data.config import Sources
from ecellm.data.schema import SCHEMAS
from ecellm.data.sources import Wanted
from ecellm.errors import EcellmError

pytestmark = pytest.mark.usefixtures("engine")

WANTED = {"reviews": ["Beauty"], "metadata": ["Beauty"], "ratings": ["Beauty"]}
REVIEWS = Sources(amazon_reviews="amazon_review_2018")


def write_everything(root: Path, shuffle: Callable[[list], list] = lambda rows: rows) -> None:
    """Write all five sources, the rows of each file in the order that `shuffle` gives."""
    numbers = range(1, 13)
    pages = [page(f"B{number:09}", also_buy=[f"B{number + 1:09}"], price=f"${number}") for number in numbers]
    pages += [page("B000000001", title="Comb again")]
    write_lines(review_file(root), shuffle([*(review(user=f"A{n}") for n in numbers), b"bad", b"\xff"]))
    write_lines(page_file(root), shuffle([*pages, b"{}"]))
    write_lines(rating_file(root), shuffle([f"B{n},A1,5.0,{1_400_000_000 + n}".encode() for n in numbers] + [b"bad"]))
    write_catalogues(root, amazon=shuffle([(f"a{n}", f"word {n % 5}", "", "", "1") for n in numbers]))
    examples = [judgement(n, esci_label="ESCI"[n % 4]) for n in numbers]
    write_esci(root, shuffle(examples), shuffle([judged_product(n % 10) for n in numbers]))
    positives = shuffle([*(described(f"M{n % 9}", [("title", f"Oak comb {n}")]) for n in numbers), b"bad"])
    write_mave(root, {("train", "positives"): positives})
    write_questions(root, test=shuffle([*(question(n) for n in numbers), b"bad"]))


FILES = (
    "amazon_review_2018/review/all_category/Beauty.json.gz",
    "amazon_review_2018/meta/all_category/meta_Beauty.json.gz",
    "amazon_review_2018/rating/all_category/Beauty.csv",
    "amazon_google/Amazon.csv",
    "amazon_google/GoogleProducts.csv",
    "amazon_google/Amzon_GoogleProducts_perfectMapping.csv",
    "shopping_queries_dataset/shopping_queries_dataset_examples.parquet",
    "shopping_queries_dataset/shopping_queries_dataset_products.parquet",
    "mave/datasets/splits/PRODUCT/train/00_All/mave_positives.jsonl",
    "mave/datasets/splits/PRODUCT/val/00_All/mave_negatives.jsonl",
    "productQA/train-qar.jsonl",
    "productQA/test-qar.jsonl",
)


def only(name: str) -> tuple[Sources, dict[str, list[str]], tuple[str, ...]]:
    """Return the source, the categories and the tables that make a build read one file and few others."""
    folder = name.split("/")[0]
    source = next(key for key, value in ALL.model_dump().items() if value == folder)
    kind = {"review": "reviews", "meta": "metadata", "rating": "ratings"}.get(name.split("/")[1], "")
    return Sources(**{source: folder}), ({kind: ["Beauty"]} if kind else {}), tuple(SCHEMAS)


def failure(root: Path, name: str) -> str:
    """Read one source and return the sentence it fails with."""
    sources, wanted, tables = only(name)
    with pytest.raises(EcellmError, match=r".") as caught:
        read(root, sources, **wanted, tables=tables)  # type: ignore[arg-type]
    said = str(caught.value)
    assert name in said and "\n" not in said and said.endswith((".", "?")), said
    return said


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_everything(tmp_path)
    (tmp_path / name).unlink()
    assert failure(tmp_path, name).startswith("There is no file ")


@pytest.mark.parametrize("name", FILES)
def test_an_empty_file_is_named(tmp_path: Path, name: str) -> None:
    write_everything(tmp_path)
    (tmp_path / name).write_bytes(b"")
    assert "is empty" in failure(tmp_path, name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_something_else_is_named(tmp_path: Path, name: str) -> None:
    write_everything(tmp_path)
    noise = random.Random(1).randbytes(5000)
    (tmp_path / name).write_bytes(gzip.compress(noise) if name.endswith(".gz") else noise)
    said = failure(tmp_path, name)
    assert "is it the right file?" in said or "cannot be read" in said


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".gz")])
@pytest.mark.parametrize("damage", ["cut", "end cut", "flipped", "no gzip", "trailing noise"])
def test_a_damaged_gzip_is_named(tmp_path: Path, name: str, damage: str) -> None:
    write_everything(tmp_path)
    data = (tmp_path / name).read_bytes()
    middle = len(data) // 2
    damaged = {
        "cut": data[:middle],
        "end cut": data[:-4],
        "flipped": data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :],
        "no gzip": b"plain text\n" * 50,
        "trailing noise": data + b"noise",
    }
    (tmp_path / name).write_bytes(damaged[damage])
    said = "is not compressed with gzip" if damage == "no gzip" else "is damaged or cut short"
    assert said in failure(tmp_path, name)


def test_a_gzip_without_a_line_is_named(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [])
    with pytest.raises(EcellmError, match=r"Beauty\.json\.gz has no usable row"):
        read(tmp_path, REVIEWS, reviews=["Beauty"])


def test_a_file_without_one_good_line_is_named_with_the_reason(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [b"bad", b"worse"])
    with pytest.raises(EcellmError, match=r"no usable row \(not valid JSON, as in 'bad'\)"):
        read(tmp_path, REVIEWS, reviews=["Beauty"])


@pytest.mark.parametrize("source", [name for name in sorted(ALL.model_dump(exclude_unset=True)) if name != "tables"])
def test_a_missing_source_folder_is_named(tmp_path: Path, source: str) -> None:
    folder = str(getattr(ALL, source))
    with pytest.raises(EcellmError, match=f"There is no folder .*{folder}"):
        read(tmp_path, Sources(**{source: folder}), **WANTED)  # type: ignore[arg-type]


def test_a_missing_sources_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match=r"There is no sources folder .*nowhere"):
        read(tmp_path / "nowhere", ALL)


def test_a_category_without_file_is_named(tmp_path: Path) -> None:
    write_everything(tmp_path)
    with pytest.raises(EcellmError, match=r"There is no file .*Garden\.json\.gz: check .* categories"):
        read(tmp_path, REVIEWS, reviews=["Beauty", "Garden"])


def test_products_of_all_sources_stand_in_one_table(tmp_path: Path) -> None:
    write_everything(tmp_path)
    found = read(tmp_path, ALL, **WANTED)
    assert {row["catalogue"] for row in found["products"]} == {"amazon_2018", "amazon", "google", "esci", "mave"}
    assert set(found.tables) == set(SCHEMAS) - {"pairs"}  # which a user's own tables alone give


def test_only_what_the_named_tables_need_is_read(tmp_path: Path) -> None:
    write_everything(tmp_path)
    found = read(tmp_path, ALL, tables=["products", "matches"])
    assert {file.path.split("/")[0] for file in found.inputs} == {"amazon_google"}
    with pytest.raises(KeyError):
        found["judgements"]


def test_a_table_that_no_source_gives_says_which_source_would(tmp_path: Path) -> None:
    write_catalogues(tmp_path)
    with (
        opened(tmp_path, Sources(amazon_google="amazon_google"), Wanted(), ["matches"]) as (
            store,
            _,
        ),
        pytest.raises(EcellmError, match="no table 'attributes': name the source mave"),
    ):
        store["attributes"]


def test_every_file_read_is_recorded_with_bytes_and_hash(tmp_path: Path) -> None:
    write_everything(tmp_path)
    found = read(tmp_path, ALL, **WANTED)
    assert {file.path for file in found.inputs} >= set(FILES)
    assert len({file.path for file in found.inputs}) == len(found.inputs) == 17
    for file in found.inputs:
        data = (tmp_path / file.path).read_bytes()
        assert (file.bytes, file.sha256) == (len(data), sha256(data).hexdigest())


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_depends_on_the_order_of_rows(tmp_path: Path, seed: int) -> None:
    write_everything(tmp_path / "one")
    rng = random.Random(seed)
    write_everything(tmp_path / "other", lambda rows: rng.sample(rows, len(rows)))
    one, other = (read(tmp_path / name, ALL, **WANTED) for name in ("one", "other"))
    assert one.tables == other.tables
    assert one.reasons() == other.reasons()
    excerpts = [sorted(json.dumps([row["file"], row["reason"]]) for row in found.rejects) for found in (one, other)]
    assert excerpts[0] == excerpts[1] and len(excerpts[0]) == 12


LINES = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_characters="\n\r"), max_size=30).map(
            lambda text: json.dumps(review(reviewText=text), ensure_ascii=False).encode("utf-8", "surrogatepass")
        ),
        st.text(max_size=30).map(lambda text: json.dumps(review(reviewText=text)).encode()),
        st.binary(max_size=20).map(lambda data: data.replace(b"\n", b"").replace(b"\r", b"")),
        st.sampled_from([b"", b"null", b"{}", b'"text"', b"\xef\xbb\xbf{}", b"\x00", b"1,2"]),
    ),
    max_size=25,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, plain=st.booleans())
def test_every_line_is_a_row_or_a_reject_whatever_it_holds(tmp_path: Path, lines: list[bytes], plain: bool) -> None:
    folder = tmp_path
    good = json.dumps(question(0)).encode() if plain else json.dumps(review(user="sure")).encode()
    full = [good, *lines, good]
    if plain:
        write_questions(folder, train=full)
        found = read(folder, Sources(amazon_qa="productQA"))
        rows = [row for row in found["questions"] if row["split"] == "train"]
    else:
        write_lines(review_file(folder), full)
        found = read(folder, REVIEWS, reviews=["Beauty"])
        rows = found["reviews"]
    there = [number for number, line in enumerate(full, 1) if line.strip(b" ")]
    numbers = [row["line"] for row in found.rejects]
    assert len(rows) + len(numbers) == len(there)
    assert None not in numbers and set(numbers) <= set(there) and len(set(numbers)) == len(numbers)
    if not plain:
        assert {number for number in there if valid_review(full[number - 1])}.isdisjoint(numbers)


def valid_review(line: bytes) -> bool:
    try:
        row = json.loads(line.decode("utf-8"))
        row["reviewText"].encode("utf-8")  # a lone half of a surrogate pair is no text
        return isinstance(row, dict) and "asin" in row and "\x00" not in row["reviewText"]
    except (ValueError, KeyError, TypeError):
        return False


def test_names_that_look_like_patterns_or_quotes_are_just_names(tmp_path: Path) -> None:
    root = tmp_path / "a [b] *c* 'd' é"
    category = "Men's {Things}"
    write_lines(review_file(root, category), [review(), b"bad"])
    found = read(root, REVIEWS, reviews=[category])
    assert [row["category"] for row in found["reviews"]] == [category]
    assert found.rejects[0]["file"].endswith("Men's {Things}.json.gz")


def test_more_bad_lines_than_are_numbered_are_still_all_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ecellm.data.engines.duckdb.MOST_NUMBERED", 5)
    monkeypatch.setattr("ecellm.data.engines.spark.MOST_NUMBERED", 5)
    write_lines(review_file(tmp_path), [review(), *[b"bad"] * 4, *[b"\xff"] * 4])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"])
    assert len(found.rejects) == 8 and {row["line"] for row in found.rejects} == {None}


def test_a_line_longer_than_can_be_read_is_set_aside(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(), review(reviewText="x" * (5 << 20)), review()])
    found = read(tmp_path, REVIEWS, reviews=["Beauty"])
    assert len(found["reviews"]) == 2
    (reject,) = found.rejects
    assert reject["reason"] == "line size over maximum" and len(reject["excerpt"]) == 200


def test_equal_bad_lines_are_each_set_aside_with_their_own_number(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [b"bad", review(), b"bad", b"", b"bad"])
    assert [row["line"] for row in read(tmp_path, REVIEWS, reviews=["Beauty"]).rejects] == [1, 3, 5]


def test_nothing_stays_in_the_temporary_folder(tmp_path: Path) -> None:
    space = tmp_path / "space"
    space.mkdir()
    write_everything(tmp_path)
    wanted = Wanted(["Beauty"], ["Beauty"], ["Beauty"])
    with opened(tmp_path, ALL, wanted, tuple(SCHEMAS), space):
        assert list(space.iterdir())
    assert not list(space.iterdir())
    with (
        pytest.raises(RuntimeError, match="mine"),
        opened(tmp_path, ALL, wanted, tuple(SCHEMAS), space),
    ):
        raise RuntimeError("mine")
    assert not list(space.iterdir())
    (tmp_path / FILES[0]).write_bytes(b"\x1f\x8b, and no gzip")
    with (
        pytest.raises(EcellmError, match="damaged"),
        opened(tmp_path, ALL, wanted, ["reviews"], space),
    ):
        pass
    assert not list(space.iterdir())


def test_ctrl_c_during_a_query_is_an_interrupt_and_leaves_nothing(tmp_path: Path) -> None:
    space = tmp_path / "space"
    space.mkdir()
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(3000)])
    with (
        pytest.raises(KeyboardInterrupt),
        opened(tmp_path, REVIEWS, Wanted(["Beauty"]), ["reviews"], space) as (store, _),
    ):
        users = [store["reviews"].select(**{name: "user_id"}) for name in ("a", "b", "c")]
        triples = users[0].cross_join(users[1]).cross_join(users[2])
        long = triples.filter((triples.a + triples.b + triples.c).hexdigest("md5") < "1").count()
        alarm = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        alarm.start()
        try:
            store.rows(long.as_table())
        finally:
            alarm.cancel()
    assert not list(space.iterdir())


def test_mave_files_of_one_split_do_not_stand_in_for_another(tmp_path: Path) -> None:
    write_everything(tmp_path)
    mave_file(tmp_path, "val", "positives").unlink()
    with pytest.raises(EcellmError, match=r"There is no file .*val/00_All/mave_positives\.jsonl"):
        read(tmp_path, Sources(mave="mave"))
