"""Embeddings of titles by all-MiniLM-L6-v2, the sentence encoder from which XS starts.

A text's embedding is the mean of its tokens' last states, of unit length (Reimers and Gurevych, 2019).
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ecellm.models.baselines.text_encoder import MINILM, load_encoder

Scores = NDArray[np.float32]
#: Tokens of a title that are read, and titles read at a time.
MAX_TOKENS, AT_ONCE = 64, 64


class Embeddings:
    """The encoder, with a callback(done, total) on texts."""

    def __init__(self, progress: Callable[[int, int], None] = lambda done, total: None):
        """Load the encoder."""
        self.body: PreTrainedModel
        self.tokenizer: PreTrainedTokenizerBase
        self.body, self.tokenizer = load_encoder(MINILM)
        self.body.eval()
        self.progress = progress

    def of(self, texts: Sequence[str]) -> Scores:
        """Return unit vectors [texts, 384]; equal texts are read once, and which stand together does not matter but
        for the last bits."""
        distinct = sorted(set(texts), key=lambda text: (len(text), text))
        found = np.empty((len(distinct), int(self.body.config.hidden_size)), np.float32)
        with torch.inference_mode():
            for first in range(0, len(distinct), AT_ONCE):
                found[first : first + AT_ONCE] = self._read(distinct[first : first + AT_ONCE])
                self.progress(min(first + AT_ONCE, len(distinct)), len(distinct))
        places = {text: place for place, text in enumerate(distinct)}
        return found[[places[text] for text in texts]]

    def _read(self, texts: Sequence[str]) -> Scores:
        batch = self.tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        states = self.body(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
        unit: Scores = torch.nn.functional.normalize(mean, dim=-1).numpy()
        return unit
