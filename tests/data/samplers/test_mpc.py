"""MPC: the published form of a row."""

import json
from typing import Any

import pytest

from ecellm.data.samplers import Plan
from ecellm.data.samplers.mpc import SAMPLER
from ecellm.tasks.mpc import OPTIONS, TASK
from judged_rows import esci, judgement

TRAIN: Any = {("train", "IND"): 10}


def test_a_row_reads_as_the_published_rows() -> None:
    shop = esci([judgement("mama  koala", "p", "E")], {"p": "Mama Koala® <b>Diapers</b>, 6 Pack"})
    (found,) = SAMPLER.draw(shop, Plan(1, TRAIN)).examples
    assert found.input == '{"query": "mama  koala", "product title": "Mama Koala <b>Diapers</b>, 6 Pack"}'
    assert found.options == json.dumps(OPTIONS)
    assert [option[:3] for option in OPTIONS] == ["A: ", "B: ", "C: ", "D: "]
    assert found.facts == ("judgement|mama koala|mama koala <b>diapers</b>, 6 pack",)
    assert found.products == ("esci|p",)
    assert (found.domain, found.category, found.labels) == ("IND", None, None)


@pytest.mark.parametrize(("label", "option"), list(zip("ESCI", OPTIONS, strict=True)))
def test_each_label_is_a_whole_option(label: str, option: str) -> None:
    (found,) = SAMPLER.draw(esci([judgement("mug", "p", label)]), Plan(1, TRAIN)).examples
    assert found.output == option
    assert TASK.answer.parse(found.output, found) == option[0]
    assert TASK.answer.print(option[0], found) == option
