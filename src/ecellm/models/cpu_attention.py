"""Attention by plain batched products: what a CPU trains with fastest, in bf16 and on short rows."""

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AttentionInterface

#: `Trainer` and `from_pretrained` know an attention by name.
CPU_ATTENTION = "ecellm_cpu"


def cpu_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float = 1.0,
    dropout: float = 0.0,
    **ignored: object,
) -> tuple[Tensor, None]:
    """Attend by plain batched products, [B, heads, T, size] each, the mask being added; returns [B, T, heads, size].

    torch 2.13's fused CPU kernel spends half of a bf16 training step in its backward pass; two batched
    products and a softmax in the inputs' own precision take a fifth of that (docs/speed.md).
    """
    rows, heads, asking, size = query.shape
    with torch.autocast(query.device.type, enabled=False):
        flat = (rows * heads, -1, size)
        scaled, keys, values = (query * scaling).reshape(flat), key.reshape(flat), value.reshape(flat)
        scores = torch.bmm(scaled, keys.transpose(1, 2))
        if attention_mask is not None:
            shaped = scores.view(rows, heads, asking, -1) + attention_mask.to(scores.dtype)
            scores = shaped.view(rows * heads, asking, -1)
        weights = functional.dropout(torch.softmax(scores, -1), dropout, module.training)
        mixed = torch.bmm(weights, values).view(rows, heads, asking, size)
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register(CPU_ATTENTION, cpu_attention)
