"""A cache of keys and values with room for more: a step of writing then copies its own, not all that was read."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

#: Places that are made ready at a time.
ROOM = 64


class RoomyLayer(DynamicLayer):
    """One layer's keys and values, [B, heads, K, size] each: views of larger tensors."""

    room: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *given: Any, **more: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values of new places; returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[2]
        if self.room is None or self.room[0].shape[2] < after:
            self.room = (_enlarged(self.keys, key_states, after), _enlarged(self.values, value_states, after))
        keys, values = self.room
        keys[:, :, before:after] = key_states
        values[:, :, before:after] = value_states
        self.keys, self.values = keys[:, :, :after], values[:, :, :after]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows only."""
        super().batch_select_indices(indices)
        self.room = None


def _enlarged(old: Tensor | None, new: Tensor, places: int) -> Tensor:
    """Return room for `places` and more that begins with what is there."""
    rows, heads, _, size = new.shape
    found = torch.empty(rows, heads, places + ROOM, size, dtype=new.dtype, device=new.device)
    if old is not None and old.numel():
        found[:, :, : old.shape[2]] = old
    return found


def roomy_cache() -> Cache:
    """Return an empty cache."""
    return Cache(layer_class_to_replicate=RoomyLayer)
