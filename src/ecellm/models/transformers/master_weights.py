"""AdamW for a model whose weights are in bf16: it moves an fp32 copy of each and rounds it into the model.

bf16 keeps eight bits of a weight: a step below a 256th of it, as most are, would be rounded away, so the exact value
is kept here (Micikevicius et al. 2018, Mixed Precision Training, section 3.1).
"""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor, nn
from torch.optim.optimizer import StateDict

MASTERS = "masters"


class WeightGroup(TypedDict):
    """Weights in any precision that decay alike."""

    params: list[nn.Parameter]
    weight_decay: float


class MasterAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` over fp32 copies of the weights that it is given; they are part of its state."""

    def __init__(self, groups: Sequence[WeightGroup], learning_rate: float):
        """Take groups of weights."""
        self.weights: list[nn.Parameter] = [weight for group in groups for weight in group["params"]]
        copies = {weight: nn.Parameter(weight.detach().float()) for weight in self.weights}
        self.masters = list(copies.values())
        own = [{**group, "params": [copies[weight] for weight in group["params"]]} for group in groups]
        super().__init__(own, lr=learning_rate, fused=True)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move the copies by the weights' gradients, and round them into the weights."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            master.grad = None if weight.grad is None else weight.grad.float()
        super().step()
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.copy_(master)
            master.grad = None

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the weights' gradients."""
        for weight in self.weights:
            weight.grad = None

    def state_dict(self) -> StateDict:
        """Return AdamW's state, and the copies."""
        return {**super().state_dict(), MASTERS: [master.detach() for master in self.masters]}

    @torch.no_grad()
    def load_state_dict(self, state_dict: StateDict) -> None:
        """Take such a state."""
        kept: list[Tensor] = state_dict[MASTERS]
        for master, saved in zip(self.masters, kept, strict=True):
            master.copy_(saved)
        super().load_state_dict({name: value for name, value in state_dict.items() if name != MASTERS})
