"""The one list of differences from the paper: what holds when, and that manifest and docs show it alike."""

import re
from typing import Any

import pytest

from ecellm.data.config import BuildConfig
from ecellm.data.paper_deviations import DEVIATIONS, deviations
from ecellm.tasks import TASKS
from repository import REPOSITORY


def texts(task: str, config: dict[str, Any], given: tuple[str, ...] = ()) -> str:
    """What is said of one task."""
    rows = deviations(BuildConfig.model_validate(config), [task], given)
    assert all(row["tasks"] == [task] for row in rows)
    return "\n".join(str(row["text"]) for row in rows)


def test_the_docs_have_the_same_list() -> None:
    page = (REPOSITORY / "docs" / "building.md").read_text()
    section = page.partition("## Where it differs from the paper\n")[2].partition("\n## ")[0]
    listed = [
        " ".join(line.split()) for line in re.findall(r"^- (.*?)(?=^- |^$|\Z)", section, re.DOTALL | re.MULTILINE)
    ]
    assert listed == [f"**{deviation.heading}**: {deviation.text}" for deviation in DEVIATIONS]


def test_every_task_says_something_and_what_holds_for_all_is_said_once() -> None:
    rows = deviations(BuildConfig(), list(TASKS), ())
    assert rows[0] == {"tasks": list(TASKS), "text": "The instructions are our own."}
    own = {name for row in rows for name in row["tasks"] if row["tasks"] != list(TASKS)}  # type: ignore[attr-defined]
    assert own == set(TASKS)
    assert len({str(row["text"]) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("task", "chosen", "less"),
    [
        ("PM", {"sources": {"amazon_google": "a", "amazon_google_encoding": "utf-8"}}, "Latin-1"),
        ("SA", {"tasks": {"SA": {"first_reviews": 200_000}}}, "200,000"),
        ("SA", {"tasks": {"SA": {"first_reviews": 100}}}, "whole files"),
        ("MPC", {"tasks": {"MPC": {"language": ""}}}, "lingua"),
        ("QPR", {"tasks": {"QPR": {"language": ""}}}, "another language"),
        ("AVE", {"tasks": {"AVE": {"out_of_domain": ["Color"]}}}, "paper names seven"),
        ("AVE", {"tasks": {"AVE": {"out_of_domain_test": 0}}}, "held-out"),
        ("PM", {"sources": {"tables": {"pairs": {"file": "p.csv"}}}}, '"no" pair'),
    ],
)
def test_the_papers_way_is_no_deviation(task: str, chosen: dict[str, Any], less: str) -> None:
    default = {"sources": {"amazon_google": "a", "esci": "e"}, "tasks": {"SA": {}}}
    assert less in texts(task, default) and less not in texts(task, chosen)


@pytest.mark.parametrize(
    ("task", "plan", "said"),
    [
        ("SA", {"ood_by": "time", "out_of_domain": ["2017-01-01"]}, "the time from 2017-01-01 on"),
        ("SA", {"labels": "balanced"}, "Answers are drawn in balanced shares."),
        ("PM", {"negatives": "near", "near_duplicates": False, "max_words": 80}, "harder: near."),
        ("PM", {"near_duplicates": False}, "near-duplicate"),
        ("PM", {"max_words": 80}, "more than 80 words"),
        ("SR", {"split_by_user": True}, "No shopper is in two splits."),
        ("SR", {"ood_by": "brand", "out_of_domain": ["Acme"]}, "the brands Acme."),
        ("MPC", {"language": ""}, "Texts are in any language."),
        ("AG", {"language": "en"}, "another language than en are filtered out."),
        ("SA", {"first_reviews": 100}, "the first 100 of each file; the paper reads 200,000."),
    ],
)
def test_what_a_config_chooses_is_said(task: str, plan: dict[str, Any], said: str) -> None:
    assert said in texts(task, {"tasks": {task: plan}}) and said not in texts(task, {})


def test_what_is_drawn_from_tables_of_the_users_own_is_said_to_be() -> None:
    names = ("pairs", "relations", "judgements", "reviews")
    config = {"sources": {"tables": {name: {"file": f"{name}.csv"} for name in names}}}
    for task in ("PM", "PRP", "QPR", "SA"):
        assert "tables of the user's own" in texts(task, config) and "user's own" not in texts(task, {})
    assert "Latin-1" not in texts("PM", config) and "200,000" not in texts("SA", config)
    assert "any language" in texts("QPR", config) and "lingua" not in texts("QPR", config)
    german = {**config, "tasks": {"QPR": {"language": "de"}}}
    assert "another language than de" in texts("QPR", german) and "lingua" in texts("QPR", german)
    assert "occurs twice in a category's metadata" not in texts("PRP", config)


def test_rows_in_splits_of_the_users_own_are_not_said_to_be_filtered() -> None:
    config = {"sources": {"tables": {"pairs": {"file": "p.csv"}, "relations": {"file": "r.csv"}}}}
    for task in ("PM", "PRP"):
        assert "Each input occurs once" in texts(task, config) and "its table gives" not in texts(task, config)
        given = texts(task, config, (task,))
        assert "Each input occurs once" not in given and "stays in the split that its table gives" in given
    assert "page code" in texts("PRP", config, ("PRP",))
