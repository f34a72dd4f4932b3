"""Linear layers in bf16 and in int8, for a CPU that multiplies these faster than fp32.

Shapes: N tokens, I inputs, O outputs.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

#: The largest number of int8 that has its negative.
LARGEST = 127
#: Below every scale that matters: rows of zeros are divided by it.
SMALLEST = 1e-12


class Bf16Linear(nn.Module):
    """A linear layer whose product is computed in bf16; input and output keep their own precision."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        self.weight = layer.weight.detach().to(torch.bfloat16)
        self.bias = None if layer.bias is None else layer.bias.detach().to(torch.bfloat16)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., O] of inputs [..., I]."""
        return linear(inputs.to(torch.bfloat16), self.weight, self.bias).to(inputs.dtype)


class Int8Linear(nn.Module):
    """A linear layer whose product is computed in int8, summed in int32.

    Weights have one scale for each output, inputs one for each token, taken from its largest number as it comes
    (the vector-wise quantisation of Dettmers et al. 2022, LLM.int8(), section 3.1, without its outliers in fp16). A
    scale for the whole input, as torch's own dynamic quantisation has it, would let an answer depend on its batch.
    """

    def __init__(self, layer: nn.Linear):
        super().__init__()
        weight = layer.weight.detach().float()
        self.scales = weight.abs().amax(1).clamp_(min=SMALLEST) / LARGEST
        self.weight = (weight / self.scales[:, None]).round_().to(torch.int8)
        self.bias = None if layer.bias is None else layer.bias.detach().float()

    def forward(self, inputs: Tensor) -> Tensor:
        """Return [..., O] of inputs [..., I]."""
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        scales = rows.abs().amax(1, keepdim=True).clamp_(min=SMALLEST) / LARGEST
        # torch has no public name for this product; its dynamic quantisation, which had, is deprecated.
        sums = torch._int_mm((rows / scales).round_().to(torch.int8), self.weight.t())
        outputs = sums.float().mul_(scales).mul_(self.scales)
        if self.bias is not None:
            outputs += self.bias
        return outputs.view(*inputs.shape[:-1], -1).to(inputs.dtype)
