"""What prompts begin with alike: all before a sample's own texts, where that is worth a pass of its own."""

from hypothesis import given
from hypothesis import strategies as st

from ecellm.models.decoding.shared_prefix import MIN_PREFIX, MIN_SHARE, shared_prefixes
from ecellm.prompts import Mark, Prompt


def prompt(instruction: int, begins: int, own: int) -> Prompt:
    ids = [*[instruction] * begins, *range(100, 100 + own)]
    return Prompt("", ids, contents=(Mark("0", begins, begins + own),))


PROMPTS = st.lists(st.builds(prompt, st.integers(1, 3), st.integers(0, 60), st.integers(1, 200)), max_size=12)


@given(PROMPTS)
def test_what_is_shared_is_another_prompt_s_beginning_too_and_not_all_of_a_prompt(prompts: list[Prompt]) -> None:
    for row, length in enumerate(shared_prefixes(prompts)):
        if length:
            assert max(MIN_PREFIX, MIN_SHARE * len(prompts[row].ids)) <= length < len(prompts[row].ids)
            others = [other.ids for place, other in enumerate(prompts) if place != row]
            assert any(other[:length] == prompts[row].ids[:length] for other in others)


def test_a_beginning_ends_where_a_prompt_s_own_texts_begin_even_where_these_are_equal() -> None:
    twice = [prompt(1, 20, 50), prompt(1, 20, 50)]
    assert shared_prefixes(twice) == [20, 20]


def test_short_beginnings_and_those_of_one_prompt_are_not_shared() -> None:
    assert shared_prefixes([prompt(1, 20, 50), prompt(2, 20, 50)]) == [0, 0]
    assert shared_prefixes([prompt(1, MIN_PREFIX - 1, 50)] * 2) == [0, 0]
    assert shared_prefixes([prompt(1, 20, 500), prompt(1, 20, 50), prompt(1, 20, 60)]) == [0, 20, 20]
