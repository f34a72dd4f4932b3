"""A preallocated KV cache: a decoding step copies its own keys and values, not the whole cache."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Positions that are allocated at a time.
ROOM = 128


@dataclass
class LayerCache:
    """One layer's keys and values, [B, heads, K, size] each: views of larger tensors."""

    keys: Tensor | None = None
    values: Tensor | None = None
    room: tuple[Tensor, Tensor] | None = None
    """What they are views of."""

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values of new positions; returns all."""
        before = 0 if self.keys is None else self.keys.shape[2]
        after = before + keys.shape[2]
        if self.room is None or self.room[0].shape[2] < after:
            self.room = (_enlarged(self.keys, keys, after), _enlarged(self.values, values, after))
        all_keys, all_values = self.room
        all_keys[:, :, before:after] = keys
        all_values[:, :, before:after] = values
        self.keys, self.values = all_keys[:, :, :after], all_values[:, :, :after]
        return self.keys, self.values


def _enlarged(old: Tensor | None, new: Tensor, places: int) -> Tensor:
    """Return a tensor for `places` positions and ROOM more that begins with the old one."""
    rows, heads, _, size = new.shape
    found = torch.empty(rows, heads, places + ROOM, size, dtype=new.dtype, device=new.device)
    if old is not None and old.numel():
        found[:, :, : old.shape[2]] = old
    return found


#: The keys and values of a batch, by layer.
BatchCache = list[LayerCache]
#: Keys and values of one row, by layer, [heads, T, size] each.
RowCache = Sequence[tuple[Tensor, Tensor]]


def row_cache(layers: BatchCache, row: int, length: int, begins: int = 0) -> RowCache:
    """Return views of a cache's keys and values of `length` tokens of a row, from position `begins` on."""
    ends = begins + length
    found = []
    for layer in layers:
        assert layer.keys is not None and layer.values is not None
        found.append((layer.keys[row, :, begins:ends], layer.values[row, :, begins:ends]))
    return found


def batch_cache(rows: Sequence[RowCache], room: int) -> BatchCache:
    """Return the cache of a batch of rows, padded with zeros to the longest, with room for more positions."""
    longest = max(read[0][0].shape[1] for read in rows)
    layers = []
    for layer in range(len(rows[0])):
        keys, values = (_stacked([read[layer][side] for read in rows], longest, room) for side in (0, 1))
        layers.append(LayerCache(keys[:, :, :longest], values[:, :, :longest], (keys, values)))
    return layers


def _stacked(parts: Sequence[Tensor], longest: int, room: int) -> Tensor:
    """Return [B, heads, longest + room, size]."""
    heads, _, size = parts[0].shape
    found = parts[0].new_empty(len(parts), heads, longest + room, size)
    for row, part in zip(found, parts, strict=True):
        row[:, : part.shape[1]] = part
        row[:, part.shape[1] : longest] = 0
    return found
