"""The relational graph network: its layer against the dense formula, products never seen, what it learns."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_tfidf import made as made_row
from test_tfidf import save

from ecellm.models.baselines.base import Choices
from ecellm.models.baselines.rgcn import RgcnNetwork, graph, layer
from ecellm.models.baselines.training import seeded
from ecellm.models.folder import model_hash
from ecellm.models.load import load_generator
from ecellm.types import Example
from fitted import answered, scored

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2)), max_size=8)


@given(PAIRS, st.integers(0, 99))
def test_the_layer_is_the_dense_formula(edges: list[tuple[int, int, int]], seed: int) -> None:
    """h_i' = W_0 h_i + sum_r sum_(j in N_r(i)) W_r h_j / c_(i,r), W_r = sum_b a_rb V_b (equations 2 and 3)."""
    with seeded(seed):
        made, states = layer(3, 2, relations=3), torch.randn(5, 3)
    own, mix, bases = made.root, made.comp, made.weight
    pairs = torch.tensor([edge[:2] for edge in edges], dtype=torch.long).view(-1, 2)
    found = made(states, *graph(pairs, torch.tensor([edge[2] for edge in edges], dtype=torch.long)))
    for node in range(5):
        total = states[node] @ own
        for relation in range(3):
            weights = sum(mix[relation, base] * bases[base] for base in range(2))
            near = [b for a, b, r in edges if r == relation and a == node]
            near += [a for a, b, r in edges if r == relation and b == node]
            for other in near:
                total = total + states[other] @ weights / len(near)
        assert torch.allclose(found[node], total, atol=1e-5)


def test_the_order_within_a_pair_does_not_matter() -> None:
    with seeded(1):
        net, features = RgcnNetwork(4, 3).eval(), torch.randn(3, 4)
    edges = graph(torch.tensor([[0, 1]]), torch.tensor([2]))
    one, other = net(features, edges, torch.tensor([[0, 2], [2, 0]]))
    assert torch.allclose(one, other, atol=1e-6)


def test_it_learns_saves_and_answers_for_products_never_seen(tmp_path: Path) -> None:
    counts = {"train": 90, "validation": 45, "test": 30}
    rows = [made_row("PRP", split, n) for split, count in counts.items() for n in range(count)]  # type: ignore[arg-type]
    data = save(tmp_path / "data", rows)
    row = scored("rgcn", data, tmp_path / "one", ["PRP"], Choices(epochs=8))["PRP"]
    assert row["value"] > row["floor"] + 0.2
    answered("rgcn", data, tmp_path / "two", ["PRP"], choices=Choices(epochs=8))
    assert model_hash(tmp_path / "one" / "model") == model_hash(tmp_path / "two" / "model")
    model = load_generator(tmp_path / "one" / "model").models["PRP"]  # type: ignore[attr-defined]
    text = json.dumps({"Product 1:": "a title nobody trained on", "Product 2:": "another"})
    new = Example("new", "PRP", "IND", "test", text, rows[0].options, "A")
    alone, beside = model.reply([new])[0], model.reply([*data.examples("test"), new])[-1]
    assert alone.text in "ABC" and alone.probability == pytest.approx(beside.probability, abs=1e-5)


def test_without_the_extra_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable[..., tuple[int, str, str]]
) -> None:
    data = save(tmp_path / "data", [made_row("PRP", "train", n) for n in range(12)])
    monkeypatch.setitem(sys.modules, "torch_geometric.nn", None)
    code, _, error = run("baseline", "rgcn", "--data", data.path, "--tasks", "PRP", "--out", tmp_path / "model")
    assert code == 1 and "pip install 'ecellm[graph]'" in error and not (tmp_path / "model").exists()
