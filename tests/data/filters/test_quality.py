"""What is fit for a dataset: language, length, near-duplicates; quotas refilled, and all that was left out shown."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.dataset as ds
import pytest

from ecellm.data.builder import build
from ecellm.data.checks import LONG, NEAR_INPUT, check
from ecellm.data.config import BuildConfig, read_config
from ecellm.data.dataset import read_dataset
from ecellm.data.dropped import slug
from ecellm.data.filters.language import LANGUAGES, foreign
from ecellm.data.samplers import SAMPLERS, Draw, Plan
from ecellm.data.schema import Store
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.data.sources import EngineChoice
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS
from ecellm.types import Example, Split

ON_SPARK = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1", "localhost"])]
Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("text", "language", "is_foreign"),
    [
        ("wireless headphones for running", "en", False),
        ("kopfhörer kabellos mit mikrofon", "en", True),
        ("kopfhörer kabellos mit mikrofon", "de", False),
        ("zapatos de mujer talla 38", "en", True),
        ("wireless headphones for running in the rain", "es", True),
        ("手机壳", "en", True),
        ("ford f150", "en", False),
        ("xr-500 b7", "en", False),
        ("", "en", False),
    ],
)
def test_texts_of_another_language_are_foreign_names_and_numbers_are_not(
    text: str, language: str, is_foreign: bool
) -> None:
    assert foreign([text], language) == [is_foreign]


def example(number: int, text: str, split: Split = "train", task: str = "MPC") -> Example:
    return Example(f"{task}-{number}", task, "IND", split, text, None, "A" if task in ("SA", "MPC") else "yes")


def judged(query: str, title: str = "steel mug with a wooden handle") -> str:
    return json.dumps({"query": query, "product title": title})


class Source:
    """A task that draws as many of these samples as it is asked for, and remembers how often it was asked."""

    def __init__(self, task: str, examples: list[Example]):
        self.asked: list[int] = []
        self.examples = examples
        self.task = replace(TASKS[task], out_of_domain=False)
        self.sampler = replace(SAMPLERS[task], needs=(), draw=self.draw)

    def draw(self, store: Store, plan: Plan) -> Draw:
        self.asked.append(plan.enough("train", "IND"))
        rows = {split: [one for one in self.examples if one.split == split] for split, _ in plan.quotas}
        return Draw([one for split, found in rows.items() for one in found[: plan.enough(split, "IND")]])


def built(folder: Path, source: Source, keep_dropped: bool = False, **plan: Any) -> dict[str, Any]:
    (folder / "sources").mkdir(exist_ok=True)
    config = BuildConfig.model_validate({"tasks": {source.task.name: plan}})
    with patch.dict(SAMPLERS, {source.task.name: source.sampler}):
        return build(
            folder / "sources",
            config,
            folder / "out",
            [source.task],
            None,
            lambda step: None,
            dropped_dir=folder / "dropped" if keep_dropped else None,
        )


def test_the_papers_english_is_the_default_and_can_be_changed(tmp_path: Path) -> None:
    texts = ["steel mug for hot coffee", "zapatos de mujer talla 38", "winter boots for women"]
    source = Source("MPC", [example(number, judged(text)) for number, text in enumerate(texts)])
    for name, plan, kept in (
        ("paper", {}, [0, 2]),
        ("any", {"language": ""}, [0, 1, 2]),
        ("spanish", {"language": "es"}, []),
    ):
        (tmp_path / name).mkdir()
        if kept:
            manifest = built(tmp_path / name, source, **plan)
            rows = read_dataset(tmp_path / name / "out").examples("train")
            assert [int(row.id.removeprefix("MPC-")) for row in rows] == kept
            left = {"text is in another language than en": 1} if len(kept) == 2 else {}
            assert manifest["dropped"]["MPC"] == left
        else:
            reason = "text is in another language than es: 3"
            with pytest.raises(EcellmError, match=f"No task has a row. What was filtered out .*: {reason}"):
                built(tmp_path / name, source, **plan)


def test_rows_longer_than_max_words_are_filtered_out_and_shown(tmp_path: Path) -> None:
    rows = [example(number, judged("mug", "word " * number)) for number in (5, 50)]
    manifest = built(tmp_path, Source("MPC", rows), keep_dropped=True, max_words=20)
    assert manifest["dropped"]["MPC"] == {"row is longer than max_words": 1}
    (shown,) = (
        ds.dataset(tmp_path / "dropped" / "MPC" / "row-is-longer-than-max-words.parquet").to_table().to_pylist()
    )
    assert (shown["id"], shown["input"]) == ("MPC-50", rows[1].input)


WORDS = "a steel mug with a wooden handle that keeps coffee hot for many hours on the road and in the office number"


def test_near_duplicates_of_another_split_are_left_out_and_the_quota_is_refilled(tmp_path: Path) -> None:
    tested = [example(number, f"{WORDS} {number}", "test", "SA") for number in range(3)]
    near = [example(10 + number, f"{WORDS} {10 + number}", "train", "SA") for number in range(300)]
    other = [example(1000 + number, " ".join(f"{number}{word}" for word in WORDS.split()), "train", "SA")
             for number in range(60)]  # fmt: skip
    source = Source("SA", [*tested, *near, *other])
    plan = {"train": 50, "validation": 0, "test": 3, "near_duplicates": False}
    manifest = built(tmp_path, source, **plan)
    assert source.asked == [95, 170, 470]
    assert manifest["counts"]["SA"]["train IND"] == 50
    assert 290 <= manifest["dropped"]["SA"]["input nearly stands in another split"] <= 300  # MinHash estimates
    dataset = read_dataset(tmp_path / "out")
    assert not [found for found in check(dataset) if found.what == NEAR_INPUT]


def test_a_source_that_has_no_more_is_not_asked_again(tmp_path: Path) -> None:
    source = Source("SA", [example(number, f"number {number}", "train", "SA") for number in range(30)])
    built(tmp_path, source, train=50)
    assert source.asked == [95]


def test_a_check_says_which_rows_a_model_of_2048_tokens_must_cut(tmp_path: Path) -> None:
    built(tmp_path, Source("SA", [example(1, "word " * 2_000, task="SA"), example(2, "short", task="SA")]))
    found = check(read_dataset(tmp_path / "out"))
    assert [(one.rows, one.fatal) for one in found if one.what == LONG] == [(1, False)]


def test_every_language_that_a_config_may_name_is_known() -> None:
    assert all(not foreign([""], language)[0] for language in LANGUAGES)


@pytest.mark.parametrize(
    "engine",
    [EngineChoice(), pytest.param(EngineChoice("spark", "2GB", "local[2]"), marks=ON_SPARK)],
    ids=["duckdb", "spark"],
)
def test_all_that_was_left_out_can_be_written_out_and_is_as_many_rows_as_were_counted(
    tmp_path: Path, engine: EngineChoice
) -> None:
    simulate(tmp_path / "shop", 0.3, 42)
    config = read_config(DEMO_CONFIG)
    manifest = build(
        tmp_path / "shop",
        config,
        tmp_path / "out",
        list(TASKS.values()),
        None,
        lambda step: None,
        engine,
        dropped_dir=tmp_path / "dropped",
    )
    counted = {
        (task, slug(reason)): count
        for task, reasons in manifest["dropped"].items()
        for reason, count in reasons.items()
    }
    assert len(counted) >= 10
    assert written(tmp_path / "dropped") == counted


def written(folder: Path) -> dict[tuple[str, str], int]:
    """How many rows the files hold, by task and reason."""
    found: dict[tuple[str, str], int] = {}
    for path in folder.glob("*/*.parquet"):
        stem, _, number = path.stem.rpartition("-")
        name = stem if number in ("2", "3") else path.stem
        key = (path.parent.name, name)
        found[key] = found.get(key, 0) + ds.dataset(path).count_rows()
    return found


def test_a_folder_for_what_was_left_out_that_exists_is_not_overwritten(tmp_path: Path, run: Run) -> None:
    (tmp_path / "dropped").mkdir()
    (tmp_path / "dropped" / "mine").write_text("keep")
    code, _, error = run(
        "build",
        "--sources",
        tmp_path,
        "--config",
        DEMO_CONFIG,
        "--out",
        tmp_path / "out",
        "--dropped-dir",
        tmp_path / "dropped",
    )
    assert code == 1 and "dropped exists already" in error
    assert (tmp_path / "dropped" / "mine").read_text() == "keep" and not (tmp_path / "out").exists()
