"""The linear models of counted words beside XS: held-out scores, what they know, saving and loading."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ecellm.dataset.dataset import Dataset
from ecellm.models.lexical import NOTHING, LexicalScores
from ecellm.records import Sample


def pair(number: int, query: str, product: str, output: str) -> Sample:
    return Sample(
        id=f"PSI-IND-{number}",
        task="PSI",
        domain="IND",
        split="train",
        input=json.dumps({"query": query, "product": product}),
        options=None,
        output=output,
    )


@pytest.fixture(scope="module")
def pairs() -> list[Sample]:
    """Queries for mugs and lamps: the product fits where it shares the query's word."""
    return [
        pair(number, f"{word} {number}", f"blue {other} {number * 7 % 60}", "yes" if word == other else "no")
        for number, (word, other) in enumerate(
            [("mug", "mug"), ("mug", "lamp"), ("lamp", "lamp"), ("lamp", "mug")] * 15
        )
    ]


def test_a_choice_is_scored_by_the_words_of_its_texts(pairs: list[Sample]) -> None:
    scores, held_out = LexicalScores.fit(pairs, seed=1)
    right = [
        ("yes", "no")[int(np.argmax(row.candidates))] == one.output for one, row in zip(pairs, held_out, strict=True)
    ]
    assert np.mean(right) > 0.9
    (new,) = scores.read([pair(99, "lamp 7", "red lamp 8", "yes")])
    assert new.candidates[0] > new.candidates[1]
    assert np.exp(new.candidates).sum() == pytest.approx(1)


def test_a_training_row_is_scored_by_fits_that_did_not_see_it(pairs: list[Sample]) -> None:
    """A row with a wrong label is contradicted: a fit that knew its own words would side with it."""
    wrong = pair(1000, "mug 1000", "blue mug 1000", "no")
    _, held_out = LexicalScores.fit([*pairs, wrong], seed=1)
    assert held_out[-1].candidates[0] > held_out[-1].candidates[1]


def test_scores_do_not_depend_on_the_other_rows_read(pairs: list[Sample]) -> None:
    scores, _ = LexicalScores.fit(pairs, seed=1)
    together = scores.read(pairs)
    assert [scores.read([one])[0] for one in pairs] == together


def test_every_answer_type_but_free_text_has_scores_and_they_come_back_from_a_folder(
    tiny_data: Dataset, tmp_path: Path
) -> None:
    rows = [row.sample for row in tiny_data.view("IND_Diverse_Instruction", "train")]
    many = [replace(row, id=f"{row.id}-{copy}") for copy in range(3) for row in rows]
    scores, held_out = LexicalScores.fit(many, seed=1)
    scored = {row.task for row, found in zip(many, held_out, strict=True) if found != NOTHING}
    assert scored == {row.task for row in rows} - {"AG"}
    back = LexicalScores.load(tmp_path, scores.save(tmp_path))
    assert back.read(rows) == scores.read(rows)


def test_files_of_another_run_are_refused(pairs: list[Sample], tmp_path: Path) -> None:
    hashes = LexicalScores.fit(pairs, seed=1)[0].save(tmp_path)
    (tmp_path / "lexical.PSI.json").write_text("{}")
    with pytest.raises(ValueError, match="tune again"):
        LexicalScores.load(tmp_path, hashes)


def test_an_input_of_another_form_has_no_scores(pairs: list[Sample]) -> None:
    plain = replace(pairs[0], id="PSI-IND-plain", input="mug or lamp?")
    scores, held_out = LexicalScores.fit([*pairs, plain], seed=1)
    assert held_out[-1] == NOTHING
    assert scores.read([plain]) == [NOTHING]


def test_too_few_rows_have_no_scores(pairs: list[Sample], tiny_data: Dataset) -> None:
    scores, held_out = LexicalScores.fit(pairs[:4], seed=1)
    assert held_out == [NOTHING] * 4
    assert scores.read(pairs) == [NOTHING] * len(pairs)
    lists = [row.sample for row in tiny_data.view("IND_Diverse_Instruction", "train", ["QPR"])][:1]
    assert LexicalScores.fit(lists, seed=1)[1] == [NOTHING]
