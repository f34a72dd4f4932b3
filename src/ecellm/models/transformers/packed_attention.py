"""Attention within each example of a packed row: which implementation, and our own for CPUs.

With a mask, every token's attention to every other token of the row is computed and most of it thrown away: half of a
CPU step at rows of 2,048 tokens. Example by example, as FlashAttention does it on a GPU, nothing is.
"""

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.utils.import_utils import is_flash_attn_2_available

from ecellm.errors import ModelError
from ecellm.models.cpu_attention import cpu_attention

PACKED = "ecellm_packed"
#: In bf16, examples of up to so many tokens are attended by plain products: measured forward and backward with heads
#: of 32 to 128, they take 55 to 100 % of the fused kernel's time up to here, and up to twice as long at 900.
SHORT = 600
#: Examples are padded to a multiple of so many tokens: a CPU's kernels are made anew for every shape, a millisecond
#: or more for each, and kept; without this a fifth of a small model's step went into making them.
STEP = 16
#: Below every real score.
NEVER = -1e9
FLASH, FLEX = "flash_attention_2", "flex_attention"


def attention_for(wanted: str) -> str:
    """Return the implementation that transformers is to use on this machine, `wanted` unless that is "auto".

    Raises ModelError where FlashAttention is wanted and not there, with the install line, or FlexAttention on a CPU,
    which has no gradients of it.
    """
    if wanted == FLASH and not is_flash_attn_2_available():
        raise ModelError("optimisation.attention=flash_attention_2 needs a GPU and pip install flash-attn.")
    if wanted == FLEX and not torch.cuda.is_available():
        raise ModelError("optimisation.attention=flex_attention needs a GPU: use auto.")
    if wanted != "auto":
        return wanted
    if not torch.cuda.is_available():
        return PACKED
    return FLASH if is_flash_attn_2_available() else "sdpa"


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: None,
    *,
    cu_seq_lens_q: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **same: object,
) -> tuple[Tensor, None]:
    """Return causal attention: query [1, H, T, D], key and value [1, G, T, D] with H a multiple of G; [1, T, H, D].

    `cu_seq_lens_q` is where the examples begin, and where the last one ends. A token sees `sliding_window` tokens
    back at most, itself included. Raises ModelError where the model caps its scores or has attention sinks.
    """
    if softcap is not None or s_aux is not None:
        raise ModelError("This base caps attention or has attention sinks: set optimisation.attention=eager.")
    lengths = cu_seq_lens_q.diff().tolist()
    # Under autocast rotated positions leave queries and keys in fp32; values are in what is computed in.
    query, key = query.to(value.dtype), key.to(value.dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    found = []
    # Split, not sliced: a slice's gradient is as large as the whole row, for every example of it.
    parts = (torch.split(whole, lengths, 2) for whole in (query, key, value))
    for length, queries, keys, values in zip(lengths, *parts, strict=True):
        if length <= SHORT and query.dtype == torch.bfloat16:
            wide = queries.shape[1] // keys.shape[1]
            keys, values = (some.repeat_interleave(wide, 1) if wide > 1 else some for some in (keys, values))
            hidden = _hidden(length, sliding_window, query)
            found.append(cpu_attention(module, queries, keys, values, hidden, scale, dropout)[0])
        else:
            found.append(_fused(queries, keys, values, sliding_window, scale, dropout))
    return torch.cat(found, 1), None


def _fused(query: Tensor, key: Tensor, value: Tensor, window: int | None, scale: float, dropout: float) -> Tensor:
    """Attend by torch's fused kernel; returns [1, T, H, D]."""
    length = query.shape[2]
    mask = None if window is None or length <= window else _hidden(length, window, query)
    mixed = scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=scale,
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return mixed.transpose(1, 2)


def _hidden(length: int, window: int | None, like: Tensor) -> Tensor:
    """Return what is added to the scores, [T, T]: tokens to come, and those beyond the window, are hidden."""
    back = torch.arange(length, device=like.device)
    distance = back[:, None] - back[None, :]
    hidden = (distance < 0) | (distance >= (window or length))
    return torch.zeros(length, length, dtype=like.dtype, device=like.device).masked_fill(hidden, NEVER)


def _no_mask(*given: object, **more: object) -> None:
    """Build no mask: the borders of the examples are enough."""


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)
