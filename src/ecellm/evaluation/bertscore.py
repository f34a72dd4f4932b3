"""BERTScore (Zhang et al. 2020) of answers against references: with the local MiniLM, offline, or with any model.

Figures of one model are not comparable with those of another, so every score row names the model. The published
figures are roberta-large's, layer 17; the MiniLM gives its last layer. No idf weighting, no rescaling.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional.text.bert import bert_score

from ecellm.evaluation.metrics import Floats
from ecellm.models.minilm import HUB_NAME, minilm_folder

#: Tokens of a text that the model reads; the rest is cut.
MOST_TOKENS = 512
TEXTS_AT_ONCE = 64
PAIRS_AT_ONCE = 512
#: Tokens that every text gets around its own.
FRAME = 2

Pair = tuple[str, str]
Encoded = tuple[Tensor, Tensor]


class BertScorer:
    """Scores (answer, reference) pairs; every pair is computed once, whatever the setting."""

    def __init__(self, model: str | None = None, layer: int | None = None) -> None:
        """Take a folder or hub name (None: the local MiniLM) and the layer to compare (None: the last)."""
        self.model, self.layer = model, layer
        named = HUB_NAME if model is None else Path(model).resolve().name if Path(model).is_dir() else model
        self.name = named if layer is None else f"{named}, layer {layer}"
        self._known: dict[Pair, tuple[float, float, float]] = {}
        self._loaded: tuple[Any, Any] | None = None

    def score(self, pairs: Sequence[Pair]) -> Floats:
        """Return precision, recall and F1 of each pair, [pairs, 3]; 0 where either text has no token."""
        clean = [(_encodable(answer), _encodable(reference)) for answer, reference in pairs]
        # Pairs of one reference stand together, so that it is encoded once in its chunk.
        new = sorted(set(clean) - self._known.keys(), key=lambda pair: (pair[1], pair[0]))
        for first in range(0, len(new), PAIRS_AT_ONCE):
            self._compute(new[first : first + PAIRS_AT_ONCE])
        return np.array([self._known[pair] for pair in clean], dtype=np.float64).reshape(-1, 3)

    def _compute(self, pairs: Sequence[Pair]) -> None:
        encoded = self._encode({text for pair in pairs for text in pair})
        with _one_thread():
            for answer, reference in pairs:
                self._known[answer, reference] = _score_one(encoded[answer], encoded[reference])

    def _encode(self, texts: Iterable[str]) -> dict[str, Encoded]:
        """Return token ids [tokens] and states [tokens, hidden] of each text, computed in batches by length."""
        tokenizer, model = self._model()
        ordered = sorted(texts, key=lambda text: (len(text), text))
        encoded: dict[str, Encoded] = {}
        for first in range(0, len(ordered), TEXTS_AT_ONCE):
            chunk = ordered[first : first + TEXTS_AT_ONCE]
            batch = tokenizer(chunk, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
            with torch.no_grad():
                states = model(**batch, output_hidden_states=True).hidden_states[
                    -1 if self.layer is None else self.layer
                ]
            for place, text in enumerate(chunk):
                length = int(batch["attention_mask"][place].sum())
                encoded[text] = batch["input_ids"][place, :length], states[place, :length].clone()
        return encoded

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging

            logging.disable_progress_bar()
            local = self.model is None or Path(self.model).is_dir()
            source = str(minilm_folder()) if self.model is None else self.model
            try:
                model = AutoModel.from_pretrained(source, local_files_only=local, use_safetensors=True)
                tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            except (OSError, ValueError) as error:
                raise ValueError(
                    f"{source} cannot be loaded as BERTScore's model: {str(error).splitlines()[0]}"
                ) from error
            layers = model.config.num_hidden_layers
            if self.layer is not None and self.layer > layers:
                raise ValueError(f"{source} has {layers} layers: choose one of them with --bertscore-layer.")
            self._loaded = tokenizer, model.eval()
        return self._loaded


@cache
def local_scorer() -> BertScorer:
    """Return the one scorer with the local MiniLM: floors and errors compare the same texts as the scores."""
    return BertScorer()


class _Known(nn.Module):
    """Stands for the model in torchmetrics: it has the states of two texts already, [tokens, hidden] each."""

    def __init__(self, *texts: Encoded):
        super().__init__()
        self.config = SimpleNamespace(num_hidden_layers=1)  # torchmetrics asks for it
        self.states = {tuple(ids.tolist()): states for ids, states in texts}

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Return the states [1, tokens, hidden] of the batch's one text, to be written into."""
        return self.states[tuple(batch["input_ids"][0].tolist())].clone()[None]


def _score_one(said: Encoded, wanted: Encoded) -> tuple[float, float, float]:
    """Return precision, recall and F1 of one answer and its reference.

    One pair a call: torchmetrics 1.9 sorts answers and references apart by length and does not restore their
    order (its issue 2728), so that a batch compares texts that do not belong together.
    """
    if min(len(said[0]), len(wanted[0])) <= FRAME:
        return 0.0, 0.0, 0.0
    figures: dict[str, Any] = bert_score(
        _batch(said[0]),
        _batch(wanted[0]),
        model=_Known(said, wanted),
        user_forward_fn=lambda known, batch: known(batch),
    )
    precision, recall, f1 = (float(figures[name]) for name in ("precision", "recall", "f1"))
    return precision, recall, f1


def _batch(ids: Tensor) -> dict[str, Tensor]:
    """Return a batch of one tokenised text, with its own mask: torchmetrics writes into it."""
    return {"input_ids": ids[None], "attention_mask": torch.ones_like(ids)[None]}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread: on matrices this small, waiting for a second one takes most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _encodable(text: str) -> str:
    """Return the text with lone surrogates replaced: tokenizers take valid Unicode only."""
    return text.encode("utf-8", "replace").decode("utf-8")
