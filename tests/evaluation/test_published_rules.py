"""The published rules against a plain rewriting of them, row by row as a script would have it, on odd answers.

Nothing here shares code with `ecellm.evaluation`: texts are read, counted and summed again.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from ecellm.tasks import TASKS
from ecellm.tasks.scoring import read_answers, score_answers
from ecellm.types import Example
from published_rows import lists, purchases, relations, stars, triple, values, yes_no

Figures = dict[str, float]

PIECES = ["A", "B", "C", "D", "E", "T", "U", "b", ",", ", ", " ", "\n", ":", ".", "yes", "no", "YES", "Based on", "é"]
TEXTS = st.one_of(
    st.lists(st.sampled_from([*PIECES, "\u2028", "\u200b", "\u017f", "İ", "\x1c"]), max_size=7).map("".join),
    st.sampled_from(["yes", "no", " No\n", "A", "B", "A,B", "B,A", "B, A", "B,A,C", "A: very positive"]),
    st.text(max_size=8),
)
PARTS = ["color", "size", "red", "dark red", "", "None", "product title", "title", "Red"]
OTHER_PARTS = [None, 3, ["red"], float("nan")]
ITEMS = st.one_of(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("attribute", "value", "source"), st.sampled_from([*PARTS, *OTHER_PARTS])),
    ),
    st.sampled_from([triple("color", "red"), triple("size", "None"), triple("color", "dark red"), 1, None, "x", []]),
)
ANSWERS = st.one_of(
    st.lists(ITEMS, max_size=6).map(json.dumps),
    st.sampled_from(["", "[", "{}", "null", "NaN", '"x"', "[[]]", "Here: []", "[" * 2_000]),
    st.just(' [{"attribute": "size"}] '),
)


def divided(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else 0.0


def by_words(examples: Sequence[Example], texts: Sequence[str]) -> tuple[Figures, int]:
    tp = fp = tn = fn = left_out = 0
    for example, text in zip(examples, texts, strict=True):
        answer = text.lower().strip()
        if answer not in ("yes", "no"):
            left_out += 1
        elif answer == "yes":
            tp, fp = tp + (example.output == "yes"), fp + (example.output == "no")
        else:
            tn, fn = tn + (example.output == "no"), fn + (example.output == "yes")
    precision, recall = divided(tp, tp + fp), divided(tp, tp + fn)
    figures = {
        "accuracy": divided(tp + tn, tp + tn + fp + fn),
        "precision": precision,
        "recall": recall,
        "f1": divided(2 * precision * recall, precision + recall),
        "specificity": tn / (tn + fp + 1e-8),
        "npv": tn / (tn + fn + 1e-8),
    }
    return figures, left_out


def by_first_letter(examples: Sequence[Example], texts: Sequence[str]) -> tuple[Figures, int]:
    kept = [
        (example.output[0], text.strip()[0])
        for example, text in zip(examples, texts, strict=True)
        if text.strip() and text.strip()[0] in "ABCDE"
    ]
    if not kept:
        return dict.fromkeys(("accuracy", "macro_precision", "macro_recall", "macro_f1"), 0.0), len(texts)
    labels, answers = zip(*kept, strict=True)
    macro = precision_recall_fscore_support(labels, answers, average="macro", zero_division=0.0)[:3]
    names = ("macro_precision", "macro_recall", "macro_f1")
    figures = {"accuracy": accuracy_score(labels, answers), **dict(zip(names, macro, strict=True))}
    return figures, len(texts) - len(kept)


def by_letter_alone(examples: Sequence[Example], texts: Sequence[str]) -> tuple[Figures, int]:
    kept = [
        example.output == text.strip()
        for example, text in zip(examples, texts, strict=True)
        if text.strip() in list("ABCDEFGHIJKLMNOPQRST")
    ]
    return {"hr@1": divided(sum(kept), len(kept))}, len(texts) - len(kept)


def by_pieces(examples: Sequence[Example], texts: Sequence[str]) -> tuple[Figures, int]:
    def dcg(gains: Sequence[float]) -> float:
        return sum((2**gain - 1) / math.log2(place + 2) for place, gain in enumerate(gains))

    total, skipped = 0.0, 0
    for example, text in zip(examples, texts, strict=True):
        worth = {"E": 1, "S": 0.1, "C": 0.01, "I": 0}
        gain_of = {"ABCD"[place]: worth[label] for place, label in enumerate(example.labels or ())}
        gains = []
        for piece in text.strip().split(","):
            if piece and piece[0] in gain_of:
                gains.append(gain_of[piece[0]])
            else:
                skipped += 1
        total += dcg(gains) / (dcg(sorted(gains, reverse=True)) + 1e-6)
    return {"ndcg": total / len(texts)}, skipped


def by_triples(examples: Sequence[Example], texts: Sequence[str]) -> tuple[Figures, int]:
    hits = predicted = labelled = invalid = 0
    for example, text in zip(examples, texts, strict=True):
        labels = json.loads(example.output)
        labelled += len(labels)
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            invalid += 1
            continue
        items = [item for item in read if isinstance(item, dict)] if isinstance(read, list) else []
        predicted += sum("attribute" in item for item in items)
        hits += sum(is_hit(label, item, example.domain == "OOD") for label in labels for item in items)
    precision, recall = hits / (predicted + 1e-6), divided(hits, labelled)
    f1 = 2 * precision * recall / (precision + recall + 1e-6)
    return {"precision": precision, "recall": recall, "f1": f1}, invalid


def is_hit(label: dict[str, str], item: dict[str, Any], lenient: bool) -> bool:
    names = ("attribute", "value", "source")
    if all(name in item and item[name] == label[name] for name in names):
        return True
    if not lenient or item.get("attribute") != label["attribute"]:
        return False
    pairs = [(item.get(name), label[name]) for name in ("value", "source")]
    return all(answer is not None and (str(answer) in wanted or wanted in str(answer)) for answer, wanted in pairs)


def check(examples: list[Example], texts: list[str], rewritten: Callable[..., tuple[Figures, int]]) -> None:
    task = TASKS[examples[0].task]
    answers, unparsed = read_answers(task, "published", examples, texts)
    figures = score_answers(task, "published", examples, answers, None).values()
    wanted, left_out = rewritten(examples, texts)
    assert figures == pytest.approx(wanted, abs=1e-9)
    assert unparsed == left_out


def rows_with(texts: st.SearchStrategy[str], count: int) -> st.SearchStrategy[list[str]]:
    return st.lists(texts, min_size=count, max_size=count)


@given(rows_with(TEXTS, 8))
def test_yes_and_no(texts: list[str]) -> None:
    check(yes_no(["yes", "no", "no", "yes", "yes", "no", "no", "no"], "PSI"), texts, by_words)


@given(rows_with(TEXTS, 8))
def test_first_letters(texts: list[str]) -> None:
    check(relations("ABCABCAA"), texts, by_first_letter)
    check(stars("ABCDEABB"), texts, by_first_letter)


@given(rows_with(TEXTS, 6))
def test_letters_alone(texts: list[str]) -> None:
    check(purchases("ABTABC"), texts, by_letter_alone)


@given(rows_with(TEXTS, 5))
def test_rankings(texts: list[str]) -> None:
    check(lists(["ES", "IEC", "CSIE", "II", "SE"]), texts, by_pieces)


@given(rows_with(ANSWERS, 4))
def test_triples(texts: list[str]) -> None:
    labels = [
        [triple("color", "red"), triple("color", "dark red")],
        [triple("size", "None")],
        [triple("color", ""), triple("size", "red", "product description")],
        [triple("size", "red"), triple("size", "red")],
    ]
    for domain in ("IND", "OOD"):
        check(values(labels, domain=domain), texts, by_triples)
