"""BM25 against a case worked by hand, and the models that only count or compare."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_tfidf import made, save

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.baselines.gsasrec import target
from ecellm.models.baselines.heuristics import BM25
from ecellm.models.baselines.registry import KINDS, kind, tasks_of
from ecellm.models.lexical.recommendation import candidates, history
from ecellm.tasks import TASKS
from fitted import answered, scored


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    counts = {"train": 30, "validation": 4, "test": 30}
    tasks = ("QPR", "SR", "AG")
    rows = [made(task, split, n) for task in tasks for split, count in counts.items() for n in range(count)]  # type: ignore[arg-type]
    return save(tmp_path_factory.mktemp("simple") / "data", rows)


def test_bm25_of_a_worked_case() -> None:
    """Three titles of 2, 2 and 5 words, 3 on average; "red" stands in two of them, "mug" in one."""
    model = BM25.of(["red mug", "blue pot", "a red red big box"])
    red, mug = math.log(1 + 1.5 / 2.5), math.log(1 + 2.5 / 1.5)
    short, long = 1.2 * (0.25 + 0.75 * 2 / 3), 1.2 * (0.25 + 0.75 * 5 / 3)
    assert model.score("Red mug", "red mug") == pytest.approx((red + mug) * 2.2 / (1 + short))
    assert model.score("red mug", "a red red big box") == pytest.approx(red * 2 * 2.2 / (2 + long))
    assert model.score("sofa", "red mug") == 0.0
    assert model.score("sofa", "sofa bed") == pytest.approx(math.log(1 + 3.5 / 0.5) * 2.2 / (1 + short))


@given(st.lists(st.text("abc ", max_size=9), max_size=5), st.text("abc ", max_size=9), st.text("abc ", max_size=9))
def test_bm25_is_never_negative(titles: list[str], query: str, title: str) -> None:
    assert BM25.of(titles).score(query, title) >= 0.0


@pytest.mark.parametrize(("name", "task"), [("bm25", "QPR"), ("last", "SR"), ("snippet", "AG")])
def test_it_beats_or_equals_its_floor(name: str, task: str, data: Dataset, tmp_path: Path) -> None:
    row = scored(name, data, tmp_path, [task])[task]
    assert row["value"] >= row["floor"] - 1e-6 and row["unparsed"] == 0


def test_popularity_answers_what_was_bought_most(data: Dataset, tmp_path: Path) -> None:
    train = data.examples("train", "IND", ["SR"])
    lines = {line["id"]: line for line in answered("popularity", data, tmp_path, ["SR"])}
    for example in data.examples("test", "IND", ["SR"]):
        counts = [sum([*history(row), target(row)].count(text) for row in train) for text in candidates(example)]
        assert lines[example.id]["text"] == "ABCDEF"[counts.index(max(counts))]
        assert lines[example.id]["probability"] == pytest.approx((max(counts) + 1) / sum(n + 1 for n in counts))


def test_every_task_has_a_baseline_and_every_name_its_tasks() -> None:
    assert {task for name in KINDS for task in tasks_of(name)} == set(TASKS)
    assert all(callable(kind(name, task).reply) for name in KINDS for task in tasks_of(name))
    with pytest.raises(EcellmError, match="Did you mean 'encoder'"):
        tasks_of("encodr")


def test_what_a_baseline_is_for_follows_from_the_task() -> None:
    assert tasks_of("tfidf") == tuple(TASKS)
    assert tasks_of("bm25") == ("QPR",)
    assert tasks_of("popularity") == tasks_of("last") == tasks_of("gsasrec") == tasks_of("recformer") == ("SR",)
    assert tasks_of("snippet") == ("AG",)
    assert tasks_of("encoder") == ("PRP", "PM", "SA", "MPC", "PSI", "QPR", "AP")
    assert tasks_of("rgcn") == ("PRP",)
    assert tasks_of("suopentag") == tasks_of("aveqa") == ("AVE",)
