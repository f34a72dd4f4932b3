"""`Model.ask` on tables in memory: the same kind comes back, with the answers of single questions beside its rows."""

import json
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from ecellm.errors import DataError
from ecellm.inference.model import Model
from scored import ScoredGenerator

QUESTIONS: dict[str, list[Any]] = {
    "sku": [7, 8, 9],
    "query": ["mug", "pot", "caf\u00e9 cup"],
    "title": ["Blue mug", "Cup", "Lamp"],
}
NEW = ["answer", "probability", "probabilities"]


@pytest.fixture
def model() -> Model:
    return Model(ScoredGenerator())


def expected(model: Model) -> list[dict[str, Any]]:
    answers = [model.judge(query, title) for query, title in zip(QUESTIONS["query"], QUESTIONS["title"], strict=True)]
    return [
        {"answer": one.answer, "probability": one.probability, "probabilities": json.dumps(one.probabilities)}
        for one in answers
    ]


def test_a_pandas_frame_keeps_its_index_and_columns(model: Model) -> None:
    frame = pd.DataFrame(QUESTIONS, index=["x", "y", "z"])
    found = model.ask("MPC", frame)
    assert isinstance(found, pd.DataFrame)
    assert list(found.index) == ["x", "y", "z"] and list(found.columns) == [*QUESTIONS, *NEW]
    assert found[NEW].to_dict("records") == expected(model)
    assert found.drop(columns=NEW).equals(frame) and list(frame.columns) == list(QUESTIONS)


def test_a_polars_frame_comes_back_as_one(model: Model) -> None:
    frame = pl.DataFrame(QUESTIONS)
    found = model.ask("MPC", frame)
    assert isinstance(found, pl.DataFrame)
    assert found.select(NEW).to_dicts() == expected(model) and found.drop(NEW).equals(frame)


def test_an_arrow_table_comes_back_as_one(model: Model) -> None:
    table = pa.table(QUESTIONS)
    found = model.ask("MPC", table)
    assert found.select(NEW).to_pylist() == expected(model) and found.drop_columns(NEW).equals(table)


def test_answers_that_are_lists_have_columns_of_lists(model: Model) -> None:
    titles = [["Lamp", "Mug"], ["Pot", "Cup", "Lid"]]
    frame = pl.DataFrame({"query": ["mug", "cup"], "titles": titles})
    found = model.ask("QPR", frame)
    assert [sorted(order) for order in found["answer"].to_list()] == [sorted(one) for one in titles]


def test_missing_cells_of_optional_columns_are_nothing_and_of_needed_ones_an_error(model: Model) -> None:
    frame = pd.DataFrame({"title_1": ["mug", "pot"], "title_2": ["cup", "pan"], "price_1": [1.5, float("nan")]})
    plain = model.match([{"title": "mug", "price": "1.5"}, "pot"], ["cup", "pan"])
    assert model.ask("PM", frame)["answer"].tolist() == [one.answer for one in plain]
    frame.loc[1, "title_2"] = None
    with pytest.raises(DataError, match="Question 1: title_2 is empty"):
        model.ask("PM", frame)


def test_free_text_has_no_probability(model: Model) -> None:
    found = model.ask("AG", pa.table({"question": ["loud?"], "snippets": [["quiet"]]}))
    assert found["probability"].to_pylist() == [None] and found["probabilities"].to_pylist() == [None]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"text": []}, "has no rows"),
        ({"text": ["good"], "answer": ["mine"]}, "a column 'answer' already"),
    ],
)
def test_a_table_that_cannot_be_asked_is_refused(model: Model, columns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        model.ask("SA", pd.DataFrame(columns))


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_a_table_with_a_column_twice_is_refused(model: Model, kind: str) -> None:
    arrow = pa.table([["a"], ["b"], ["c"]], names=["title_1", "title_2", "title_1"])
    pandas = pd.DataFrame([["a", "b", "c"]], columns=arrow.column_names)
    with pytest.raises(DataError, match="the column 'title_1' more than once"):
        model.ask("PM", arrow if kind == "arrow" else pandas)


def test_a_series_is_read_by_position_whatever_its_index(model: Model) -> None:
    queries, titles = QUESTIONS["query"], QUESTIONS["title"]
    asked = model.judge(pd.Series(queries, index=[2, 0, 0]), pd.Series(titles, index=[0, 1, 2]))
    assert asked == model.judge(queries, titles)
    assert model.rate_sentiment(pd.Series(queries, index=[2, 0, 0])) == model.rate_sentiment(queries)
    lists = [["red mug", "lamp"], ["pot", "cup"], ["tea", "cup"]]
    assert model.rank(pd.Series(queries, index=[1, 2, 0]), pd.Series(lists)) == model.rank(queries, lists)


@pytest.mark.parametrize("rows", [{"text": "good"}, "rows.csv", ["good"], ({"text": "good"} for _ in range(1))])
def test_rows_of_another_form_are_refused(model: Model, rows: Any) -> None:
    with pytest.raises(DataError, match="neither a list of mappings nor a pandas, Polars or Arrow table"):
        model.ask("SA", rows)


@pytest.mark.parametrize("value", [b"caf\xe9", float("nan"), {"good"}])
def test_what_is_no_text_is_refused(model: Model, value: Any) -> None:
    with pytest.raises(DataError, match="text is"):
        model.ask("SA", [{"text": value}])


def test_bytes_that_are_utf_8_are_one_text(model: Model) -> None:
    assert model.rate_sentiment("café".encode()) == model.rate_sentiment("café")  # type: ignore[call-overload]
