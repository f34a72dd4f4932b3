"""The shelf: sources are read when tasks need them, let go when memory is short, and read again alike."""

import json
from pathlib import Path

import pytest
from source_files import (
    ALL,
    in_order,
    mave_file,
    page,
    page_file,
    question,
    review,
    review_file,
    write_catalogues,
    write_lines,
    write_mave,
    write_questions,
)

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, Sources
from ecellm.data.engines.duckdb import DuckWorkbench
from ecellm.data.schema import SCHEMAS
from ecellm.data.source_cache import Shelf
from ecellm.data.sources import EngineChoice, Wanted, open_shelf
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS
from ecellm.types import SPLITS

SOME = Sources(amazon_reviews="amazon_review_2018", mave="mave")
WANTED = Wanted(["Beauty"], ["Beauty"])


def write_some(root: Path) -> None:
    write_lines(review_file(root), [review(), review(), b"bad", review(user="A2")])
    write_lines(page_file(root), [page(also_buy=["B000000002"]), page(title="Comb again"), b"bad"])
    write_mave(root)


def kept(shelf: Shelf) -> int:
    """How many tables the engine holds."""
    assert isinstance(shelf.bench, DuckWorkbench)
    return int(shelf.bench.con.raw_sql("SELECT count(*) FROM duckdb_tables() WHERE NOT temporary").fetchall()[0][0])


def test_a_source_is_read_when_its_table_is_asked_for_and_no_sooner(tmp_path: Path) -> None:
    write_some(tmp_path)
    said: list[str] = []
    with open_shelf(tmp_path, SOME, WANTED, tuple(SCHEMAS), say=said.append) as shelf:
        assert not said and not shelf.bench.inputs
        store = shelf.store({"reviews"})
        assert store.count(store["reviews"]) == 3
        # Reviews may be told by brand: the metadata comes along.
        assert said == ["reading reviews", "reading metadata"]
        with pytest.raises(EcellmError, match="no table 'attributes'"):
            store["attributes"]
        assert shelf.store({"reviews", "attributes"}).count(store["reviews"]) == 3
        assert said[2:] == ["reading mave"]


def test_a_missing_file_is_said_before_any_is_read(tmp_path: Path) -> None:
    write_some(tmp_path)
    mave_file(tmp_path, "test", "negatives").unlink()
    said: list[str] = []
    with (
        pytest.raises(EcellmError, match=r"There is no file .*test/00_All/mave_negatives\.jsonl"),
        open_shelf(tmp_path, SOME, WANTED, tuple(SCHEMAS), say=said.append) as shelf,
    ):
        shelf.store()
    assert not said


def test_what_is_not_needed_is_let_go_where_memory_is_short_and_read_again_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_some(tmp_path)
    said: list[str] = []
    with open_shelf(tmp_path, SOME, WANTED, tuple(SCHEMAS), say=said.append) as shelf:
        empty = kept(shelf)
        store = shelf.store()
        first = {name: in_order(store.rows(table)) for name, table in store.tables.items()}
        rejects, full = shelf.bench.rejected(), kept(shelf)
        assert len(rejects) == 3
        shelf.let_go({"attributes"})
        assert kept(shelf) == full  # there is memory enough
        monkeypatch.setattr(DuckWorkbench, "short", lambda bench: True)
        shelf.let_go({"attributes"})
        assert empty < kept(shelf) < full
        shelf.let_go(set())
        assert kept(shelf) == empty
        again = shelf.store()
        assert {name: in_order(again.rows(table)) for name, table in again.tables.items()} == first
        assert kept(shelf) == full
        assert shelf.bench.rejected() == rejects
        assert len(shelf.bench.inputs) == len({file.path for file in shelf.bench.inputs})
    assert said == 2 * ["reading reviews", "reading metadata", "reading mave"]


def test_what_is_read_again_is_set_aside_once_on_either_engine(
    tmp_path: Path, engine: EngineChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_some(tmp_path)
    said: list[str] = []
    with open_shelf(tmp_path, SOME, WANTED, ["reviews"], engine, say=said.append) as shelf:
        store = shelf.store()
        first, rejects = in_order(store.rows(store["reviews"])), shelf.bench.rejected()
        assert len(rejects) == 3
        monkeypatch.setattr(type(shelf.bench), "short", lambda bench: True)
        shelf.let_go(set())
        again = shelf.store()
        assert in_order(again.rows(again["reviews"])) == first
        assert shelf.bench.rejected() == rejects
    assert said == 2 * ["reading reviews", "reading metadata"]


def test_memory_is_short_once_half_of_it_is_taken(tmp_path: Path) -> None:
    write_lines(review_file(tmp_path), [review(user=f"A{number}") for number in range(800)])
    wanted = Wanted(["Beauty"])
    with open_shelf(
        tmp_path, Sources(amazon_reviews="amazon_review_2018"), wanted, ["reviews"], EngineChoice(memory="400MB")
    ) as shelf:
        store = shelf.store()
        assert not shelf.bench.short()
        users = [store["reviews"].select(**{name: "user_id"}) for name in ("a", "b")]
        pairs = users[0].cross_join(users[1])
        with shelf.bench.owning() as own:
            store.keep(pairs.mutate(text=(pairs.a + pairs.b).hexdigest("md5").repeat(14)))
        assert shelf.bench.short()
        shelf.bench.drop(own)
        assert not shelf.bench.short()


def test_a_build_that_reads_a_source_twice_is_the_build_that_reads_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Four answers to each question: of the rows drawn first too few stay, so that AG is drawn again.
    asked = [
        question(number, questionType="descriptive", answers=[{"answerText": f"{turn} times.", "helpful": [1, 1]}])
        for number in range(1, 31)
        for turn in range(4)
    ]
    write_questions(tmp_path, train=[*asked, b"bad"], val=asked[:1], test=asked[1:2])
    write_catalogues(tmp_path, [(f"a{n}", f"word {n}", "", "", "1") for n in range(9)])
    plan = {"train": 30, "validation": 1, "test": 1, "out_of_domain_test": 0}
    config = BuildConfig.model_validate(
        {
            "sources": {"amazon_qa": ALL.amazon_qa, "amazon_google": ALL.amazon_google},
            "tasks": {"AG": {**plan, "in_domain": ["Beauty"]}, "PM": plan},
        }
    )
    tasks = [TASKS["AG"], TASKS["PM"]]
    said: dict[str, list[str]] = {}
    for name, short in (("once", False), ("twice", True)):
        monkeypatch.setattr(DuckWorkbench, "short", lambda bench, short=short: short)
        said[name] = []
        build(tmp_path, config, tmp_path / name, tasks, None, said[name].append)
    read = f"reading {ALL.amazon_qa}"
    assert said["once"].count("drawing AG") > 1
    assert (said["once"].count(read), said["twice"].count(read)) == (1, 2)
    for file in (*(f"{split}.parquet" for split in SPLITS), "manifest.json", "rejects.jsonl"):
        assert (tmp_path / "twice" / file).read_bytes() == (tmp_path / "once" / file).read_bytes(), file
    assert len(json.loads((tmp_path / "once" / "manifest.json").read_text())["rejected"]) == 1
