"""Reading and writing with a causal model of transformers.

Prompts are padded on the right and read without a mask: no token sees what stands after it, so padding changes
nothing, and the quickest attention applies. What is written later stands behind the padding in the cache; masks of
our own say which of it each token sees, by true positions, for sliding windows too.

Shapes: B rows, T tokens, Q tokens read now, K tokens in the cache with them, N places, V words.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ecellm.inference.roomy import roomy_cache
from ecellm.inference.trie import Trie

#: The position of a place in the cache that holds no token.
NOTHING = -1


class Causal:
    """A causal model."""

    def __init__(self, model: Any, pad: int):
        self.model = model
        self.pad = pad
        self.config = model.config.get_text_config()
        self.device = model.device

    def fork_logits(self, prompts: Sequence[list[int]], tries: Sequence[Trie]) -> list[Tensor]:
        """Return each row's logits [forks, V], in one forward pass: what leads to later forks stands behind the
        prompt, and of it each token sees only what it follows."""
        rows = [[*prompt, *trie.fed] for prompt, trie in zip(prompts, tries, strict=True)]
        ids = padded(rows, self.pad, self.device)
        wanted = [
            (row, len(prompt) + fork.after)
            for row, (prompt, trie) in enumerate(zip(prompts, tries, strict=True))
            for fork in trie.forks
        ]
        # ROOT is -1: the fork at the root stands after the prompt's last token.
        masked = self._tree(prompts, tries, ids.shape[1]) if any(trie.branches for trie in tries) else {}
        with self._head_at([row for row, _ in wanted], [place for _, place in wanted]):
            logits = self.model(input_ids=ids, use_cache=False, **masked).logits[0]
        return list(logits.split([len(trie.forks) for trie in tries]))

    def begin(self, prompts: Sequence[list[int]]) -> "CausalWriting":
        """Read prompts, to be gone on with."""
        return CausalWriting(self, prompts)

    def masks(self, allowed: Tensor, distances: Tensor) -> Any:
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

    def _tree(self, prompts: Sequence[list[int]], tries: Sequence[Trie], width: int) -> dict[str, Any]:
        """Return mask and positions of prompts that trees of tokens stand behind."""
        places = torch.arange(width).repeat(len(prompts), 1)
        allowed = torch.ones(width, width, dtype=torch.bool).tril().repeat(len(prompts), 1, 1)
        for row, (prompt, trie) in enumerate(zip(prompts, tries, strict=True)):
            length = len(prompt)
            for place, depth in enumerate(trie.depths):
                places[row, length + place] = length + depth
                allowed[row, length + place, length:] = False
                allowed[row, length + place, [length + before for before in trie.run(place)]] = True
        distances = places[:, :, None] - places[:, None, :]
        mask = self.masks(allowed.to(self.device), distances.to(self.device))
        return {"attention_mask": mask, "position_ids": places.to(self.device)}

    @contextmanager
    def _head_at(self, rows: Sequence[int], places: Sequence[int]) -> Iterator[None]:
        """Let the output head see only these places, one after the other: logits are then [1, N, V]."""

        def chosen(module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor]:
            return (given[0][list(rows), list(places)][None],)

        handle = self.model.get_output_embeddings().register_forward_pre_hook(chosen)
        try:
            yield
        finally:
            handle.remove()


class CausalWriting:
    """Rows on their way: what was read is in the cache, `logits` [B, V] say what may come next."""

    #: Tokens that a row may be fed in one step.
    at_once = 1 << 30

    def __init__(self, reader: Causal, prompts: Sequence[list[int]]):
        self.reader = reader
        ids = padded(prompts, reader.pad, reader.device)
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        # Plain layers even for sliding windows: the masks keep the window.
        self.cache = roomy_cache()
        with reader._head_at(range(len(prompts)), (lengths - 1).tolist()):
            out = reader.model(input_ids=ids, past_key_values=self.cache, use_cache=True)
        self.logits: Tensor = out.logits[0]
        places = torch.arange(ids.shape[1]).repeat(len(prompts), 1)
        self.places = places.masked_fill(places >= lengths[:, None], NOTHING)
        self.lengths = lengths

    def keep(self, rows: Sequence[int]) -> None:
        """Forget the other rows."""
        chosen = torch.tensor(rows)
        self.cache.batch_select_indices(chosen.to(self.reader.device))
        self.logits = self.logits[chosen.to(self.reader.device)]
        self.places, self.lengths = self.places[chosen], self.lengths[chosen]

    def feed(self, tokens: Sequence[Sequence[int]]) -> None:
        """Read more tokens of each row; a row that is given none is done and no longer counts."""
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


def padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> Tensor:
    """Return ids [B, T], padded on the right."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
