"""The loss of tokens: the same values and gradients as torch's own cross-entropy."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from ecellm.models.transformers import token_losses as module
from ecellm.models.transformers.token_losses import token_losses


def both(dtype: torch.dtype, rows: int, words: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Losses and gradients, ours and torch's, of the same random scores, each loss weighed otherwise."""
    torch.manual_seed(rows)
    scores = 20 * torch.randn(rows, words)
    targets = torch.randint(words, (rows,))
    found = []
    for ours in (True, False):
        logits = scores.to(dtype).requires_grad_()
        usual = cross_entropy(logits.float(), targets, reduction="none")
        losses = token_losses(logits, targets) if ours else usual
        (losses * torch.arange(1, rows + 1)).sum().backward()
        assert logits.grad is not None
        found.append((losses.detach(), logits.grad))
    return found


@pytest.mark.parametrize("together", [1, 50, 10**6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_losses_and_gradients_are_those_of_cross_entropy(
    dtype: torch.dtype, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TOGETHER", together)
    (losses, gradients), (expected, wanted) = both(dtype, 11, 23)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(gradients, wanted, rtol=1e-5 if dtype == torch.float32 else 1e-2, atol=1e-6)


def test_nothing_to_learn_gives_no_loss() -> None:
    assert token_losses(torch.empty(0, 7, requires_grad=True), torch.empty(0, dtype=torch.long)).shape == (0,)


def test_a_gradient_is_taken_once() -> None:
    logits = torch.randn(3, 5, requires_grad=True)
    loss = token_losses(logits, torch.tensor([0, 1, 4])).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


def test_without_gradients_nothing_is_kept_for_them() -> None:
    with torch.no_grad():
        losses = token_losses(torch.zeros(2, 4, requires_grad=True), torch.tensor([1, 2]))
    assert losses.tolist() == pytest.approx([torch.tensor(4.0).log().item()] * 2)
