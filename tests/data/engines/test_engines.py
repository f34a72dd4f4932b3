"""Spark gives the rows that DuckDB gives, opens no DuckDB, and collects what is sampled and no more."""

import gzip
import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, read_config
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.data.sources import EngineChoice
from ecellm.tasks import TASKS
from ecellm.types import SPLITS
from repository import REPOSITORY

SPARK = EngineChoice("spark", "2GB", "local[2]")
#: Python talks to Spark's Java through a socket of this machine.
ON_SPARK = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1", "localhost"])]
Run = Callable[..., tuple[int, str, str]]


def files(folder: Path) -> dict[str, bytes]:
    names = [*(f"{split}.parquet" for split in SPLITS), "rejects.jsonl"]
    return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def said(folder: Path) -> dict[str, Any]:
    """The manifest, but for the versions."""
    return {
        key: value for key, value in json.loads((folder / "manifest.json").read_text()).items() if key != "versions"
    }


def test_an_engine_that_is_not_there_and_a_size_that_is_none_are_said(tmp_path: Path, run: Run) -> None:
    wanted = ("build", "--sources", tmp_path, "--config", DEMO_CONFIG, "--out", tmp_path / "out")
    assert run(*wanted, "--engine", "pandas")[2].endswith("Unknown engine 'pandas': choose duckdb or spark.\n")
    code, _, error = run(*wanted, "--memory", "lots")
    assert code == 1 and "--memory 'lots' is no size: give one such as 500MB or 4GB." in error


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_spark_gives_the_same_rows_on_every_task_of_the_simulated_shop(tmp_path: Path, run: Run) -> None:
    simulate(tmp_path / "shop", 0.5, 42)
    given = ("build", "--sources", tmp_path / "shop", "--config", DEMO_CONFIG)
    assert run(*given, "--out", tmp_path / "duckdb")[0] == 0
    code, _, error = run(
        *given, "--out", tmp_path / "spark", "--engine", "spark", "--master", "local[2]", "--memory", "2GB"
    )
    assert code == 0, error
    assert files(tmp_path / "spark") == files(tmp_path / "duckdb")
    assert said(tmp_path / "spark") == said(tmp_path / "duckdb")
    assert all(said(tmp_path / "spark")["counts"][task]["test IND"] for task in TASKS)


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_spark_gives_the_same_rows_on_every_task_of_the_real_sample(tmp_path: Path, real_data: Path) -> None:
    config = read_config(REPOSITORY / "examples" / "real-sample.toml")
    for name, engine in (("duckdb", EngineChoice()), ("spark", SPARK)):
        build(real_data, config, tmp_path / name, list(TASKS.values()), None, lambda step: None, engine)
    assert files(tmp_path / "spark") == files(tmp_path / "duckdb")
    assert said(tmp_path / "spark") == said(tmp_path / "duckdb")


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
@pytest.mark.parametrize("negatives", [{}, {"PM": "near", "SR": "popular"}, {"SR": "same_category"}])
def test_spark_draws_harder_negatives_and_shoppers_apart_alike(tmp_path: Path, negatives: dict[str, str]) -> None:
    simulate(tmp_path / "shop", 0.3, 42)
    changes: dict[str, dict[str, object]] = {task: {"negatives": way} for task, way in negatives.items()}
    config = small({**changes, "SR": {**changes.get("SR", {}), "split_by_user": bool(negatives)}})
    tasks = [TASKS[name] for name in ("PM", "SR")]
    for name, engine in (("duckdb", EngineChoice()), ("spark", SPARK)):
        build(tmp_path / "shop", config, tmp_path / name, tasks, None, lambda step: None, engine)
    assert files(tmp_path / "spark") == files(tmp_path / "duckdb")


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_spark_tells_domains_and_balances_classes_alike(tmp_path: Path) -> None:
    simulate(tmp_path / "shop", 0.3, 42)
    brands = most_common_brands(tmp_path / "shop")
    by_brand = {"ood_by": "brand", "out_of_domain": brands}
    changes: dict[str, dict[str, object]] = {
        "SA": {"ood_by": "time", "out_of_domain": ["2013-01-01"], "labels": "balanced"},
        "PRP": {**by_brand, "labels": "stratified"},
        "SR": {**by_brand, "near_duplicates": False},
        "AP": {"labels": "balanced"},
        "MPC": {"labels": "balanced"},
        "PSI": {"labels": "stratified"},
    }
    for name, engine in (("duckdb", EngineChoice()), ("spark", SPARK)):
        tasks = [TASKS[task] for task in changes]
        build(tmp_path / "shop", small(changes), tmp_path / name, tasks, None, lambda step: None, engine)
    assert files(tmp_path / "spark") == files(tmp_path / "duckdb")
    assert said(tmp_path / "spark") == said(tmp_path / "duckdb")
    counts = said(tmp_path / "duckdb")["counts"]
    assert all(counts[task]["test OOD"] for task in ("SA", "PRP", "AP")), counts


