"""Selection: which drawn rows a dataset keeps. Each leak rule alone, then all of them on arbitrary draws."""

from collections import Counter
from collections.abc import Sequence
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.filters.selection import (
    BEYOND,
    CONFLICT,
    CROSSING,
    DUPLICATE,
    FACT,
    PRIORITY,
    PRODUCT,
    Part,
    Rules,
    Selection,
    select,
)
from ecellm.types import SPLITS, Example

TRAIN, VALIDATION, TEST, ABROAD = ("train", "IND"), ("validation", "IND"), ("test", "IND"), ("test", "OOD")
PLENTY = dict.fromkeys(PRIORITY, 100)
numbers = count()


def example(
    part: Part,
    text: str,
    task: str = "PM",
    output: str = "yes",
    options: str | None = None,
    facts: tuple[str, ...] = (),
    products: tuple[str, ...] = (),
) -> Example:
    split, domain = part
    name = f"{task}-{next(numbers)}"
    return Example(name, task, domain, split, text, options, output, facts=facts, products=products)


def chosen(*examples: Example, open_tasks: Sequence[str] = ()) -> Selection:
    tasks = dict.fromkeys(one.task for one in examples)
    drawn = {task: [one for one in examples if one.task == task] for task in tasks}
    return select(drawn, dict.fromkeys(tasks, PLENTY), {task: Rules(many_answers=True) for task in open_tasks})


def kept(selection: Selection, task: str = "PM") -> dict[Part, list[str]]:
    return {part: [one.input for one in rows] for part, rows in selection.examples[task].items() if rows}


def test_an_input_stands_once_where_the_test_rows_have_it_first() -> None:
    rows = [example(part, "mug or cup?") for part in (TRAIN, VALIDATION, TEST, ABROAD, TRAIN)]
    selection = chosen(*rows)
    assert kept(selection) == {ABROAD: ["mug or cup?"]}
    assert selection.dropped["PM"] == Counter({DUPLICATE: 4, BEYOND: 0})


def test_equal_inputs_with_other_options_are_two_questions_of_one_split_only() -> None:
    rows = [example(TRAIN, "history", options="['A: mug']"), example(TRAIN, "history", options="['A: pot']")]
    assert kept(chosen(*rows)) == {TRAIN: ["history", "history"]}
    selection = chosen(*rows, example(TEST, "history", options="['A: pan']"))
    assert kept(selection) == {TEST: ["history"]}
    assert selection.dropped["PM"][CROSSING] == 2


def test_an_input_of_one_task_does_not_train_another_that_is_tested_on_it() -> None:
    selection = chosen(example(TEST, "does it leak?", "AP"), example(TRAIN, "does it leak?", "AG"))
    assert kept(selection, "AG") == {}
    assert selection.dropped["AG"][CROSSING] == 1


def test_conflicting_answers_leave_no_row_of_that_input() -> None:
    rows = [example(TRAIN, "same?", output="yes"), example(TEST, "same?", output="no"), example(TEST, "other?")]
    selection = chosen(*rows)
    assert kept(selection) == {TEST: ["other?"]}
    assert selection.dropped["PM"][CONFLICT] == 2


def test_a_question_with_free_answers_keeps_the_first_one_drawn() -> None:
    rows = [example(TRAIN, "how loud?", "AG", output="Quiet."), example(TRAIN, "how loud?", "AG", output="Loud.")]
    selection = chosen(*rows, open_tasks=["AG"])
    assert [one.output for one in selection.examples["AG"][TRAIN]] == ["Quiet."]
    assert selection.dropped["AG"][DUPLICATE] == 1


def test_a_judgement_that_labels_a_test_row_labels_no_other_tasks_training_row() -> None:
    judged = ("judgement|mug|red mug",)
    selection = chosen(
        example(TEST, "a", "MPC", facts=judged),
        example(TRAIN, "b", "PSI", facts=judged),
        example(VALIDATION, "c", "QPR", facts=("judgement|mug|blue mug", *judged)),
        example(TRAIN, "d", "QPR", facts=("judgement|mug|blue mug",)),
        example(TEST, "e", "QPR", facts=judged),
    )
    assert kept(selection, "PSI") == {}
    assert kept(selection, "QPR") == {TEST: ["e"], TRAIN: ["d"]}
    assert selection.dropped["PSI"][FACT] == selection.dropped["QPR"][FACT] == 1


def test_a_product_of_the_out_of_domain_rows_trains_no_row_of_that_task() -> None:
    saw = ("amazon_2018|saw",)
    selection = chosen(
        example(ABROAD, "a", "SA", products=saw),
        example(TRAIN, "b", "SA", products=("amazon_2018|mug", *saw)),
        example(VALIDATION, "c", "SA", products=saw),
        example(TEST, "d", "SA", products=saw),
        example(TRAIN, "e", "PRP", products=saw),
    )
    assert kept(selection, "SA") == {ABROAD: ["a"], TEST: ["d"]}
    assert kept(selection, "PRP") == {TRAIN: ["e"]}
    assert selection.dropped["SA"][PRODUCT] == 2


