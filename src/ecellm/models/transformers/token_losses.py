"""The loss of each token to be learned, with the least memory: half of a small model's CPU step without it.

A vocabulary is large and a bf16 model's scores over it are many: taken apart as autograd does it (fp32 scores, their
logarithms, zeros for either's gradient), they are written eight times over. Here the gradient is made with the loss.
"""

from typing import cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Scores looked at together: in fp32 they fit a CPU's cache, and are enough for a GPU.
TOGETHER = 2**21


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return -log softmax(logits)[target] in fp32, [R], of logits [R, V] in any precision and targets [R].

    Exact as `cross_entropy(logits.float(), targets, reduction="none")`; its gradient can be taken once.
    """
    return cast(Tensor, _TokenLosses.apply(logits, targets))  # type: ignore[no-untyped-call]


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.Function, logits: Tensor, targets: Tensor) -> Tensor:
        learns = ctx.needs_input_grad[0]
        shares = torch.empty_like(logits) if learns else None
        losses = []
        rows = max(1, TOGETHER // logits.shape[-1])
        for start in range(0, len(logits), rows):
            some = slice(start, start + rows)
            wanted = targets[some, None]
            scores = torch.log_softmax(logits[some], -1, dtype=torch.float32)
            losses.append(-scores.gather(1, wanted)[:, 0])
            if shares is not None:
                scores.exp_()
                scores.scatter_add_(1, wanted, scores.new_full(wanted.shape, -1.0))
                shares[some] = scores
        if shares is not None:
            ctx.save_for_backward(shares)
        return torch.cat(losses) if losses else logits.new_empty(0, dtype=torch.float32)

    @staticmethod
    @once_differentiable
    def backward(ctx: torch.autograd.Function, gradient: Tensor) -> tuple[Tensor, None]:
        # In place: autograd refuses a second pass by itself.
        (shares,) = ctx.saved_tensors
        return shares.mul_(gradient[:, None].to(shares.dtype)), None
