"""PSI: the published form of a row."""

from typing import Any

import pytest

from ecellm.data.samplers import Plan
from ecellm.data.samplers.psi import SAMPLER
from judged_rows import esci, judgement

TRAIN: Any = {("train", "IND"): 10}


def test_a_row_reads_as_the_published_rows() -> None:
    (found,) = SAMPLER.draw(
        esci([judgement("iphone 7 case", "p", "S")], {"p": 'Cover 4.7"'}), Plan(1, TRAIN)
    ).examples
    assert found.input == '{"query": "iphone 7 case", "product": "Cover 4.7\\""}'
    assert found.options is None
    assert found.facts == ('judgement|iphone 7 case|cover 4.7"',)
    assert found.products == ("esci|p",)


@pytest.mark.parametrize(("label", "answer"), [("E", "no"), ("S", "yes"), ("C", "no"), ("I", "no")])
def test_only_a_substitute_is_a_yes(label: str, answer: str) -> None:
    (found,) = SAMPLER.draw(esci([judgement("mug", "p", label)]), Plan(1, TRAIN)).examples
    assert found.output == answer


def test_the_labels_stand_in_their_natural_proportions() -> None:
    rows = [judgement(f"query {number}", f"p{number}", "EESI"[number % 4]) for number in range(400)]
    examples = SAMPLER.draw(esci(rows), Plan(1, {("train", "IND"): 1000})).examples
    assert [example.output for example in examples].count("yes") == 100
