"""AVE's models: the CRF against enumeration, spans of values there and back, what is learned."""

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_tfidf import made, save

from ecellm.data.dataset import Dataset
from ecellm.models.baselines.aveqa import LONGEST_SPAN, best_span
from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.crf import Crf
from ecellm.models.baselines.suopentag import spans_of, tags_of
from ecellm.models.baselines.training import seeded
from ecellm.models.baselines.value_spans import Texts, f1, labels_of, texts_of, token_span
from ecellm.models.folder import model_hash
from ecellm.types import Example
from fitted import answered, scored


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(2, 4), st.integers(0, 999))
def test_the_crf_agrees_with_enumeration(lengths: list[int], tags: int, seed: int) -> None:
    with seeded(seed):
        crf = Crf(tags).double()
        for weight in crf.parameters():
            torch.nn.init.normal_(weight)
        scores = torch.randn(len(lengths), max(lengths), tags, dtype=torch.float64)
    counts = torch.tensor(lengths)
    best = crf.best_path(scores, counts)
    for row, length in enumerate(lengths):
        paths = list(product(range(tags), repeat=length))
        totals = torch.stack([by_hand(crf, scores[row], path) for path in paths])
        assert float(crf.partition(scores, counts)[row].detach()) == pytest.approx(
            float(totals.logsumexp(0).detach())
        )
        assert tuple(best[row]) == paths[int(totals.argmax())]
        wanted = torch.zeros(len(lengths), max(lengths), dtype=torch.long)
        wanted[row, :length] = torch.tensor(paths[-1])
        likelihood = crf.log_likelihood(scores, wanted, counts)[row]
        assert likelihood.item() == pytest.approx((totals[-1] - totals.logsumexp(0)).item())


def by_hand(crf: Crf, scores: torch.Tensor, path: tuple[int, ...]) -> torch.Tensor:
    """The score of one path, term by term."""
    total = crf.first[path[0]] + crf.last[path[-1]]
    for place, tag in enumerate(path):
        total = total + scores[place, tag] + (crf.moves[path[place - 1], tag] if place else 0)
    return total


def test_values_are_found_in_the_field_that_is_named_and_read_back() -> None:
    texts = Texts("Red mug | a RED, reddish mug", (("Product Title", 0, 7), ("product feature", 10, 28)))
    triples = [
        {"attribute": "color", "value": "red", "source": "product feature"},
        {"attribute": "size", "value": "None", "source": "None"},
    ]
    spans = texts.spans(triples, "color")
    assert [texts.text[start:end] for start, end in spans] == ["RED"]
    assert texts.triples("color", spans) == triples[:1] and texts.spans(triples, "size") == []
    assert texts.triples("size", []) == triples[1:]
    assert texts.triples("color", [(0, 12)]) == [
        {"attribute": "color", "value": "red mug", "source": "product title"}
    ]


@given(st.lists(st.sampled_from(["red", "mug", "12 oz", "İx"]), min_size=1, max_size=5), st.integers(0, 4))
def test_tags_give_their_spans_back(words: list[str], place: int) -> None:
    text = " ".join(words)
    offsets, end = [(0, 0)], 0
    for word in text.split():
        start = text.index(word, end)
        end = start + len(word)
        offsets.append((start, end))
    span = offsets[1 + place % (len(offsets) - 1)]
    assert spans_of(offsets, tags_of(offsets, [span])) == [span]
    assert token_span(offsets[:-1], offsets[-1]) is None


def test_neighbouring_values_stay_apart() -> None:
    offsets = [(0, 0), (0, 3), (4, 8), (9, 12)]
    assert spans_of(offsets, tags_of(offsets, [(0, 8), (9, 12)])) == [(0, 8), (9, 12)]
    assert spans_of(offsets, [0, 2, 0, 2]) == [(0, 3), (9, 12)]


@given(st.integers(1, 40), st.integers(0, 99))
def test_the_best_span_is_that_of_enumeration(length: int, seed: int) -> None:
    with seeded(seed):
        ends = torch.randn(length, 2)
    every = [(a, b) for a in range(length) for b in range(a + 1, min(length, a + LONGEST_SPAN) + 1)]
    best = max(every, key=lambda span: float(ends[span[0], 0] + ends[span[1] - 1, 1]))
    assert best_span(ends) == best


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    counts = {"train": 60, "validation": 20, "test": 20}
    rows = [made("AVE", split, n) for split, count in counts.items() for n in range(count)]  # type: ignore[arg-type]
    return save(tmp_path_factory.mktemp("values") / "data", rows)


def test_right_triples_score_one(data: Dataset) -> None:
    examples = data.examples("test")
    assert f1(examples, [labels_of(example) for example in examples]) == 1.0
    for example in examples:
        texts, triples = texts_of(example), labels_of(example)
        for triple in triples:
            name = triple["attribute"]
            assert texts.triples(name, texts.spans(triples, name)) == [triple]


@pytest.mark.slow
def test_the_tagger_learns(data: Dataset, tmp_path: Path) -> None:
    row = scored("suopentag", data, tmp_path, ["AVE"], Choices(epochs=15))["AVE"]
    assert row["value"] > row["floor"] + 0.2 and row["unparsed"] == 0


def test_equal_seeds_tag_alike(data: Dataset, tmp_path: Path) -> None:
    for name in ("one", "two"):
        answered("suopentag", data, tmp_path / name, ["AVE"], choices=Choices(epochs=1, limit=20))
    assert model_hash(tmp_path / "one" / "model") == model_hash(tmp_path / "two" / "model")


def test_question_answering_answers_in_form_on_any_encoder(data: Dataset, tiny_base: Path, tmp_path: Path) -> None:
    lines = answered("aveqa", data, tmp_path, ["AVE"], choices=Choices(str(tiny_base), epochs=1, limit=20))
    for line in lines:
        assert [triple["attribute"] for triple in line["answer"]] == ["color", "volume", "brand"]


@pytest.mark.slow
def test_question_answering_learns(data: Dataset, tmp_path: Path) -> None:
    row = scored("aveqa", data, tmp_path, ["AVE"], Choices(epochs=4))["AVE"]
    assert row["value"] > row["floor"] + 0.4


def test_texts_without_room_for_a_value_are_answered(data: Dataset, tiny_base: Path, tmp_path: Path) -> None:
    text = json.dumps({"product title": "", "target attributes": "Color and Size"})
    empty = Example("AVE-e", "AVE", "IND", "test", text, None, "[]")
    rows = [*data.examples("train")[:9], empty]
    bare = save(tmp_path / "bare", rows)
    none = [{"attribute": name, "value": "None", "source": "None"} for name in ("color", "size")]
    for name in ("suopentag", "aveqa"):
        lines = answered(name, bare, tmp_path / name, ["AVE"], choices=Choices(str(tiny_base), epochs=1))
        assert [line["answer"] for line in lines] == [none]
