"""Prefill and decoding with an encoder-decoder model of transformers.

The encoder reads the prompts once, their padding masked; what the decoder makes of them is kept.

Shapes: B rows, T prompt tokens, R response tokens, V words.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from ecellm.models.decoding.batching import padded_groups
from ecellm.models.decoding.trie import ROOT, Trie
from ecellm.models.masking import padded


class TwoSided:
    """An encoder-decoder model."""

    def __init__(self, model: PreTrainedModel, pad: int, start: int):
        self.model = model
        self.pad = pad
        self.start = start
        self.device = model.device

    def encoded(self, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        """Return the encoder's states [B, T, H], prompts of similar length in one pass, and their mask [B, T]."""
        lengths = [len(prompt) for prompt in prompts]
        read = [torch.empty(0)] * len(prompts)
        for group in padded_groups(lengths, self.device.type):
            ids = padded([prompts[row] for row in group], self.pad, self.device)
            states = self.model.get_encoder()(
                input_ids=ids, attention_mask=self._mask([lengths[row] for row in group])
            )
            for place, row in enumerate(group):
                read[row] = states.last_hidden_state[place, : lengths[row]]
        return pad_sequence(read, batch_first=True), self._mask(lengths)

    def _mask(self, lengths: Sequence[int]) -> Tensor:
        """Return ones at the tokens of prompts of these lengths, [B, T]."""
        places = torch.arange(max(lengths), device=self.device)
        return (places < torch.tensor(lengths, device=self.device)[:, None]).long()

    def fork_logits(self, prompts: Sequence[list[int]], tries: Sequence[Trie], shared: Sequence[int]) -> list[Tensor]:
        """Return each row's logits [forks, V]: the decoder takes the runs that lead to forks one after the other;
        most questions have one, of the start token alone. An encoder looks both ways: nothing is `shared`."""
        assert not any(shared)
        states, mask = self.encoded(prompts)
        runs = [trie.runs() or [[]] for trie in tries]
        found: list[list[Tensor | None]] = [[None] * len(trie.forks) for trie in tries]
        across = DynamicCache()
        for turn in range(max(len(row) for row in runs)):
            # A row with fewer runs repeats its last one.
            now = [row[min(turn, len(row) - 1)] for row in runs]
            fed = [[self.start, *(trie.fed[place] for place in run)] for trie, run in zip(tries, now, strict=True)]
            logits = self.model(
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                attention_mask=mask,
                decoder_input_ids=padded(fed, self.pad, self.device),
                # What the decoder makes of the prompt is kept, what it makes of a run is not.
                past_key_values=EncoderDecoderCache(DynamicCache(), across),
                use_cache=True,
            ).logits
            for row, (trie, run) in enumerate(zip(tries, now, strict=True)):
                for number, fork in enumerate(trie.forks):
                    if fork.after in (ROOT, *run):
                        step = 0 if fork.after == ROOT else 1 + run.index(fork.after)
                        found[row][number] = logits[row, step]
        return [torch.stack([one for one in row if one is not None]) for row in found]

    def begin(self, prompts: Sequence[list[int]]) -> "TwoSidedWriting":
        """Read prompts and return the state from which answers are generated."""
        return TwoSidedWriting(self, prompts)


class TwoSidedWriting:
    """A batch being generated; all rows take one token a step, as their distances are counted in steps."""

    at_once = 1

    def __init__(self, reader: TwoSided, prompts: Sequence[list[int]]):
        self.reader = reader
        self.states, self.mask = reader.encoded(prompts)
        self.cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self.logits = self._step([[reader.start] for _ in prompts])

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows."""
        chosen = torch.tensor(rows, device=self.reader.device)
        self.cache.batch_select_indices(chosen)
        self.states, self.mask, self.logits = self.states[chosen], self.mask[chosen], self.logits[chosen]

    def feed(self, tokens: Sequence[Sequence[int]]) -> None:
        """Append a token to each row; a row that is given none is done and no longer counts."""
        self.logits = self._step([list(row) or [self.reader.pad] for row in tokens])

    def _step(self, tokens: Sequence[list[int]]) -> Tensor:
        logits: Tensor = self.reader.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=self.states),
            attention_mask=self.mask,
            decoder_input_ids=padded(tokens, self.reader.pad, self.reader.device),
            past_key_values=self.cache,
            use_cache=True,
        ).logits
        return logits[:, -1]
