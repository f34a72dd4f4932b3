"""Own tables in PostgreSQL, a real server: rows as of a file, in bounded memory, no password in a message."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from source_files import opened

from ecellm.data.config import Sources
from ecellm.data.readers.databases import copy_table, table_columns
from ecellm.data.sources import Wanted
from ecellm.errors import DataError
from postgres_server import PASSWORD, PostgresServer, postgres_server

pytestmark = pytest.mark.slow
STATEMENTS = """
create schema sales;
create table sales."Reviews" ("Stars" int, "The text" text, bought timestamptz);
insert into sales."Reviews" values
    (5, 'a fine mug', '2024-03-01 12:30+01'), (1, 'it "leaks"', null), (9, 'no star', 'infinity'),
    (null, 'none', null), (4, e'two\\nlines', '-infinity');
create view good as select "Stars" as stars, "The text" as text from sales."Reviews" where "Stars" > 3;
create type mood as enum ('good', 'bad');
create table typed (
    id bigint, code char(3), name varchar, body text, price numeric(30, 10), stars smallint, share real, sold boolean,
    day date, at timestamptz, clock timestamp, facts jsonb, tags text[], mood mood, key uuid, raw bytea, gone text);
insert into typed values
    (9007199254740993, 'ab', 'Café', '', 12345678901234567890.5, 4, .5, true, '9999-12-31', '9999-12-31 23:59+00',
    'infinity', '["quiet", "small"]', '{"red mug",NULL}', 'bad', '0b0e7bd0-7a51-4a3e-8d5c-0d5c3a1f2b11',
    'Caf\\303\\251', null);
create table many as
    select (i % 5 + 1)::smallint as stars, 'Review ' || i || repeat(' very good', 10) as text
    from generate_series(1, 3000000) i;
create view breaks as
    select stars, case when text like 'Review 2000000 %' then pg_terminate_backend(pg_backend_pid())::text
    else text end as text from many;
create table nothing (stars int, text text);
create role reader login password 'read-only';
grant select on good, many to reader
"""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        started.run(*STATEMENTS.split(";"))
        yield started


@pytest.fixture
def shop(server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The config's name of the database."""
    monkeypatch.setenv("SHOP_DATABASE", server.url())
    return "$SHOP_DATABASE"


def test_a_qualified_table_gives_the_rows_of_a_file(shop: str, tmp_path: Path) -> None:
    columns = {"stars": "Stars", "text": "The text", "time": "bought"}
    reviews = {"database": shop, "table": "sales.Reviews", "columns": columns}
    sources = Sources.model_validate({"tables": {"reviews": reviews}})
    with opened(tmp_path, sources, Wanted(), {"reviews"}) as (store, bench):
        rows = sorted((row["stars"], row["text"], row["time"]) for row in store.rows(store["reviews"]))
        reasons = sorted(row["reason"] for row in bench.rejected())
    assert rows == [(1, 'it "leaks"', 0), (5, "a fine mug", 1_709_292_600)]
    assert reasons == [
        "stars has the wrong type",
        "stars is missing",
        "time is no date or time from 1990 to tomorrow",
    ]


def test_every_type_is_read_as_its_text_lists_and_bytes_as_they_are(shop: str, tmp_path: Path) -> None:
    names = table_columns(shop, "typed", tmp_path)
    copy_table(shop, "typed", names, tmp_path, tmp_path / "t.parquet")
    (row,) = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert row == {
        "id": "9007199254740993",
        "code": "ab",
        "name": "Café",
        "body": "",
        "price": "12345678901234567890.5000000000",
        "stars": "4",
        "share": "0.5",
        "sold": "true",
        "day": "9999-12-31",
        "at": "9999-12-31 23:59:00+00",
        "clock": "infinity",
        "facts": '["quiet", "small"]',
        "tags": ["red mug", None],
        "mood": "bad",
        "key": "0b0e7bd0-7a51-4a3e-8d5c-0d5c3a1f2b11",
        "raw": "Café".encode(),
        "gone": None,
    }


def test_a_view_is_read_with_read_only_rights(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("READER", server.url("reader", "read-only"))
    copy_table("$READER", "good", ["stars"], tmp_path, tmp_path / "t.parquet")
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == {"stars": ["5", "9", "4"]}
    with pytest.raises(DataError, match="permission denied for table typed"):
        copy_table("$READER", "typed", ["id"], tmp_path, tmp_path / "u.parquet")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (
            "postgresql://owner:no-such-word@127.0.0.1:{port}/postgres",
            'password authentication failed for user "owner"',
        ),
        ("postgresql://owner:no-such-word@127.0.0.1:1/postgres", "Connection refused"),
        ("postgresql://owner:no-such-word@127.0.0.1:{port}/nowhere", "password authentication failed"),
        ("postgresql://owner:no@such-word@127.0.0.1:{port}/postgres", "have to be percent-encoded"),
        ("postgresql://owner:no/such-word@127.0.0.1:{port}/postgres", "have to be percent-encoded"),
        ("postgresql://owner:no#such-word@127.0.0.1:{port}/postgres", "have to be percent-encoded"),
    ],
)
def test_a_server_that_refuses_is_said_without_the_password(
    url: str, said: str, server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_DATABASE", url.format(port=server.port))
    with pytest.raises(DataError, match=re.escape(said)) as error:
        table_columns("$SHOP_DATABASE", "good", tmp_path)
    assert "word" not in str(error.value).replace("password", "")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("nowhere", 'relation "nowhere" does not exist'),
        ("reviews", 'relation "reviews" does not exist'),
        ("good; drop table many", 'relation "good; drop table many" does not exist'),
        ('"good', "names no table"),
        ("", "names no table"),
        ("nothing", "has no rows"),
    ],
)
def test_a_table_that_is_not_there_is_said(table: str, said: str, shop: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=re.escape(said)):
        copy_table(shop, table, table_columns(shop, table, tmp_path), tmp_path, tmp_path / "t.parquet")


def test_a_connection_that_is_lost_half_way_ends_the_build_and_leaves_no_dataset(
    shop: str, tmp_path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    config = tmp_path / "shop.toml"
    config.write_text(f'[sources.tables.reviews]\ndatabase = "{shop}"\ntable = "breaks"\n', encoding="utf-8")
    code, _, err = run("build", "--sources", tmp_path, "--config", config, "--out", tmp_path / "out", "--tasks", "SA")
    assert code == 1
    assert "'breaks' of $SHOP_DATABASE cannot be read" in err and PASSWORD not in err
    assert not (tmp_path / "out").exists()


def test_millions_of_rows_are_built_within_a_gigabyte(shop: str, tmp_path: Path) -> None:
    config = tmp_path / "shop.toml"
    table = f'[sources.tables.reviews]\ndatabase = "{shop}"\ntable = "many"\n'
    config.write_text(table + "[tasks.SA]\ntrain = 50\nvalidation = 10\ntest = 10\n", encoding="utf-8")
    command = ["build", "--sources", tmp_path, "--config", config, "--out", tmp_path / "out", "--memory", "500MB"]
    program = (
        "import resource, sys; from ecellm.cli.main import main\n"
        "try: main()\n"
        "finally: print('KiB', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert PASSWORD not in json.dumps(manifest)
    assert int(done.stdout.rsplit("KiB", 1)[1]) < 1 << 20
