"""The stack of XS: BERT's layers (Devlin et al., 2019) in plain torch.

A process that answers one question spends its time on imports, and transformers' modelling code is most of what it
would import. Names and sizes are those of BERT's own files, so that MiniLM's weights fit.

Shapes: B rows, T tokens, H hidden.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

from ecellm.models.decoding.kv_cache import BatchCache, LayerCache

#: Attends [B, heads, Q, size] queries to K keys and values under an additive mask [B, 1, Q, K], as transformers calls
#: it: module, queries, keys, values, mask, scaling; returns [B, Q, heads, size] first.
Attention = Callable[[nn.Module, Tensor, Tensor, Tensor, Tensor | None, float], tuple[Tensor, None]]


class XSConfig(BaseModel, extra="ignore", frozen=True):
    """The sizes, as config.json has them; other keys of that file are ignored."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    hidden_act: Literal["gelu"] = "gelu"
    type_vocab_size: int = 2
    pad_token_id: int = 0
    layer_norm_eps: float = 1e-12
    hidden_dropout_prob: float = 0.1
    initializer_range: float = 0.02


class Stack(nn.Module):
    """Embeddings and layers."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Layers(config)

    def forward(
        self,
        words: Tensor,
        types: Tensor,
        positions: Tensor,
        attend: "Attend",
        cache: BatchCache | None = None,
    ) -> Tensor:
        """Return the last layer's states, [B, T, H], of word embeddings [B, T, H].

        `types` and `positions` are [B, T] or broadcast to it; keys and values are appended to `cache`, which
        begins as an empty list.
        """
        states: Tensor = self.embeddings(words, types, positions)
        for place, layer in enumerate(self.encoder.layer):
            if cache is not None and len(cache) == place:
                cache.append(LayerCache())
            states = layer(states, attend, None if cache is None else cache[place])
        return states


#: Attends within one layer: module, queries, keys, values; returns [B, T, heads, size].
Attend = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]


class Embeddings(nn.Module):
    """Word, position and type embeddings, summed and normalised."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor, types: Tensor, positions: Tensor) -> Tensor:
        """Return the states that the first layer reads, [B, T, H]."""
        summed = words + self.token_type_embeddings(types) + self.position_embeddings(positions)
        found: Tensor = self.dropout(self.LayerNorm(summed))
        return found


class Layers(nn.Module):
    """The layers, under the name that BERT's files have for them."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))


class Layer(nn.Module):
    """Attention, then a feed-forward network, each added to its input and normalised."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.attention = AttentionBlock(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config, config.intermediate_size)

    def forward(self, states: Tensor, attend: Attend, cache: LayerCache | None) -> Tensor:
        """Return the states after this layer."""
        attended = self.attention(states, attend, cache)
        found: Tensor = self.output(self.intermediate(attended), attended)
        return found


class AttentionBlock(nn.Module):
    """Self-attention, added to its input and normalised."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.self = SelfAttention(config)
        self.output = Output(config, config.hidden_size)

    def forward(self, states: Tensor, attend: Attend, cache: LayerCache | None) -> Tensor:
        """Return the states after attention."""
        found: Tensor = self.output(self.self(states, attend, cache), states)
        return found


class SelfAttention(nn.Module):
    """Attention of several heads."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, states: Tensor, attend: Attend, cache: LayerCache | None) -> Tensor:
        """Return what each token attends to, [B, T, H]."""
        queries, keys, values = (self._split(layer(states)) for layer in (self.query, self.key, self.value))
        if cache is not None:
            keys, values = cache.append(keys, values)
        return attend(self, queries, keys, values).reshape(states.shape)

    def _split(self, states: Tensor) -> Tensor:
        """Return [B, heads, T, size]."""
        return states.view(*states.shape[:-1], self.heads, -1).transpose(1, 2)


class Intermediate(nn.Module):
    """The first half of the feed-forward network."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, states: Tensor) -> Tensor:
        """Return [B, T, I], of the intermediate size I."""
        return functional.gelu(self.dense(states))


class Output(nn.Module):
    """A linear layer whose result is added to another tensor and normalised."""

    def __init__(self, config: XSConfig, size: int):
        super().__init__()
        self.dense = nn.Linear(size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, states: Tensor, added: Tensor) -> Tensor:
        """Return the normalised sum."""
        found: Tensor = self.LayerNorm(self.dropout(self.dense(states)) + added)
        return found


def torch_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, scaling: float
) -> tuple[Tensor, None]:
    """Attend by torch's own kernel: what answers, and what tunes on a GPU."""
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
    return mixed.transpose(1, 2).contiguous(), None


def masked(attention: Attention, mask: Tensor | None) -> Attend:
    """Return what attends under an additive mask, [B, 1, Q, K], or to everything."""
    return lambda module, query, key, value: attention(module, query, key, value, mask, query.shape[-1] ** -0.5)[0]


def within_rows(row_lengths: Sequence[int]) -> Attend:
    """Return what attends both ways within each of several rows that stand end to end, [1, heads, T, size] in all.

    A mask makes torch's fused CPU kernel take twice as long, and padding costs every layer; here are neither.
    """

    def attend(module: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = (torch.split(whole, list(row_lengths), 2) for whole in (query, key, value))
        rows = [
            scaled_dot_product_attention(queries, keys, values).transpose(1, 2)
            for queries, keys, values in zip(*parts, strict=True)
        ]
        return torch.cat(rows, 1)

    return attend


def draw_weights(module: nn.Module, spread: float) -> None:
    """Draw the weights of linear layers and embeddings as BERT does: normal, of this standard deviation; biases are
    zero."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=spread)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight, std=spread)
            if part.padding_idx is not None:
                with torch.no_grad():
                    part.weight[part.padding_idx].zero_()
