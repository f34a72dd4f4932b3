"""Attention within each of several rows that stand end to end: it reads prompts without padding and masks."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

#: transformers knows an attention by name.
ROW_ATTENTION = "ecellm_rows"


def row_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    row_lengths: Sequence[int] | None = None,
    **ignored: Any,
) -> tuple[Tensor, None]:
    """Attend both ways within each row of `row_lengths` tokens, the rows being [1, heads, T, size] end to end;
    returns [1, T, heads, size].

    A mask makes torch's fused CPU kernel take twice as long, and padding costs every layer; here are neither. Without
    lengths it is plain attention of [B, heads, T, size] under the mask that is given.
    """
    if row_lengths is None:
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
        return mixed.transpose(1, 2).contiguous(), None
    parts = (torch.split(whole, list(row_lengths), 2) for whole in (query, key, value))
    rows = [
        scaled_dot_product_attention(queries, keys, values, scale=scaling).transpose(1, 2)
        for queries, keys, values in zip(*parts, strict=True)
    ]
    return torch.cat(rows, 1), None


AttentionInterface.register(ROW_ATTENTION, row_attention)
