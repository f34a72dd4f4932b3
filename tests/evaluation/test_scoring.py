"""Strict and published rules, row by row as the published evaluation has them."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.tasks import TASKS
from ecellm.tasks.scored import SCORINGS, NotScorableError, Scoring
from ecellm.tasks.scoring import read_answers, score_answers
from ecellm.types import Example
from published_rows import answers, lists, purchases, relations, row, stars, triple, values, yes_no


class SameText:
    """Stands for BERTScore: 1 for equal texts, else 0."""

    name = "equality"

    def score(self, pairs: Any) -> Any:
        return np.array([[float(answer == wanted)] * 3 for answer, wanted in pairs]).reshape(-1, 3)


def score(examples: list[Example], texts: list[str], scoring: Scoring) -> tuple[dict[str, float], int]:
    task = TASKS[examples[0].task]
    read, unparsed = read_answers(task, scoring, examples, texts)
    return score_answers(task, scoring, examples, read, SameText()).values(), unparsed


def test_yes_no_leaves_out_or_counts_wrong() -> None:
    examples = yes_no(["yes", "yes", "no", "no"])
    texts = [" YES\n", "Yes, they are.", "no", "perhaps"]
    strict, unparsed = score(examples, texts, "strict")
    assert unparsed == 2
    assert strict == pytest.approx(
        {"accuracy": 0.5, "precision": 1.0, "recall": 0.5, "f1": 2 / 3, "specificity": 0.5, "npv": 1.0}
    )
    published, left_out = score(examples, texts, "published")
    assert left_out == 2
    assert published["accuracy"] == 1.0 and published["f1"] == 1.0
    assert published["specificity"] == 1 / (1 + 1e-8) and published["npv"] == 1 / (1 + 1e-8)


def test_a_full_stop_is_forgiven_strictly_but_not_in_the_published_rules() -> None:
    examples = yes_no(["yes", "no"], "PSI")
    assert score(examples, ["yes.", "no."], "strict")[0]["accuracy"] == 1.0
    assert score(examples, ["yes.", "no."], "published") == (
        {"accuracy": 0, "precision": 0, "recall": 0, "f1": 0, "specificity": 0, "npv": 0},
        2,
    )


def test_published_letters_read_the_first_character() -> None:
    examples = stars("BBA")
    texts = ["Based on the text, it is bad", "b: positive", ""]
    published, unparsed = score(examples, texts, "published")
    assert published["accuracy"] == 1.0 and unparsed == 2
    strict, unparsed = score(examples, texts, "strict")
    assert strict["accuracy"] == 0.0 and unparsed == 3


def test_published_prp_takes_d_and_e_as_answers_and_classes() -> None:
    examples = relations("AABB")
    published, unparsed = score(examples, ["A", "D", "B", "E"], "published")
    assert unparsed == 0
    assert published["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 0 + 0) / 4)
    strict, unparsed = score(examples, ["A", "D", "B", "E"], "strict")
    assert unparsed == 2
    assert strict["macro_f1"] == pytest.approx(2 / 3)


def test_strict_macro_averages_over_the_classes_of_the_labels() -> None:
    # Nobody is C: answering C costs recall of A, and C is no class of the mean.
    figures, _ = score(relations("AAB"), ["A", "C", "B"], "strict")
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1) / 2)


def test_sequential_recommendation_wants_the_letter_alone() -> None:
    examples = purchases("CCCCC")
    texts = [" C ", "C: it's C", "C.", "c", "U"]
    assert score(examples, texts, "published") == ({"hr@1": 1.0}, 4)
    assert score(examples, texts, "strict") == ({"hr@1": 0.8}, 1)
    assert score(purchases("CD"), ["C", "nothing"], "strict") == ({"hr@1": 0.5}, 1)


def test_published_ranking_rules() -> None:
    def one(labels: str, text: str) -> tuple[float, int]:
        figures, skipped = score(lists([labels]), [text], "published")
        return figures["ndcg"], skipped

    perfect = pytest.approx(1.0, abs=1e-5)
    # Naming a single product that is not irrelevant scores about 1; an irrelevant one 0.
    assert one("SEC", "A") == (pytest.approx(1.0, abs=2e-5), 0)
    assert one("IE", "A") == (0.0, 0)
    # "B, A" loses A: pieces are not stripped, only the text as a whole.
    assert one("SE", " B, A ") == (perfect, 1)
    assert one("SE", "B,A") == (perfect, 0)
    # Pieces that are empty, lower-case or of no product are skipped and take no position.
    assert one("SE", ",b,D,B,A") == (perfect, 3)
    assert one("SE", "") == (0.0, 1)
    # Each piece counts by its first character; repeats count again.
    assert one("SE", "B: this,A: that") == (perfect, 0)
    gain = 2**0.1 - 1
    ideal = 1 + 1 / np.log2(3) + gain / 2
    assert one("SE", "A,B,B")[0] == pytest.approx((gain + 1 / np.log2(3) + 1 / 2) / (ideal + 1e-6))


def test_strict_ranking_is_against_the_full_ideal() -> None:
    def one(labels: str, text: str) -> float:
        return score(lists([labels]), [text], "strict")[0]["ndcg"]

    assert one("SEC", "B, A, C.") == pytest.approx(1.0)
    assert one("SEC", "B") == 0.0  # not every product is named
    assert one("SEC", "B,B,C") == 0.0
    gain = 2**0.1 - 1
    assert one("SE", "A,B") == pytest.approx((gain + 1 / np.log2(3)) / (1 + gain / np.log2(3)))


def test_rankings_without_labels_cannot_be_scored() -> None:
    example = row("QPR", 0, "A,B", json.dumps({"query": "mug", "product list": ["A: x", "B: y"]}))
    for scoring in SCORINGS:
        with pytest.raises(NotScorableError, match="--qpr-labels"):
            score([example], ["A,B"], scoring)


RED = triple("color", "red")


def test_triples_strict_counts_duplicates_once() -> None:
    examples = values([[RED, triple("size", "None")], [triple("color", "blue")]])
    texts = [json.dumps([RED, RED, triple("size", "None")]), "blue"]
    figures, unparsed = score(examples, texts, "strict")
    assert unparsed == 1
    assert figures == pytest.approx({"precision": 1.0, "recall": 2 / 3, "f1": 0.8})


def test_triples_published_counts_duplicates_again() -> None:
    examples = values([[RED, triple("size", "None")], [triple("color", "blue")]])
    texts = [json.dumps([RED, RED, RED, RED]), '{"attribute": "color"}']
    figures, unparsed = score(examples, texts, "published")
    assert unparsed == 0  # JSON that is no list is valid, with no triples
    assert figures["recall"] == pytest.approx(4 / 3)  # beyond 1
    assert figures["precision"] == 4 / (4 + 1e-6)
    assert score(examples, ["red", "[1, null, []]"], "published") == (
        {"precision": 0.0, "recall": 0.0, "f1": 0.0},
        1,
    )


def test_triples_published_precision_counts_items_that_name_an_attribute() -> None:
    examples = values([[RED]])
    text = json.dumps([RED, {"attribute": "size"}, {"value": "red"}, "red"])
    figures, _ = score(examples, [text], "published")
    assert figures["precision"] == pytest.approx(1 / 2, abs=1e-5) and figures["recall"] == 1.0


@pytest.mark.parametrize(
    ("triple", "hits"),
    [
        ({"attribute": "color", "value": "dark red", "source": "product title"}, True),
        ({"attribute": "color", "value": "re", "source": "title"}, True),
        ({"attribute": "color", "value": "", "source": ""}, True),
        ({"attribute": "color", "value": None, "source": "product title"}, False),
        ({"attribute": "color", "value": "red"}, False),
        ({"attribute": "Color", "value": "red", "source": "product title"}, False),
        ({"attribute": "color", "value": "red", "source": "feature"}, False),
        ({"attribute": "color", "value": "blue", "source": "product title"}, False),
        ({"attribute": "color", "value": ["red"], "source": "product title"}, True),
    ],
)
def test_triples_published_are_lenient_out_of_domain_only(triple: dict[str, Any], hits: bool) -> None:
    text = json.dumps([triple])
    assert score(values([[RED]], domain="OOD"), [text], "published")[0]["recall"] == float(hits)
    assert score(values([[RED]]), [text], "published")[0]["recall"] == 0.0


def test_free_text_scores_an_empty_answer_nought() -> None:
    examples = answers(["It is.", "No."])
    figures, unparsed = score(examples, ["It is.", " "], "strict")
    assert figures["bertscore_f1"] == 0.5 and unparsed == 1


def test_labels_out_of_form_are_named() -> None:
    for example in (row("PM", 0, "maybe"), row("SA", 0, "good"), row("AVE", 0, "[{}]")):
        with pytest.raises(NotScorableError, match=example.id):
            score([example], ["yes"], "published")


def test_letters_without_options_use_the_published_letters() -> None:
    assert score([row("SA", 0, "B: positive")], ["B"], "strict")[0]["accuracy"] == 1.0


SAMPLES = {
    "PM": yes_no(["yes", "no", "no"]),
    "SA": stars("ABE"),
    "SR": purchases("ACT"),
    "QPR": lists(["ES", "IEC", "CSIE"]),
    "AVE": values([[RED], [triple("size", "None")], [RED, triple("size", "9")]]),
    "AG": answers(["a", "b", "c"]),
}
ODD = ["", " ", "\ud800", "B\u2028A", "\uff22\uff21", "İ", "\x00", "B" * 5000, "[" * 5000, "A," * 500, "1" * 5000]
TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(ODD), st.sampled_from(["yes", "no", "A", "B,A", "[]"]))


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("task", SAMPLES)
@given(data=st.data())
def test_any_text_gives_figures_that_rows_in_any_order_share(task: str, scoring: Scoring, data: Any) -> None:
    examples = SAMPLES[task]
    texts = data.draw(st.lists(TEXTS, min_size=3, max_size=3))
    figures, unparsed = score(examples, texts, scoring)
    order = data.draw(st.permutations(range(3)))
    again, unparsed_again = score([examples[place] for place in order], [texts[place] for place in order], scoring)
    assert again == pytest.approx(figures) and unparsed_again == unparsed >= 0
    assert all(value >= 0 for value in figures.values())
    if scoring == "strict":
        assert all(value <= 1 for value in figures.values()) and unparsed <= 3


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("task", SAMPLES)
def test_the_reference_scores_one(task: str, scoring: Scoring) -> None:
    examples = SAMPLES[task]
    figures, unparsed = score(examples, [example.output for example in examples], scoring)
    assert unparsed == 0
    assert list(figures.values()) == pytest.approx([1.0] * len(figures), abs=1e-4)


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("task", SAMPLES)
def test_enormous_texts_are_read_and_wrong(task: str, scoring: Scoring) -> None:
    texts = ["[" * 200_000, "maybe " * 200_000, "x," * 200_000]
    figures, unparsed = score(SAMPLES[task], texts, scoring)
    shared = figures.pop("chrf", 0.0)  # a letter here and there is shared
    assert set(figures.values()) == {0.0} and shared < 0.01 and (unparsed >= 3 or task == "AG")


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("task", SAMPLES)
@given(data=st.data())
def test_every_row_twice_changes_no_figure(task: str, scoring: Scoring, data: Any) -> None:
    examples = SAMPLES[task]
    texts = data.draw(st.lists(TEXTS, min_size=3, max_size=3))
    figures, unparsed = score(examples, texts, scoring)
    twice, unparsed_twice = score([*examples, *examples], [*texts, *texts], scoring)
    assert twice == pytest.approx(figures, abs=1e-5) and unparsed_twice == 2 * unparsed


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("task", SAMPLES)
def test_no_rows_score_nought(task: str, scoring: Scoring) -> None:
    scored = TASKS[task].answer.row_scorer(scoring, [], SameText())([])
    assert scored.stats.shape[0] == 0 and set(scored.values().values()) <= {0.0}


def test_labels_are_read_once_for_many_answers() -> None:
    examples = yes_no(["yes", "no"])
    counted = TASKS["PM"].answer.row_scorer("strict", examples, None)
    assert counted(["yes", "no"]).values()["accuracy"] == 1.0 and counted(["no", None]).values()["accuracy"] == 0.0
