"""What may stand in a value, what a drawn number chooses, and how a frame of JSON is filled."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ecellm.models.decoding.generation import CLOSING, ESCAPE, PLAIN, TriplesWriter, Vocabulary, sampled, scan
from tiny_models import tokenizer_for


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(tokenizer_for("llama"), "cpu")


@given(st.text())
def test_every_json_string_in_ascii_passes_and_ends_where_it_ends(text: str) -> None:
    inside = json.dumps(text)[1:-1]
    if "\x7f" not in inside:
        assert scan(PLAIN, inside) == (PLAIN, None)
        assert scan(PLAIN, inside + CLOSING[:4]) == (PLAIN, len(inside))
        for cut in range(len(inside)):  # a token may end anywhere
            state, closed = scan(PLAIN, inside[:cut])
            assert closed is None and scan(state, inside[cut:]) == (PLAIN, None)


@pytest.mark.parametrize("text", ["caf\u00e9", "a\nb", '"x', '", "value', "\\x", "\\u12g4", "\x7f"])
def test_what_would_not_parse_does_not_pass(text: str) -> None:
    with pytest.raises(ValueError):
        scan(PLAIN, text)


def test_an_escape_may_be_divided_between_tokens() -> None:
    assert scan(PLAIN, "\\") == (ESCAPE, None)
    assert scan(ESCAPE, '" wide') == (PLAIN, None)
    state, _ = scan(PLAIN, "\\u00")
    assert scan(state, "e9") == (PLAIN, None)


def test_a_vocabularys_texts_join_to_what_was_tokenised(vocabulary: Vocabulary) -> None:
    text = 'a blue  steel mug, "yes"'
    assert "".join(vocabulary.texts[token] or "" for token in vocabulary.tokens(text, inside=True)) == text
    assert vocabulary.texts[1] is None  # the end token writes nothing


def test_closing_is_not_allowed_before_there_is_a_value(vocabulary: Vocabulary) -> None:
    (quote,) = vocabulary.tokens('"')
    assert not vocabulary.allowed(PLAIN, closing=False)[quote]
    assert vocabulary.allowed(PLAIN, closing=True)[quote]
    assert vocabulary.allowed(ESCAPE, closing=False)[quote]


@given(st.lists(st.floats(-100, 100, width=32), min_size=320, max_size=320))
def test_whatever_a_model_prefers_the_triples_parse(vocabulary: Vocabulary, scores: list[float]) -> None:
    values = TriplesWriter(["Color", 'Size "x"'], ["product title", "product brand", "product"], vocabulary)
    logits = torch.tensor(scores[: len(vocabulary.texts)])
    steps = 0
    while not values.done:
        logits = logits.roll(steps * 7 + 1)
        values.take(logits, 0, 0.0)
        steps += 1
        assert steps < 200
    triples = json.loads(values.text)
    assert [triple["attribute"] for triple in triples] == ["color", 'size "x"']
    for triple in triples:
        assert (triple["value"] == "None") == (triple["source"] == "None")
        assert triple["source"] in ("product title", "product brand", "product", "None")


def test_a_frame_is_filled_with_what_the_model_prefers(vocabulary: Vocabulary) -> None:
    """A model that wants to write one known answer writes it, and reads just its tokens."""
    wanted = (
        '[{"attribute": "color", "value": "blue \\"x\\"", "source": "product brand"}, '
        '{"attribute": "size", "value": "None", "source": "None"}]'
    )
    values = TriplesWriter(["Color", "Size"], ["product title", "product brand"], vocabulary)
    read = "".join(vocabulary.texts[token] or "" for token in values.start)
    while not values.done:
        assert wanted.startswith(read)
        logits = torch.full((len(vocabulary.texts),), -50.0)
        for token, text in enumerate(vocabulary.texts):
            if text and wanted.startswith(text, len(read)):
                logits[token] = len(text)  # the longest that fits
        tokens = values.take(logits, 0, 0.0)
        read += "".join(vocabulary.texts[token] or "" for token in tokens)
    assert values.text == wanted and values.margin > 0


@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.floats(0, 1, exclude_max=True), st.floats(0.05, 1))
def test_sampling_divides_the_interval_by_shares(counts: list[int], drawn: float, top_p: float) -> None:
    logits = torch.tensor(counts, dtype=torch.float64).log()
    order = sorted(range(len(counts)), key=lambda token: -counts[token])
    kept, covered = [], 0.0
    for token in order:
        if covered >= top_p - 1e-9:
            break
        kept.append(token)
        covered += counts[token] / sum(counts)
    chosen = sampled(logits, 1.0, top_p, drawn)
    if abs(covered - top_p) > 1e-6:
        assert chosen in kept
    assert sampled(logits, 1.0, 1.0, 0.0) == order[0]


def test_a_drawn_number_falls_on_the_token_whose_share_holds_it() -> None:
    logits = torch.tensor([1.0, 6.0, 3.0]).log()  # shares .1, .6 and .3: likeliest first, 1 has [0, .6), 2 [.6, .9)
    assert [sampled(logits, 1.0, 1.0, drawn) for drawn in (0.0, 0.59, 0.61, 0.89, 0.91)] == [1, 1, 2, 2, 0]
    assert [sampled(logits, 1.0, 0.7, drawn) for drawn in (0.66, 0.67, 0.99)] == [1, 2, 2]  # of the two, 2/3 and 1/3
    assert sampled(logits, 0.05, 1.0, 0.99) == 1
