"""What a check finds: leaks that make test scores untrue fail it, the rest only a strict one."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ecellm.data.checks import (
    BALANCE,
    CONFLICT,
    FACT,
    FORM,
    INPUT,
    NEAR_INPUT,
    PRODUCT,
    SHOPPER,
    UNTESTED,
    WRONG,
    Finding,
    check,
)
from ecellm.data.dataset import MANIFEST, Dataset, read_dataset, write_split
from ecellm.data.samplers import SAMPLERS, Plan
from ecellm.tasks import TASKS
from ecellm.types import SPLITS, Example, Split, sample_id
from judged_rows import esci, queries

Run = Callable[..., tuple[int, str, str]]
LONG = "a steel mug with a wooden handle that keeps coffee hot for hours on the road and in the office every day"


#: An answer of each task whose answers are not yes, or any text.
OUTPUTS = {"SA": "A", "SR": "A", "MPC": "A", "QPR": "B,A"}


def row(task: str, split: Split, text: str, output: str = "", **more: object) -> Example:
    output = output or OUTPUTS.get(task, "yes")
    return Example(sample_id(task, "IND", text, None), task, "IND", split, text, None, output, **more)  # type: ignore[arg-type]


def dataset(folder: Path, *rows: Example) -> Dataset:
    folder.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        write_split([example for example in rows if example.split == split], folder / f"{split}.parquet")
    (folder / MANIFEST).write_text("{}")
    return read_dataset(folder)


def found(folder: Path, *rows: Example) -> set[tuple[str, str, int, bool]]:
    """All but what is said about inputs, which here are often short."""
    findings = check(dataset(folder, *rows))
    return {(each.task, each.what, each.rows, each.fatal) for each in findings if each.what != FORM}


def test_an_exact_input_in_two_splits_is_found_whatever_the_task(tmp_path: Path) -> None:
    text = json.dumps({"question": "is it loud", "document": ["no"]})
    other = [row("AP", "test", "x"), row("AG", "test", "y")]
    same = found(tmp_path, row("AP", "train", text), row("AG", "validation", text, "No."), *other)
    assert {("AP", INPUT, 1, True), ("AG", INPUT, 1, True)} == same


@pytest.mark.parametrize(
    ("taught", "asked"),
    [
        (("PSI", {"query": "Mug", "product": "Blue mug"}), ("MPC", {"query": "mug", "product title": "blue  mug"})),
        (
            ("QPR", {"query": "mug", "product list": ["A: pot", "B: blue mug"]}),
            ("PSI", {"query": "mug", "product": "Blue mug"}),
        ),
        (
            ("AP", {"question": "Is it loud?", "document": ["no"]}),
            ("AG", {"question": "is it  loud?", "document": ["yes"]}),
        ),
    ],
)
def test_a_label_under_another_tasks_name_is_found_in_rows_that_only_have_texts(
    taught: tuple[str, object], asked: tuple[str, object], tmp_path: Path
) -> None:
    train = row(taught[0], "train", json.dumps(taught[1]))
    test = row(asked[0], "test", json.dumps(asked[1]))
    assert (asked[0], FACT, 1, True) in found(tmp_path, train, test)


def test_a_near_duplicate_is_reported_and_not_fatal(tmp_path: Path) -> None:
    rows = [
        row("SA", "train", LONG),
        row("SA", "test", LONG.replace("day", "week")),
        row("SA", "test", "quite another text"),
    ]
    assert found(tmp_path, *rows) == {("SA", NEAR_INPUT, 1, False)}


def test_shared_products_and_shoppers_are_reported_and_not_fatal(tmp_path: Path) -> None:
    history = [f"{place}th: item {place}." for place in range(4)]
    rows = [
        row("PM", "train", "1", products=("amazon|a", "google|b")),
        row("PM", "test", "2", products=("amazon|a", "google|c")),
        row("PM", "test", "3", products=("amazon|d", "google|d")),
        row("SR", "train", repr(history[:3])),
        row("SR", "test", repr(history)),
        row("SR", "test", repr(history[1:])),
    ]
    assert found(tmp_path, *rows) == {("PM", PRODUCT, 1, False), ("SR", SHOPPER, 1, False)}


def test_odd_answers_are_reported_but_not_several_good_ones(tmp_path: Path) -> None:
    rows = [row("PM", "train", str(number), "no") for number in range(12)]
    torn = [replace(row("PM", "train", "x", output), id=output) for output in ("yes", "no")]
    good = [replace(row("AG", "train", "x", output), id=f"AG {output}") for output in ("Yes.", "It is.")]
    tested = [row(task, "test", "y") for task in ("PM", "AG")]
    assert found(tmp_path / "torn", *rows, *torn, *good, *tested) == {
        ("PM", CONFLICT, 2, False),
        ("PM", BALANCE, 13, False),
    }


def test_outputs_that_are_no_answers_and_tasks_without_test_rows_are_found(tmp_path: Path) -> None:
    ranked = json.dumps({"query": "mug", "product list": ["A: mug", "B: pot"]})
    rows = [
        row("PM", "train", "1"),
        row("AVE", "test", "{}", '[{"attribute": "colour"}]'),
        replace(row("SR", "test", "['1st: pen']"), options="['A: mug', 'B: po"),
        replace(row("SR", "test", "['1st: ink']"), options="['A: mug', 'B: pot']"),
        replace(row("SR", "test", "['1st: cup']", "C"), options="['A: mug', 'B: pot']"),
        row("QPR", "test", ranked, "A,B"),
        row("QPR", "test", ranked.replace("pot", "pan"), "A"),
        row("QPR", "test", "no list"),
        row("AG", "test", "2", " "),
    ]
    wrong = {("AVE", WRONG, 1, True), ("SR", WRONG, 2, True), ("QPR", WRONG, 2, True), ("AG", WRONG, 1, True)}
    assert found(tmp_path / "some", *rows) == wrong | {("PM", UNTESTED, 0, False)}
    assert found(tmp_path / "none", rows[0]) == {("PM", UNTESTED, 0, True)}


def test_inputs_of_another_form_and_rows_without_options_are_found(tmp_path: Path, run: Run) -> None:
    record = {"title": "mug"}
    options = "['A: mug', 'B: pot']"
    wrong = [
        row("PM", "test", ""),
        row("PM", "test", "two mugs"),
        row("PM", "train", json.dumps({"product 1": record, "product 2": "pot"})),
        row("PRP", "test", '{"Product 1:": "mug"}', "A"),
        replace(row("SR", "test", "a mug"), options=options),
        row("SR", "test", "['1st: pen']"),
        row("AVE", "test", '{"product title": "mug"}', "[]"),
        row("AP", "test", '{"question": "loud?", "document": "no"}'),
        row("SA", "test", " "),
    ]
    right = [
        row("PM", "test", json.dumps({"product 1": record, "product 2": record})),
        replace(row("SR", "test", "['1st: cup']"), options=options),
        row("SA", "test", "fine"),
    ]
    findings = [each for each in check(dataset(tmp_path / "data", *wrong, *right)) if each.what == FORM]
    assert {(each.task, each.rows, each.fatal) for each in findings} == {
        ("PM", 3, True),
        ("PRP", 1, True),
        ("SR", 2, True),
        ("AVE", 1, True),
        ("AP", 1, True),
        ("SA", 1, True),
    }
    code, _, error = run("check", dataset(tmp_path / "one", wrong[5]).path)
    assert code == 1
    assert f"SR: {FORM} (1)" in error


def test_text_that_is_in_no_known_form_gives_no_label_away() -> None:
    for task in TASKS.values():
        for text in ("", "x", "[]", "{}", '{"query": 1}', '{"question": null}', "[" * 5000):
            assert task.facts(row(task.name, "test", text)) == ()


@pytest.mark.parametrize("task", ["MPC", "PSI", "QPR"])
def test_what_a_built_row_gives_away_can_be_read_off_its_input(task: str) -> None:
    store = esci(queries(6, tested=3), {"E0": "<b>Cr\u00e8me</b> de la cr\u00e8me"})
    plan = Plan(1, {("train", "IND"): 20, ("test", "IND"): 20})
    samples = SAMPLERS[task].draw(store, plan).examples
    assert samples
    assert all(TASKS[task].facts(example) == example.facts for example in samples)


def test_the_verb_fails_with_a_list_and_passes_what_is_clean(tmp_path: Path, run: Run) -> None:
    leaky = dataset(tmp_path / "leaky", row("PM", "train", "x"), row("PM", "test", "x"))
    near = dataset(tmp_path / "near", row("SA", "train", LONG), row("SA", "test", LONG + " too"))
    code, shown, error = run("check", leaky.path)
    assert code == 1
    assert f"PM: {INPUT} (2)" in error
    assert INPUT.split()[0] in shown
    assert run("check", near.path)[0] == 0
    code, _, error = run("check", near.path, "--strict")
    assert code == 1
    assert NEAR_INPUT in error


def test_findings_say_how_many_and_which(tmp_path: Path) -> None:
    rows = [row("PM", split, str(number)) for number in range(8) for split in ("train", "test")]  # type: ignore[arg-type]
    (finding,) = [each for each in check(dataset(tmp_path, *rows)) if each.what == INPUT]
    assert (finding.rows, finding.of) == (16, 16)
    assert len(finding.examples) == 5
    assert isinstance(finding, Finding)
