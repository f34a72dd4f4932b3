"""The simulated shop's words and how texts are made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.simulator import reviews
from ecellm.data.simulator.department import purchases, stock
from ecellm.data.simulator.products import description, feature, make, title
from ecellm.data.simulator.random_draws import RandomDraws, generator, identifiers, shards
from ecellm.data.simulator.vocabulary import departments


def test_every_type_has_complements_of_other_types_and_attributes_with_values_to_differ_in() -> None:
    for department in departments():
        for place, kind in enumerate(department.types):
            assert place not in kind.goes_with
            assert len(set(kind.names)) == len(kind.names) == 3
            for attribute in kind.attributes:
                surfaces = [surface for value in attribute.values for surface in value]
                assert len(set(surfaces)) == len(surfaces) > 3
                assert all(text.count("{v}") == 1 for text in attribute.says)
                assert "{v}" in attribute.whether
                assert all("{noun}" in text for text in (*attribute.asks, attribute.whether))


@given(st.integers(0, 2**32), st.integers(0, 4))
def test_values_stand_where_texts_say_they_do(seed: int, place: int) -> None:
    draw = RandomDraws(np.random.default_rng(seed))
    department = departments()[place]
    product = make(department, draw, draw.below(len(department.types)))
    surfaces = {attribute.name: sum(attribute.values, ()) for attribute in product.type.attributes}
    places = range(len(product.values))
    for text in (title(product, draw, must=places), description(product, draw, places), feature(product, draw, 0)):
        assert text.spans
        for name, begin, end in text.spans:
            assert text.text[begin:end].casefold() in [surface.casefold() for surface in surfaces[name]]


@pytest.mark.parametrize(("scale", "sizes"), [(0.3, [0.3]), (1.0, [1.0]), (2.5, [1.0, 1.0, 0.5])])
def test_shards_add_up_to_the_scale(scale: float, sizes: list[float]) -> None:
    assert shards(scale) == pytest.approx(sizes)


@given(st.integers(0, 10**9), st.integers(1, 300))
def test_identifiers_are_distinct_across_runs_of_numbers(first: int, count: int) -> None:
    one, next_ones = identifiers("B0", first, count, 8), identifiers("B0", first + count, count, 8)
    assert len({*one, *next_ones}) == 2 * count
    assert all(len(name) == 10 and name.startswith("B0") for name in one)


def test_draws_depend_on_seed_and_key_alone() -> None:
    assert generator(1, "a", 0).random() == generator(1, "a", 0).random()
    assert len({generator(*key).random() for key in ((1, "a", 0), (2, "a", 0), (1, "b", 0), (1, "a", 1))}) == 4


def test_what_is_bought_next_follows_from_what_was_bought() -> None:
    department = departments()[0]
    shelf = stock(department, 0, 1.0, RandomDraws(generator(1, "test")))
    bought = purchases(shelf, 1.0, generator(1, "bought"))
    kinds = np.array([product.kind for product in shelf.products])[bought.item]
    pairs = [
        (int(kinds[at]), int(kinds[at + 1])) for at in range(len(kinds) - 1) if bought.user[at] == bought.user[at + 1]
    ]
    follows = np.mean([after in department.types[before].goes_with for before, after in pairs])
    shuffled = zip(kinds, kinds[::-1], strict=True)
    by_chance = np.mean([after in department.types[before].goes_with for before, after in shuffled])
    assert follows > 0.45 > 2 * by_chance
    assert all((np.diff(bought.time[bought.user == user]) > 0).all() for user in range(50))


def test_words_of_reviews_follow_their_stars() -> None:
    shelf = stock(departments()[0], 0, 0.1, RandomDraws(generator(1, "test")))
    draw = RandomDraws(generator(1, "words"))
    happy, angry = (" ".join(reviews.text(shelf, 0, stars, draw) for _ in range(200)) for stars in (5, 1))
    for word, more, less in (
        ("Not one regret", happy, angry),
        ("money", angry, happy),
        ("regret that", angry, happy),
    ):
        assert more.count(word) > less.count(word), word
