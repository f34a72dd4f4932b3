"""SR: the core, the history, and the candidates."""

import ast
import re
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.data.samplers import Draw, Plan
from ecellm.data.samplers.sr import SAMPLER
from ecellm.tasks.sr import CANDIDATES
from ecellm.types import Example
from stores import store

QUOTAS = {("train", "IND"): 50, ("validation", "IND"): 50, ("test", "IND"): 50}
ITEMS = 40


def product(number: int, title: str | None = None) -> dict[str, Any]:
    return {
        "catalogue": "amazon_2018",
        "category": "Games",
        "product_id": f"P{number:02}",
        "title": title or f"Game {number}",
        "categories": ["Video Games", "Action", "Old"],
        "brand": "Acme",
    }


def purchase(user: int, item: int, time: int) -> dict[str, Any]:
    return {"category": "Games", "product_id": f"P{item:02}", "user_id": f"U{user:02}", "time": time}


def purchases() -> list[dict[str, Any]]:
    return [purchase(user, (user * 3 + step) % ITEMS, step) for user in range(30) for step in range(10)]


def draw(rows: list[dict[str, Any]], products: list[dict[str, Any]] | None = None) -> Draw:
    made = products or [product(number) for number in range(ITEMS)]
    return SAMPLER.draw(store(products=made, purchases=rows), Plan(1, QUOTAS, ("Games",)))  # type: ignore[arg-type]


def test_the_last_item_is_tested_the_one_before_validated_the_one_before_that_trained_on() -> None:
    found = {
        example.split: example for example in draw(purchases()).examples if example.products[0] == "amazon_2018|P00"
    }
    lengths = {split: len(ast.literal_eval(example.input)) for split, example in found.items()}
    assert lengths == {"train": 7, "validation": 8, "test": 9}
    tested = found["test"]
    options = ast.literal_eval(tested.options or "")
    target = options["ABCDEFGHIJKLMNOPQRST".index(tested.output)]
    assert target[3:] == "Game 9. Video Games. Action. Acme."
    assert ast.literal_eval(tested.input)[:2] == [
        "1st: Game 0. Video Games. Action. Acme.",
        "2nd: Game 1. Video Games. Action. Acme.",
    ]


def test_candidates_are_twenty_distinct_texts_without_the_shoppers_last_three_but_the_target() -> None:
    for example in draw(purchases()).examples:
        options = [option[3:] for option in ast.literal_eval(example.options or "")]
        assert len(options) == len(set(options)) == CANDIDATES
        user = int(example.products[0].removeprefix("amazon_2018|P")) if example.split == "test" else None
        if user is not None:
            first = user
            later = {f"Game {(first + step) % ITEMS}. Video Games. Action. Acme." for step in (7, 8)}
            assert not later & set(options)


def test_row_order_and_repeated_purchases_do_not_matter() -> None:
    rows = purchases()
    one, other = draw(rows), draw(rows[::-1] + rows[:7])
    assert [example.id for example in one.examples] == [example.id for example in other.examples]
    assert other.dropped["purchase repeats"] == 7


