"""SA: short and repeated texts, the split by text, equal shares per category."""

from collections import Counter
from typing import Any

from ecellm.data.samplers import Draw, Plan
from ecellm.data.samplers.sa import SAMPLER
from ecellm.tasks.sa import OPTIONS
from ecellm.types import Example
from stores import store


def review(text: str, stars: int = 5, category: str = "Home", product: str = "P") -> dict[str, Any]:
    return {"category": category, "product_id": product, "user_id": "U", "stars": stars, "text": text, "time": 1}


def long(number: int) -> str:
    return f"this is review number {number} and it has more than ten words"


def draw(rows: list[dict[str, Any]], test: int = 100, categories: tuple[str, ...] = ("Home",)) -> Draw:
    quotas = {("train", "IND"): 100, ("validation", "IND"): 100, ("test", "IND"): test, ("test", "OOD"): 100}
    return SAMPLER.draw(store(reviews=rows), Plan(1, quotas, categories, ("Tools",)))  # type: ignore[arg-type]


def parts(examples: list[Example]) -> Counter[tuple[str, str]]:
    return Counter((example.split, example.domain) for example in examples)


def test_stars_become_options_and_the_input_is_the_bare_text() -> None:
    found = draw([review(long(stars), stars) for stars in range(1, 6)]).examples
    assert {example.input: example.output for example in found} == {
        long(stars): OPTIONS[5 - stars] for stars in range(1, 6)
    }


def test_a_text_is_shown_as_it_is_and_white_space_at_its_ends_tells_no_texts_apart() -> None:
    rows = [review(f" {long(1)}\n"), review(f" {long(1)}\n"), review(long(2)), review(f"{long(2)} ")]
    found = draw(rows)
    assert [example.input for example in sorted(found.examples, key=lambda example: example.input)] == [
        f" {long(1)}\n",
        long(2),
    ]
    assert found.dropped == {"review text repeats": 2}


def test_words_are_what_single_spaces_divide_as_in_the_paper() -> None:
    few, many = "one two three four five six seven eight nine", "one  two three four five six seven eight nine"
    assert [example.input for example in draw([review(few), review(many), review(" " * 20)]).examples] == [many]


def test_short_repeated_and_contradicting_texts_are_left_out_and_counted() -> None:
    rows = [review("one two three four five six seven eight nine"), review(long(1)), review(long(1), product="Q")]
    rows += [review(long(2), 5), review(long(2), 1)]
    found = draw(rows)
    assert [example.input for example in found.examples] == [long(1)]
    assert dict(found.dropped) == {
        "review has fewer than 10 words": 1,
        "review text repeats": 2,
        "equal texts have different stars": 1,
    }


def test_the_split_follows_the_text_whatever_the_order_or_the_category() -> None:
    rows = [review(long(number), category=name) for number in range(60) for name in ("Home", "Sports")]
    one, other = draw(rows, categories=("Home", "Sports")), draw(rows[::-1], categories=("Home", "Sports"))
    assert [example.id for example in one.examples] == [example.id for example in other.examples]
    splits: dict[str, set[str]] = {}
    for example in one.examples:
        splits.setdefault(example.input, set()).add(example.split)
    assert all(len(found) == 1 for found in splits.values())


def test_categories_give_equal_shares_while_they_last() -> None:
    rows = [review(long(number), category="Home") for number in range(2000)]
    rows += [review(long(number), category="Sports") for number in range(5000, 5200)]
    found = draw(rows, test=10, categories=("Home", "Sports")).examples
    tested = [example.category for example in found if example.split == "test"]
    assert tested[:20].count("Home") == tested[:20].count("Sports") == 10


def test_out_of_domain_rows_come_from_their_categories_and_are_test_rows() -> None:
    rows = [review(long(number), category=("Home", "Tools")[number % 2]) for number in range(200)]
    found = draw(rows).examples
    assert {(example.category, example.domain) for example in found} == {("Home", "IND"), ("Tools", "OOD")}
    assert parts([example for example in found if example.domain == "OOD"]).keys() == {("test", "OOD")}


def test_reviews_that_name_no_product_share_none() -> None:
    found = draw([review(long(1), product=""), review(long(2), product="Q")]).examples
    assert {example.input: example.products for example in found} == {long(1): (), long(2): ("amazon_2018|Q",)}
