"""The preallocated KV cache in the form that the models of transformers take."""

from collections.abc import Sequence

from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from ecellm.models.decoding import kv_cache
from ecellm.models.decoding.kv_cache import BatchCache, LayerCache, RowCache


class PreallocatedLayer(DynamicLayer):
    """One layer's keys and values, which a LayerCache holds."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cache = LayerCache()

    def update(
        self, key_states: Tensor, value_states: Tensor, *given: object, **more: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values of new positions; returns all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        self.keys, self.values = self.cache.append(key_states, value_states)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows only."""
        super().batch_select_indices(indices)
        self.cache = LayerCache(self.keys, self.values)


def empty_cache() -> Cache:
    """Return an empty preallocated cache."""
    return Cache(layer_class_to_replicate=PreallocatedLayer)


def layers_of(cache: Cache) -> BatchCache:
    """Return the layers that hold a cache's keys and values."""
    return [layer.cache for layer in cache.layers if isinstance(layer, PreallocatedLayer)]


def batch_cache(rows: Sequence[RowCache], room: int) -> Cache:
    """Return the cache of a batch of rows, padded with zeros to the longest, with room for more positions."""
    cache = empty_cache()
    for layer in kv_cache.batch_cache(rows, room):
        made = PreallocatedLayer()
        assert layer.keys is not None and layer.values is not None
        made.lazy_initialization(layer.keys, layer.values)
        made.cache, made.keys, made.values = layer, layer.keys, layer.values
        cache.layers.append(made)
    return cache
