"""The linear models of counted words beside XS: what they know, saving and loading."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError, ModelError
from ecellm.models.xs.lexical import NOTHING, LexicalScores
from ecellm.models.xs.lexical.fitting import fit_lexical
from ecellm.models.xs.lexical.purchases import PurchaseCounts
from ecellm.types import Example


def pair(number: int, query: str, product: str, output: str) -> Example:
    return Example(
        id=f"PSI-IND-{number}",
        task="PSI",
        domain="IND",
        split="train",
        input=json.dumps({"query": query, "product": product}),
        options=None,
        output=output,
    )


@pytest.fixture(scope="module")
def pairs() -> list[Example]:
    """Queries for mugs and lamps: the product fits where it shares the query's word."""
    return [
        pair(number, f"{word} {number}", f"blue {other} {number * 7 % 60}", "yes" if word == other else "no")
        for number, (word, other) in enumerate(
            [("mug", "mug"), ("mug", "lamp"), ("lamp", "lamp"), ("lamp", "mug")] * 15
        )
    ]


def test_a_choice_is_scored_by_the_words_of_its_texts(pairs: list[Example]) -> None:
    scores = fit_lexical(pairs, seed=1)
    for product, better in (("red lamp 8", 0), ("red mug 8", 1)):
        (new,) = scores.read([pair(99, "lamp 7", product, "yes")])
        assert int(np.argmax(new.candidates)) == better
        assert np.exp(new.candidates).sum() == pytest.approx(1)


def purchases(*baskets: tuple[str, str]) -> list[Example]:
    """Shoppers who had one item and bought another, out of all."""
    items = sorted({item for basket in baskets for item in basket})
    letters = dict(zip(items, "ABCDEFG", strict=False))
    return [
        Example(
            id=f"SR-IND-{number}",
            task="SR",
            domain="IND",
            split="train",
            input=repr([f"1st: {had}"]),
            options=repr([f"{letter}: {item}" for item, letter in letters.items()]),
            output=letters[bought],
        )
        for number, (had, bought) in enumerate(baskets)
    ]


def test_what_others_bought_together_counts_and_a_shoppers_own_purchase_does_not() -> None:
    rows = purchases(*[("mug", "lamp"), ("sofa", "kite"), ("lamp", "mug"), ("kite", "sofa")] * 5)
    scores = fit_lexical(rows, seed=1)
    for row, found in zip(rows, scores.read(rows), strict=True):
        assert "ABCD"[int(np.argmax(found.candidates))] == row.output
    counted = PurchaseCounts()
    counted.add(["mug", "lamp"])
    own, others = counted.counts(["mug"], ["lamp", "sofa"], target=0), counted.counts(["mug"], ["lamp", "sofa"])
    assert own.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert others[0].tolist() == pytest.approx([np.log(2), np.log(2), 0])


def product(number: int, title: str, value: str) -> Example:
    answer = [{"attribute": "colour", "value": value, "source": "product title" if value != "None" else "None"}]
    return Example(
        id=f"AVE-IND-{number}",
        task="AVE",
        domain="IND",
        split="train",
        input=json.dumps({"product title": title, "target attributes": "colour"}),
        options=None,
        output=json.dumps(answer),
    )


def test_a_known_value_is_trusted_by_the_rows_it_does_not_come_from() -> None:
    rows = [product(number, f"Blue mug {number}", "blue") for number in range(5)]
    rows += [product(9, "Orange mug", "orange"), *(product(10 + n, f"Orange juicer {n}", "None") for n in range(5))]
    values = fit_lexical(rows, seed=1).of_values()
    blue, orange = (
        found.values[0] for found in values.read([product(98, "Blue tin", ""), product(99, "Orange tin", "")])
    )
    assert (blue.text, blue.source) == ("blue", "product title")
    assert blue.score > 0 > orange.score


def test_scores_do_not_depend_on_the_other_rows_read(pairs: list[Example]) -> None:
    scores = fit_lexical(pairs, seed=1)
    together = scores.read(pairs)
    assert [scores.read([one])[0] for one in pairs] == together


def test_every_answer_type_has_scores_and_they_come_back_from_a_folder(tiny_data: Dataset, tmp_path: Path) -> None:
    rows = [row.example for row in tiny_data.view("IND_Diverse_Instruction", "train")]
    many = [replace(row, id=f"{row.id}-{copy}") for copy in range(3) for row in rows]
    scores = fit_lexical(many, seed=1)
    scored = {row.task for row, found in zip(rows, scores.read(rows), strict=True) if found != NOTHING}
    assert scored == {row.task for row in rows}
    back = LexicalScores.load(tmp_path, scores.save(tmp_path))
    assert back.read(rows) == scores.read(rows)


def test_files_of_another_run_are_refused(pairs: list[Example], tmp_path: Path) -> None:
    hashes = fit_lexical(pairs, seed=1).save(tmp_path)
    (tmp_path / "lexical.PSI.json").write_text("{}")
    with pytest.raises(EcellmError, match="tune again"):
        LexicalScores.load(tmp_path, hashes)


def test_weights_that_were_changed_are_refused_unless_an_older_version_wrote_no_hash_of_them(
    pairs: list[Example], tmp_path: Path
) -> None:
    hashes = fit_lexical(pairs, seed=1).save(tmp_path)
    weights = tmp_path / "lexical.PSI.safetensors"
    save_file({name: -array for name, array in load_file(weights).items()}, weights)
    with pytest.raises(EcellmError, match="tune again"):
        LexicalScores.load(tmp_path, hashes)
    older = hashlib.sha256((tmp_path / "lexical.PSI.json").read_bytes()).hexdigest()
    assert list(LexicalScores.load(tmp_path, {"PSI": older}).tasks) == ["PSI"]


def test_damaged_weights_are_named_and_others_may_read_whole_ones(pairs: list[Example], tmp_path: Path) -> None:
    hashes = fit_lexical(pairs, seed=1).save(tmp_path)
    weights = tmp_path / "lexical.PSI.safetensors"
    new = tmp_path / "new"
    new.touch()
    assert weights.stat().st_mode == new.stat().st_mode
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ModelError, match=r"lexical\.PSI\.safetensors is damaged"):
        LexicalScores.load(tmp_path, hashes)


def test_an_input_of_another_form_has_no_scores(pairs: list[Example]) -> None:
    plain = replace(pairs[0], id="PSI-IND-plain", input="mug or lamp?")
    assert fit_lexical([*pairs, plain], seed=1).read([plain]) == [NOTHING]


def test_rows_of_every_task_that_are_of_another_form_are_left_to_the_stack(tiny_data: Dataset) -> None:
    rows = [row.example for row in tiny_data.view("IND_Diverse_Instruction", "train")]
    many = [replace(row, id=f"{row.id}-{copy}") for copy in range(3) for row in rows]
    odd = [replace(row, id=f"{row.id}-odd", input="no JSON") for row in rows if row.task in ("PM", "SR", "QPR", "AG")]
    scores = fit_lexical([*many, *odd], seed=1)
    assert scores.read(odd) == [NOTHING] * len(odd)
    assert scores.read(rows) == fit_lexical(many, seed=1).read(rows)


def test_too_few_rows_have_no_scores(pairs: list[Example], tiny_data: Dataset) -> None:
    assert fit_lexical(pairs[:4], seed=1).read(pairs) == [NOTHING] * len(pairs)
    lists = [row.example for row in tiny_data.view("IND_Diverse_Instruction", "train", ["QPR"])][:1]
    assert fit_lexical(lists, seed=1).read(lists) == [NOTHING]
