"""Attention within each sample of a packed row: which implementation, and our own for CPUs.

With a mask, every token's attention to every other token of the row is computed and most of it thrown away: half of a
CPU step at rows of 2,048 tokens. Sample by sample, as FlashAttention does it on a GPU, nothing is.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.utils.import_utils import is_flash_attn_2_available

PACKED = "ecellm_packed"
FLASH = "flash_attention_2"


def attention_for(wanted: str) -> str:
    """Return the implementation that transformers is to use on this machine, `wanted` unless that is "auto".

    Raises ValueError with the install line where FlashAttention is wanted and not there.
    """
    if wanted == FLASH and not is_flash_attn_2_available():
        raise ValueError("optimisation.attention=flash_attention_2 needs a GPU and pip install flash-attn.")
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
    attention_mask: Tensor | None,
    *,
    cu_seq_lens_q: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **same: Any,
) -> tuple[Tensor, None]:
    """Return causal attention: query [1, H, T, D], key and value [1, G, T, D] with H a multiple of G; [1, T, H, D].

    `cu_seq_lens_q` is where the samples begin, and where the last one ends. A token sees `sliding_window` tokens
    back at most, itself included. Raises ValueError where the model caps its scores or has attention sinks.
    """
    if softcap is not None or s_aux is not None:
        raise ValueError("This base caps attention or has attention sinks: set optimisation.attention=eager.")
    shared = query.shape[1] != key.shape[1]
    found = []
    for start, stop in pairwise(cu_seq_lens_q.tolist()):
        mask = _window(stop - start, sliding_window, query.device)
        found.append(
            scaled_dot_product_attention(
                query[:, :, start:stop],
                key[:, :, start:stop],
                value[:, :, start:stop],
                attn_mask=mask,
                dropout_p=dropout,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=shared,
            )
        )
    return torch.cat(found, 2).transpose(1, 2).contiguous(), None


def _window(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return which tokens each token sees, [T, T]; None where it sees all before it."""
    if window is None or length <= window:
        return None
    back = torch.arange(length, device=device)
    distance = back[:, None] - back[None, :]
    return (distance >= 0) & (distance < window)


def _no_mask(*given: Any, **more: Any) -> None:
    """Build no mask: the samples' borders say it all."""


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, _no_mask)