def core(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is left of distinct purchases once users and items with fewer than 5 are gone, again and again."""
    while True:
        kept = [
            row
            for row in rows
            if all(sum(other[name] == row[name] for other in rows) >= 5 for name in ("user_id", "product_id"))
        ]
        if len(kept) == len(rows):
            return kept
        rows = kept


def chain(links: int) -> list[dict[str, Any]]:
    """Users and items of whom each has five purchases until the one before is gone; the first has four."""
    found = []
    for link in range(links):
        user, item = 40 + link, 50 + link
        found += [purchase(user, number, 100) for number in range(3)]
        found += [purchase(user, item, 101), *(purchase(other, item, 102) for other in range(4))]
        if link:
            found.append(purchase(user, item - 1, 103))
            found.remove(purchase(0, item - 1, 102))
    return found


@settings(max_examples=8)
@given(
    st.integers(1, 5),
    st.sets(st.tuples(st.integers(28, 46), st.integers(36, 56), st.integers(0, 2)), max_size=60),
)
def test_the_core_is_what_a_loop_over_all_purchases_leaves(links: int, others: set[tuple[int, int, int]]) -> None:
    more = [*chain(links), *(purchase(user, item, 200 + time) for user, item, time in others)]
    rows = [*purchases(), *more]
    found = draw(rows, [product(number) for number in range(60)])
    left = core(rows)
    assert found.dropped["purchase of a user or item with fewer than 5"] == len(rows) - len(left)
    items = {row["product_id"] for row in left}
    assert {key.split("|")[1] for example in found.examples for key in example.products} <= items


def test_users_items_and_unknown_products_below_the_core_are_left_out_and_counted() -> None:
    rows = [*purchases(), purchase(90, 1, 5), *(purchase(user, 99, 50) for user in range(3))]
    found = draw(rows)
    assert found.dropped["purchase of a product without metadata"] == 3
    assert found.dropped["purchase of a user or item with fewer than 5"] == 1
    assert [example.id for example in found.examples] == [example.id for example in draw(purchases()).examples]


def test_too_few_items_give_no_rows_and_a_reason() -> None:
    rows = [purchase(user, step, step) for user in range(9) for step in range(6)]
    found = draw(rows)
    assert found.examples == [] and any("to choose from" in reason for reason in found.dropped)


def shown_first(title: str | None, old: list[dict[str, Any]] | None = None, **changes: Any) -> str:
    """How the first product of the longest history is shown."""
    made = [product(number) for number in range(ITEMS)]
    made[0] = {**product(0), "title": title, **changes}
    (found,) = (
        example
        for example in draw(purchases(), made + (old or [])).examples
        if example.split == "test" and example.products[0] == "amazon_2018|P00"
    )
    return str(ast.literal_eval(found.input)[0]).removeprefix("1st: ")


def test_2014_fills_an_empty_title_and_brand_but_no_categories() -> None:
    old = {**product(0), "catalogue": "amazon_2014", "title": "Old", "categories": ["Old"], "brand": "Former"}
    assert shown_first("A game", [old], brand=None, categories=[]) == "A game.  Former."
    assert shown_first("", [old], brand="") == "Old. Video Games. Action. Former."
    assert shown_first("", brand="Acme") == "Video Games. Action. Acme."
    assert shown_first("A game", [old]) == "A game. Video Games. Action. Acme."


def test_products_without_metadata_or_anything_to_show_are_left_out_and_counted() -> None:
    made = [product(number) for number in range(1, ITEMS)]
    nothing = {**product(0), "title": None, "brand": None, "categories": []}
    for products in (made, [*made, nothing]):
        dropped = draw(purchases(), products).dropped
        assert dropped["purchase of a product without metadata"] == sum(
            row["product_id"] == "P00" for row in purchases()
        )


def test_an_item_with_html_reads_alike_in_history_and_options() -> None:
    made = [product(number, f"Caf&eacute; {number} &quot;Easy&quot; &amp; <i>more</i>") for number in range(ITEMS)]
    for example in draw(purchases(), made).examples:
        texts = [
            text.partition(": ")[2]
            for shown in (example.input, example.options)
            for text in ast.literal_eval(shown or "")
        ]
        assert all(re.fullmatch(r'Café \d+ "Easy" & more. Video Games. Action. Acme.', text) for text in texts)


def wrong(examples: list[Example]) -> list[str]:
    """The texts of all wrong candidates."""
    found = []
    for example in examples:
        options = ast.literal_eval(example.options or "")
        found += [option[3:] for option in options if option[0] != example.output]
    return found


def drawn(negatives: str, products: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[Example]:
    plan = Plan(1, QUOTAS, ("Games",), negatives=negatives)  # type: ignore[arg-type]
    return SAMPLER.draw(store(products=products, purchases=rows), plan).examples


def test_popular_negatives_are_what_many_bought() -> None:
    products = [product(number) for number in range(120)]
    rows = [purchase(user, (user * 7 + step) % 100 + 20, step) for user in range(100) for step in range(6)]
    rows += [purchase(user, step, 50 + step) for user in range(100) for step in range(20)]
    popular = {f"Game {number}. Video Games. Action. Acme." for number in range(20)}

    def share(negatives: str) -> float:
        texts = wrong(drawn(negatives, products, rows))
        return sum(text in popular for text in texts) / len(texts)

    assert share("popular") > 2 * share("")


def test_same_category_negatives_are_of_the_right_products_categories() -> None:
    kinds = ("Action", "Puzzle")
    products = [{**product(n), "categories": ["Video Games", kinds[n % 2]]} for n in range(80)]
    rows = [purchase(user, (user * 3 + step) % 80, step) for user in range(60) for step in range(10)]
    for example in drawn("same_category", products, rows):
        options = ast.literal_eval(example.options or "")
        assert len({kind for kind in kinds for option in options if f" {kind}." in option}) == 1
    assert any(
        len({kind for kind in kinds for option in ast.literal_eval(example.options or "") if f" {kind}." in option})
        == 2
        for example in drawn("", products, rows)
    )


def test_the_shoppers_tested_are_trained_on_as_in_the_paper() -> None:
    rows = [purchase(user, (user * 3 + step) % ITEMS, step) for user in range(300) for step in range(10)]
    quotas: Any = {("train", "IND"): 60, ("validation", "IND"): 20, ("test", "IND"): 20}
    made = [product(number) for number in range(ITEMS)]
    examples = SAMPLER.draw(store(products=made, purchases=rows), Plan(1, quotas, ("Games",))).examples
    found = {split: [first_ten(example) for example in examples if example.split == split] for split, _ in quotas}
    assert found["train"][: len(found["test"])] == found["test"] and found["validation"] == found["test"]
    assert 20 <= len(found["test"]) < len(found["train"])


def first_ten(example: Example) -> tuple[str, ...]:
    """The purchases that every split's row of a shopper shows."""
    return example.products[:7]


def test_categories_give_equal_shares_while_they_last() -> None:
    rows, made = [], []
    for name, users in (("Games", 300), ("Toys", 100)):
        made += [{**product(number, f"{name} {number}"), "category": name} for number in range(ITEMS)]
        rows += [
            {**purchase(user, (user * 3 + step) % ITEMS, step), "category": name}
            for user in range(users)
            for step in range(10)
        ]
    quotas: Any = {("train", "IND"): 60, ("test", "IND"): 100}
    examples = SAMPLER.draw(store(products=made, purchases=rows), Plan(1, quotas, ("Games", "Toys"))).examples
    for (split, _), quota in quotas.items():
        found = [example.category for example in examples if example.split == split]
        assert Counter(found[:quota]) == {"Games": quota / 2, "Toys": quota / 2}
    more = SAMPLER.draw(
        store(products=made, purchases=rows), Plan(1, {("test", "IND"): 250}, ("Games", "Toys"))
    ).examples
    assert Counter(example.category for example in more) == {"Games": 295, "Toys": 100}


def shoppers_of(examples: list[Example]) -> dict[str, set[str]]:
    """The shoppers of each split, told by their first purchase: every shopper of `purchases` has another one."""
    found: dict[str, set[str]] = {split: set() for split in ("train", "validation", "test")}
    for example in examples:
        found[example.split].add(example.products[0])
    return found


def test_split_by_user_means_that_no_shopper_stands_in_two_splits() -> None:
    rows = purchases()
    made = [product(number) for number in range(ITEMS)]
    for apart in (False, True):
        plan = Plan(1, QUOTAS, ("Games",), split_by_user=apart)  # type: ignore[arg-type]
        found = shoppers_of(SAMPLER.draw(store(products=made, purchases=rows), plan).examples)
        assert all(found.values())
        shared = (found["train"] & found["test"]) | (found["validation"] & found["test"])
        assert bool(shared) != apart
    assert len(found["train"]) > len(found["test"])