def most_common_brands(shop: Path) -> list[str]:
    """The brands that half of the products have."""
    found = Counter[str]()
    for path in (shop / "amazon_review_2018" / "meta" / "all_category").iterdir():
        for line in gzip.decompress(path.read_bytes()).splitlines():
            with suppress(json.JSONDecodeError):  # damaged on purpose
                row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("brand"), str) and row["brand"]:
                    found[row["brand"]] += 1
    return [name for name, _ in found.most_common(len(found) // 2)]


QUOTAS = {"train": 20, "validation": 5, "test": 5, "out_of_domain_test": 5}


def small(changes: dict[str, dict[str, object]]) -> BuildConfig:
    """The demo's config with few rows a task."""
    given = read_config(DEMO_CONFIG).model_dump(mode="json")
    for name, plan in given["tasks"].items():
        plan.update(QUOTAS | changes.get(name, {}))
    return BuildConfig.model_validate(given)


@pytest.mark.slow
@pytest.mark.allow_hosts(["127.0.0.1", "localhost"])
def test_with_spark_no_duckdb_is_opened_and_a_larger_shop_is_not_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = Counter[str]()
    count_collected(monkeypatch, collected)
    monkeypatch.setattr(duckdb, "connect", refuse)
    totals, sizes = [], []
    for scale in (0.3, 1.2):
        shop = tmp_path / f"shop-{scale}"
        simulate(shop, scale, 42)
        collected.clear()
        out = tmp_path / f"out-{scale}"
        manifest = build(shop, small({}), out, list(TASKS.values()), None, lambda step: None, SPARK)
        set_aside = len((out / "rejects.jsonl").read_text().splitlines())
        totals.append(collected.total() - set_aside)
        sizes.append(sum(file["bytes"] for file in manifest["inputs"]))
    assert sizes[1] > 3 * sizes[0]
    assert totals[1] < 1.3 * totals[0], totals


def refuse(*arguments: object, **options: object) -> None:
    raise AssertionError("a DuckDB connection was opened")


def count_collected(monkeypatch: pytest.MonkeyPatch, collected: Counter[str]) -> None:
    """Count the rows that come from Spark to this process, by whichever way."""
    from pyspark.sql.classic.dataframe import DataFrame

    def counted(name: str) -> Any:
        inner = getattr(DataFrame, name)

        def call(frame: Any, *arguments: Any, **options: Any) -> Any:
            found = inner(frame, *arguments, **options)
            collected[name] += len(found)
            return found

        return call

    for name in ("toArrow", "collect", "toPandas", "take", "head", "tail"):
        monkeypatch.setattr(DataFrame, name, counted(name))
    monkeypatch.setattr(DataFrame, "toLocalIterator", refuse)


def in_eight(path: Path) -> None:
    """Replace a file of lines, or a Parquet file, by a folder of that name with eight files."""
    if path.suffix == ".parquet":
        whole = pq.read_table(path)
        path.unlink()
        path.mkdir()
        for part in range(8):
            pq.write_table(whole.take(list(range(part, whole.num_rows, 8))), path / f"part-{part}.parquet")
        return
    packed = path.suffix == ".gz"
    lines = (gzip.decompress(path.read_bytes()) if packed else path.read_bytes()).splitlines(keepends=True)
    path.unlink()
    path.mkdir()
    for part in range(8):
        text = b"".join(lines[part::8])
        (path / f"part-{part}{''.join(path.suffixes)}").write_bytes(gzip.compress(text) if packed else text)


@pytest.mark.parametrize("engine", [EngineChoice(), pytest.param(SPARK, marks=ON_SPARK)], ids=["duckdb", "spark"])
def test_one_input_file_and_eight_give_the_same_rows(tmp_path: Path, engine: EngineChoice) -> None:
    simulate(tmp_path / "one", 0.1, 42)
    shutil.copytree(tmp_path / "one", tmp_path / "eight")
    found = [path for path in (tmp_path / "eight").rglob("*") if path.is_file() and "amazon_google" not in str(path)]
    for path in found:
        in_eight(path)
    assert len(found) > 15
    for name in ("one", "eight"):
        out = tmp_path / f"{name}-out"
        build(tmp_path / name, small({}), out, list(TASKS.values()), None, lambda step: None, engine)
    assert parquet(tmp_path / "one-out") == parquet(tmp_path / "eight-out")
    assert set_aside(tmp_path / "one-out") == set_aside(tmp_path / "eight-out")


def parquet(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if name != "rejects.jsonl"}


def set_aside(folder: Path) -> Counter[str]:
    """How many rows were set aside, by reason."""
    return Counter(json.loads(line)["reason"] for line in (folder / "rejects.jsonl").read_text().splitlines())
