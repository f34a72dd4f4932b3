"""PM: the published form of a pair, which pairs are a yes or a no, and the exact shares of the splits."""

import json
from collections import Counter
from typing import Any

import pytest

from ecellm.data.samplers import Draw, Plan
from ecellm.data.samplers.pm import SAMPLER
from ecellm.types import Example
from stores import store

PLENTY: Any = {("train", "IND"): 1000, ("validation", "IND"): 1000, ("test", "IND"): 1000}


def product(catalogue: str, name: str, title: str | None, **more: Any) -> dict[str, Any]:
    return {"catalogue": catalogue, "product_id": name, "title": title, **more}


def shop(count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Two catalogues of `count` products, the n-th of one matching the n-th of the other."""
    products = [product("amazon", f"a{n}", f"tool {n}") for n in range(count)]
    products += [product("google", f"g{n}", f"the tool no. {n}") for n in range(count)]
    return products, [{"left_id": f"a{n}", "right_id": f"g{n}"} for n in range(count)]


def draw(products: list[dict[str, Any]], matches: list[dict[str, Any]], quotas: Any = PLENTY, seed: int = 1) -> Draw:
    return SAMPLER.draw(store(products=products, matches=matches), Plan(seed, quotas))


def texts(examples: list[Example]) -> list[str]:
    return [example.input for example in examples]


def ids(example: Example) -> tuple[str, str]:
    left, right = example.products
    return left.removeprefix("amazon|"), right.removeprefix("google|")


def test_a_pair_reads_as_the_published_rows() -> None:
    products = [
        product("amazon", "a", "clickart 950 000", brand="broderbund", price="0"),
        product("google", "g", "clickart 950000 dvd", description='for "mac"', price="29.95"),
    ]
    (found,) = draw(products, [{"left_id": "a", "right_id": "g"}]).examples
    assert found.input == (
        '{"product 1": {"title": "clickart 950 000", "description": NaN, "manufacturer": "broderbund", '
        '"price": "0"}, "product 2": {"title": "clickart 950000 dvd", "description": "for \\"mac\\"", '
        '"manufacturer": "nan", "price": "29.95"}}'
    )
    assert (found.output, found.options, found.domain) == ("yes", None, "IND")
    assert found.products == ("amazon|a", "google|g")


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        (" ".join(["word"] * 49) + " end.", " ".join(["word"] * 49) + " end."),
        (" ".join(["word"] * 50) + " more.", " ".join(["word"] * 50) + "..."),
        (" ".join(["word"] * 49) + " end. More.", " ".join(["word"] * 49) + " end..."),
        ("." + " ".join(["word"] * 60), " ".join(["word"] * 50) + "..."),
        (".short and uncut.", ".short and uncut."),
    ],
)
def test_a_description_is_cut_to_fifty_words(description: str, shown: str) -> None:
    products = [product("amazon", "a", "x", description=description), product("google", "g", "y")]
    (found,) = draw(products, [{"left_id": "a", "right_id": "g"}]).examples
    assert json.loads(found.input)["product 1"]["description"] == shown


def test_every_match_is_a_yes_and_as_many_random_pairs_are_a_no() -> None:
    products, matches = shop(60)
    examples = draw(products, matches).examples
    listed = {(row["left_id"], row["right_id"]) for row in matches}
    yes = [ids(example) for example in examples if example.output == "yes"]
    no = [ids(example) for example in examples if example.output == "no"]
    assert sorted(yes) == sorted(listed)
    assert listed.isdisjoint(no)
    assert len({left for left, _ in no}) == len(no)
    assert 50 <= len(no) <= 60  # a random pair that happens to match is left out


def test_a_no_never_shows_the_titles_of_a_yes() -> None:
    """Every product reads like one of three, so that most random pairs read like a match."""
    products = [product("amazon", f"a{n}", f"tool {n % 3}") for n in range(30)]
    products += [product("google", f"g{n}", f"the tool {n % 3}") for n in range(30)]
    matches = [{"left_id": f"a{n}", "right_id": f"g{n}"} for n in range(30)]
    found = draw(products, matches)

    def titles(example: Example) -> tuple[str, str]:
        read = json.loads(example.input)
        return read["product 1"]["title"], read["product 2"]["title"]

    same = {titles(example) for example in found.examples if example.output == "yes"}
    other = {titles(example) for example in found.examples if example.output == "no"}
    assert same == {(f"tool {n}", f"the tool {n}") for n in range(3)}
    assert other and same.isdisjoint(other)
    assert found.dropped["random pair is, or reads like, a match"] > 0


def test_matches_that_repeat_or_lack_a_product_are_left_out_and_counted() -> None:
    products, matches = shop(4)
    products += [product("amazon", "twin", "tool 0"), product("google", "untitled", None)]
    matches += [
        {"left_id": "a1", "right_id": "g1"},
        {"left_id": "twin", "right_id": "g0"},
        {"left_id": "a2", "right_id": "untitled"},
        {"left_id": "a2", "right_id": "nowhere"},
    ]
    found = draw(products, matches)
    assert sum(example.output == "yes" for example in found.examples) == 4
    assert found.dropped["match repeats or names a product that is not there"] == 4
    assert len(set(texts(found.examples))) == len(found.examples)


def test_the_shares_are_80_10_10_to_the_row() -> None:
    products, matches = shop(100)
    examples = draw(products, matches).examples
    counts = Counter(example.split for example in examples)
    total = len(examples)
    assert counts["train"] == round(0.8 * total)
    assert counts["train"] + counts["validation"] == round(0.9 * total)


def test_the_order_of_the_rows_changes_nothing_and_the_seed_changes_the_draw() -> None:
    products, matches = shop(40)
    one = draw(products, matches).examples
    assert draw(products[::-1], matches[::-1]).examples == one
    assert texts(draw(products, matches, seed=2).examples) != texts(one)


def test_a_quota_takes_the_first_of_the_larger_draw() -> None:
    products, matches = shop(100)
    few = draw(products, matches, {("test", "IND"): 1}).examples
    many = [example for example in draw(products, matches).examples if example.split == "test"]
    quotas: Any = {("train", "IND"): 10, ("test", "IND"): 0}
    train = draw(products, matches, quotas).examples
    assert few == many  # a reserve of 20 rows is drawn beyond the quota
    assert len(train) == 10 + 5 + 20 and {example.split for example in train} == {"train"}


def test_near_negatives_read_alike_and_are_no_matches() -> None:
    colours, things = ("red", "blue", "green", "black", "white"), ("kettle", "toaster", "lamp", "fan")
    names = [f"{colour} {thing}" for colour in colours for thing in things]
    products = [product("amazon", f"a{n}", f"acme {name}") for n, name in enumerate(names)]
    products += [product("google", f"g{n}", f"new {name} by acme") for n, name in enumerate(names)]
    matches = [{"left_id": f"a{n}", "right_id": f"g{n}"} for n in range(len(names))]

    def negatives(way: str) -> list[tuple[str, str]]:
        found = SAMPLER.draw(store(products=products, matches=matches), Plan(1, PLENTY, negatives=way)).examples
        return [ids(example) for example in found if example.output == "no"]

    def alike(pairs: list[tuple[str, str]]) -> float:
        kept = [bool({*names[int(left[1:])].split()} & {*names[int(right[1:])].split()}) for left, right in pairs]
        return sum(kept) / len(kept)

    near = negatives("near")
    assert len(near) == len(names)
    assert all(left[1:] != right[1:] for left, right in near)
    assert alike(near) == 1.0 > alike(negatives(""))
    assert near == negatives("near")
