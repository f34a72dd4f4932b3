"""Prefill and decoding with a causal model of transformers.

Prompts are padded on the right and read without a mask: no token sees what stands after it, so padding changes
nothing, and the quickest attention applies. A prefix that several prompts of a batch share is read once, and the rest
behind it with a mask. Generated tokens stand behind the prompt in the KV cache; masks of our own say which of it
each token sees, by true positions, for sliding windows too.

Shapes: B rows, T tokens, Q tokens read now, K tokens in the cache with them, N places, V words.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ecellm.models.decoding.batching import padded_groups
from ecellm.models.decoding.kv_cache import ROOM, RowCache, row_cache
from ecellm.models.decoding.trie import Trie
from ecellm.models.masking import padded
from ecellm.models.transformers.kv_cache import batch_cache, empty_cache, layers_of

#: The position of a place in the cache that holds no token.
NOTHING = -1

#: Tokens of shared prefixes whose keys and values are cached: some 500 MB of a model of 7 billion parameters.
KEPT_TOKENS = 4096


class Causal:
    """A causal model."""

    def __init__(self, model: PreTrainedModel, pad: int):
        self.model = model
        self.pad = pad
        self.config = model.config.get_text_config()
        self.device = model.device
        self._kept: dict[tuple[int, ...], RowCache] = {}

    def fork_logits(self, prompts: Sequence[list[int]], tries: Sequence[Trie], shared: Sequence[int]) -> list[Tensor]:
        """Return each row's logits [forks, V], in one forward pass: what leads to later forks stands behind the
        prompt, and of it each token sees only what it follows.

        The first `shared` tokens of each prompt are read once for all rows that have this prefix, and cached for
        later batches.
        """
        rest = [prompt[prefix:] for prompt, prefix in zip(prompts, shared, strict=True)]
        ids = padded([[*ids, *trie.fed] for ids, trie in zip(rest, tries, strict=True)], self.pad, self.device)
        wanted = [
            (row, len(own) + fork.after)
            for row, (own, trie) in enumerate(zip(rest, tries, strict=True))
            for fork in trie.forks
        ]
        # ROOT is -1: the fork at the root stands after the prompt's last token.
        more: dict[str, object] = {"use_cache": False}
        if any(shared):
            reads = [self._read(tuple(prompt[:prefix])) for prompt, prefix in zip(prompts, shared, strict=True)]
            more = {"use_cache": True, "past_key_values": batch_cache(reads, ids.shape[1])}
        if any(shared) or any(trie.branches for trie in tries):
            more |= self._seen([len(own) for own in rest], tries, shared, ids.shape[1])
        with self._head_at([row for row, _ in wanted], [place for _, place in wanted]):
            logits = self.model(input_ids=ids, **more).logits[0]
        return list(logits.split([len(trie.forks) for trie in tries]))

    def _read(self, ids: tuple[int, ...]) -> RowCache:
        """Return keys and values of a shared prefix, read alone, so that they are the same in every batch."""
        if ids not in self._kept:
            if sum(map(len, self._kept)) + len(ids) > KEPT_TOKENS:
                self._kept.clear()
            cache = empty_cache()
            with self._head_at([0], [0]):
                self.model(
                    input_ids=torch.tensor([ids or (self.pad,)], device=self.device),
                    past_key_values=cache,
                    use_cache=True,
                )
            self._kept[ids] = [
                (keys.clone(), values.clone()) for keys, values in row_cache(layers_of(cache), row=0, length=len(ids))
            ]
        return self._kept[ids]

    def begin(self, prompts: Sequence[list[int]]) -> "CausalWriting":
        """Read prompts and return the state from which answers are generated."""
        return CausalWriting(self, prompts)

    def masks(self, allowed: Tensor, distances: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the additive mask, or one per kind of layer, of what each token may see [B, Q, K]; a sliding window
        takes away what is `distances` [B, Q, K] or more back."""
        window = getattr(self.config, "sliding_window", None)
        kinds = getattr(self.config, "layer_types", None) or ()
        whole = self._additive(allowed)
        if window is None:
            return whole
        near = self._additive(allowed & (distances < window))
        return {"full_attention": whole, "sliding_attention": near} if "sliding_attention" in kinds else near

    def _additive(self, allowed: Tensor) -> Tensor:
        kind = self.model.dtype
        zeros = torch.zeros((), dtype=kind, device=self.device)
        return torch.where(allowed, zeros, torch.finfo(kind).min)[:, None]

    def _seen(
        self, lengths: Sequence[int], tries: Sequence[Trie], shared: Sequence[int], width: int
    ) -> dict[str, object]:
        """Return mask and positions of what is read behind the shared prefixes: the rest of the prompts, and trees of
        tokens behind them."""
        begun = torch.tensor(shared)[:, None]
        before = torch.arange(max(shared)).repeat(len(shared), 1)
        places = begun + torch.arange(width)
        past = (before < begun)[:, None].expand(-1, width, -1)
        allowed = torch.ones(width, width, dtype=torch.bool).tril().repeat(len(lengths), 1, 1)
        for row, (length, trie) in enumerate(zip(lengths, tries, strict=True)):
            for place, depth in enumerate(trie.depths if trie.branches else ()):
                places[row, length + place] = shared[row] + length + depth
                allowed[row, length + place, length:] = False
                allowed[row, length + place, [length + ahead for ahead in trie.run(place)]] = True
        distances = places[:, :, None] - torch.cat([before, places], 1)[:, None, :]
        mask = self.masks(torch.cat([past, allowed], 2).to(self.device), distances.to(self.device))
        return {"attention_mask": mask, "position_ids": places.to(self.device)}

    @contextmanager
    def _head_at(self, rows: Sequence[int], places: Sequence[int]) -> Iterator[None]:
        """Let the output head see only these places, one after the other: logits are then [1, N, V]."""

        def chosen(module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
            return (given[0][list(rows), list(places)][None],)

        handle = self.model.get_output_embeddings().register_forward_pre_hook(chosen)
        try:
            yield
        finally:
            handle.remove()


class CausalWriting:
    """A batch being generated: what was read is in the KV cache, `logits` [B, V] say what may come next."""

    #: Tokens that a row may be fed in one step.
    at_once = 1 << 30

    def __init__(self, reader: Causal, prompts: Sequence[list[int]]):
        self.reader = reader
        lengths = [len(prompt) for prompt in prompts]
        reads: list[RowCache] = [[]] * len(prompts)
        logits: list[Tensor] = [torch.empty(0)] * len(prompts)
        for group in padded_groups(lengths, reader.device.type):
            # Plain layers even for sliding windows: the masks keep the window.
            cache = empty_cache()
            with reader._head_at(range(len(group)), [lengths[row] - 1 for row in group]):
                out = reader.model(
                    input_ids=padded([prompts[row] for row in group], reader.pad, reader.device),
                    past_key_values=cache,
                    use_cache=True,
                )
            for place, row in enumerate(group):
                reads[row], logits[row] = row_cache(layers_of(cache), place, lengths[row]), out.logits[0, place]
        self.logits: Tensor = torch.stack(logits)
        self.cache = batch_cache(reads, ROOM)
        self.lengths = torch.tensor(lengths)
        places = torch.arange(max(lengths)).repeat(len(prompts), 1)
        self.places = places.masked_fill(places >= self.lengths[:, None], NOTHING)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows."""
        chosen = torch.tensor(rows)
        self.cache.batch_select_indices(chosen.to(self.reader.device))
        self.logits = self.logits[chosen.to(self.reader.device)]
        self.places, self.lengths = self.places[chosen], self.lengths[chosen]

    def feed(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append tokens to each row; a row that is given none is done and no longer counts."""
        reader = self.reader
        ids = padded([list(row) or [reader.pad] for row in tokens], reader.pad, reader.device)
        counts = torch.tensor([len(row) for row in tokens])
        steps = torch.arange(ids.shape[1])
        real = steps < counts[:, None]
        asking = (self.lengths[:, None] + steps).clamp(max=(self.lengths + counts - 1)[:, None])
        self.places = torch.cat([self.places, asking.masked_fill(~real, NOTHING)], 1)
        distances = asking[:, :, None] - self.places[:, None, :]
        allowed = (self.places != NOTHING)[:, None] & (distances >= 0)
        self.lengths = self.lengths + counts
        with reader._head_at(range(len(tokens)), (counts - 1).clamp(min=0).tolist()):
            out = reader.model(
                input_ids=ids,
                attention_mask=reader.masks(allowed.to(reader.device), distances.to(reader.device)),
                position_ids=asking.to(reader.device),
                past_key_values=self.cache,
                use_cache=True,
            )
        self.logits = out.logits[0]
