"""A cache of keys and values with room for more: a step of writing then copies its own, not all that was read."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

#: Places that are made ready at a time.
ROOM = 128


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


#: Keys and values of each layer, [heads, T, size] each.
Read = Sequence[tuple[Tensor, Tensor]]


def read_of(cache: Cache, row: int, length: int, begins: int = 0) -> Read:
    """Return what a cache holds of so many tokens of a row, from one on; views of it."""
    layers: Any = cache.layers
    ends = begins + length
    return [(layer.keys[row, :, begins:ends], layer.values[row, :, begins:ends]) for layer in layers]


def begun_cache(rows: Sequence[Read], room: int) -> Cache:
    """Return a cache of rows that were read before, filled up with zeros to the longest, and room for more."""
    longest = max(read[0][0].shape[1] for read in rows)
    cache = roomy_cache()
    for layer in range(len(rows[0])):
        both = tuple(_stacked([read[layer][side] for read in rows], longest, room) for side in (0, 1))
        made: Any = RoomyLayer()  # type: ignore[no-untyped-call]
        made.lazy_initialization(*both)
        made.room = (both[0], both[1])
        made.keys, made.values = (one[:, :, :longest] for one in both)
        cache.layers.append(made)
    return cache


def _stacked(parts: Sequence[Tensor], longest: int, room: int) -> Tensor:
    """Return [B, heads, longest + room, size]."""
    heads, _, size = parts[0].shape
    found = parts[0].new_empty(len(parts), heads, longest + room, size)
    for row, part in zip(found, parts, strict=True):
        row[:, : part.shape[1]] = part
        row[:, part.shape[1] : longest] = 0
    return found