def test_the_reserve_fills_up_what_the_rules_took() -> None:
    drawn = {"PM": [example(TEST, "a"), *(example(TRAIN, text) for text in "abcde")]}
    selection = select(drawn, {"PM": {TRAIN: 3, TEST: 1}})
    assert kept(selection) == {TEST: ["a"], TRAIN: ["b", "c", "d"]}
    assert selection.dropped["PM"] == Counter({DUPLICATE: 1, BEYOND: 1})


def test_a_test_row_beyond_its_quota_does_not_bar_training_rows() -> None:
    drawn = {"MPC": [example(TEST, "a", "MPC", facts=("f",)), example(TRAIN, "b", "MPC", facts=("f",))]}
    assert kept(select(drawn, {"MPC": {TRAIN: 1, TEST: 0}}), "MPC") == {TRAIN: ["b"]}


def test_a_split_lists_in_domain_rows_before_out_of_domain_ones_task_by_task() -> None:
    rows = [example(ABROAD, "a", "SA"), example(TEST, "b", "SA"), example(TEST, "c", "PM"), example(TRAIN, "d", "SA")]
    assert [one.input for one in chosen(*rows).split("test")] == ["b", "a", "c"]


few = st.integers(0, 3)


@st.composite
def draws(draw: st.DrawFn) -> dict[str, list[Example]]:
    """Rows of three tasks with few inputs, answers, facts and products, so that everything collides."""

    def one(task: str) -> Example:
        facts = draw(st.sets(st.sampled_from("fgh"), max_size=2))
        products = draw(st.sets(st.sampled_from("pqr"), max_size=2))
        return example(
            draw(st.sampled_from(PRIORITY)),
            f"input {draw(st.integers(0, 12))}",
            task,
            draw(st.sampled_from(["yes", "yes", "yes", "no"])),
            draw(st.sampled_from([None, "['A: mug']"])),
            tuple(sorted(facts)),
            tuple(sorted(products)),
        )

    return {task: [one(task) for _ in range(draw(st.integers(0, 12)))] for task in ("SA", "AP", "AG")}


@given(
    draws(),
    st.fixed_dictionaries({task: st.fixed_dictionaries(dict.fromkeys(PRIORITY, few)) for task in ("SA", "AP", "AG")}),
)
def test_on_any_draw_nothing_leaks_nothing_exceeds_its_quota_and_all_is_counted(
    drawn: dict[str, list[Example]], quotas: dict[str, dict[Part, int]]
) -> None:
    selection = select(drawn, quotas, {"AG": Rules(many_answers=True)})
    rows = {split: selection.split(split) for split in SPLITS}
    inputs = {split: {one.input for one in rows[split]} for split in SPLITS}
    facts = {split: {fact for one in rows[split] for fact in one.facts} for split in SPLITS}
    assert sum(map(len, inputs.values())) == len(set().union(*inputs.values()))
    assert facts["test"].isdisjoint(facts["train"] | facts["validation"])
    for task, examples in drawn.items():
        parts = selection.examples[task]
        stay = [one for part in parts.values() for one in part]
        assert len(examples) == len(stay) + selection.dropped[task].total()
        assert all(len(parts[part]) <= quotas[task][part] for part in PRIORITY)
        assert len({(one.input, one.options) for one in stay}) == len(stay)
        abroad = {product for one in parts[ABROAD] for product in one.products}
        assert all(abroad.isdisjoint(one.products) for one in parts[TRAIN] + parts[VALIDATION])
        for part in PRIORITY:
            places = [examples.index(one) for one in parts[part]]
            assert places == sorted(places) and all(
                (examples[at].split, examples[at].domain) == part for at in places
            )
            if len(parts[part]) < quotas[task][part]:
                left = [one for one in examples if (one.split, one.domain) == part and one not in stay]
                assert all(_has_a_reason(one, examples, inputs, facts["test"], abroad) for one in left)


def _has_a_reason(
    one: Example, examples: list[Example], inputs: dict[str, set[str]], tested: set[str], abroad: set[str]
) -> bool:
    """Say whether a row that would have fitted its quota breaks a rule."""
    repeats = any(other is not one and (other.input, other.options) == (one.input, one.options) for other in examples)
    crosses = any(one.input in texts for split, texts in inputs.items() if split != one.split)
    leaks = not tested.isdisjoint(one.facts) or not abroad.isdisjoint(one.products)
    return repeats or (one.split != "test" and (crosses or leaks))
