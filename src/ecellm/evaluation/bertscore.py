"""BERTScore (Zhang et al. 2020) of answers against references: with the local MiniLM, offline, or with any model.

Figures of one model are not comparable with those of another, so every score row names the model. The published
figures are roberta-large's, layer 17, by the package bert_score 0.3; a model that is named is used as that package
does: the tokens around a text weigh nothing, but a word may match one of the other text's, and byte-level tokenizers
see a space before the first word. The MiniLM gives its last layer, and words match words alone, as in torchmetrics.
No idf weighting, no rescaling.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoModel,
    AutoTokenizer,
    GPT2Tokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    RobertaTokenizer,
)
from transformers.utils import logging

from ecellm.errors import DataError
from ecellm.models.minilm import HUB_NAME, minilm_folder
from ecellm.models.model_files import readable_weights
from ecellm.tasks.metrics import Floats

#: Tokens of a text that the model reads; the rest is cut.
MAX_TOKENS = 512
TEXTS_AT_ONCE = 64
PAIRS_AT_ONCE = 512

Pair = tuple[str, str]


class Encoded(NamedTuple):
    """What of a text may be matched."""

    states: Tensor
    """[tokens, hidden], each of length one."""
    weighs: Tensor
    """[tokens], False for the tokens that stand around every text."""


class BertScorer:
    """Scores (answer, reference) pairs; every pair is computed once, whatever the setting."""

    def __init__(self, model: str | None = None, layer: int | None = None) -> None:
        """Take a folder or hub name (None: the local MiniLM) and the layer to compare (None: the last)."""
        self.model, self.layer = model, layer
        named = HUB_NAME if model is None else Path(model).resolve().name if Path(model).is_dir() else model
        self.name = named if layer is None else f"{named}, layer {layer}"
        self._known: dict[Pair, tuple[float, float, float]] = {}
        self._loaded: tuple[PreTrainedTokenizerBase, PreTrainedModel] | None = None

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
        """Return the hidden states of each text, computed in batches by length."""
        tokenizer, model = self._model()
        ordered = sorted(texts, key=lambda text: (len(text), text))
        encoded: dict[str, Encoded] = {}
        for first in range(0, len(ordered), TEXTS_AT_ONCE):
            chunk = ordered[first : first + TEXTS_AT_ONCE]
            batch = tokenizer(
                [self._as_read(text, tokenizer) for text in chunk],
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_special_tokens_mask=True,
                return_tensors="pt",
            )
            own = batch.pop("special_tokens_mask") == 0
            with torch.no_grad():
                layers = model(**batch, output_hidden_states=True).hidden_states
            states = torch.nn.functional.normalize(layers[-1 if self.layer is None else self.layer], dim=-1)
            kept = batch["attention_mask"].bool() & (own if self.model is None else True)
            for place, text in enumerate(chunk):
                encoded[text] = Encoded(states[place, kept[place]], own[place, kept[place]])
        return encoded

    def _as_read(self, text: str, tokenizer: PreTrainedTokenizerBase) -> str:
        """Return what the tokenizer gets: of a named model the stripped text, after a space for byte-level ones."""
        stripped = text if self.model is None else text.strip()
        is_spaced = self.model is not None and isinstance(tokenizer, GPT2Tokenizer | RobertaTokenizer)
        return f" {stripped}" if stripped and is_spaced else stripped

    def _model(self) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
        if self._loaded is None:
            local = self.model is None or Path(self.model).is_dir()
            source = str(minilm_folder()) if self.model is None else self.model
            if not local and Path(source).is_absolute():
                raise DataError(f"There is no folder {source} with BERTScore's model.")
            logging.disable_progress_bar()
            verbosity = logging.get_verbosity()
            logging.set_verbosity_error()  # hides the warning that the pooler is missing
            try:
                with readable_weights(source):
                    model = AutoModel.from_pretrained(source, local_files_only=local, use_safetensors=True)
                tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            except (OSError, ValueError) as error:
                raise DataError(
                    f"{source} cannot be loaded as BERTScore's model: {str(error).splitlines()[0]}"
                ) from error
            finally:
                logging.set_verbosity(verbosity)
            layers = model.config.num_hidden_layers
            if self.layer is not None and self.layer > layers:
                raise DataError(f"{source} has {layers} layers: choose one of them with --bertscore-layer.")
            self._loaded = tokenizer, model.eval()
        return self._loaded


@cache
def local_scorer() -> BertScorer:
    """Return the one scorer with the local MiniLM: trivial baselines and errors compare the texts of the scores."""
    return BertScorer()


def _score_one(answer: Encoded, reference: Encoded) -> tuple[float, float, float]:
    """Return precision, recall and F1: the mean over tokens of the best cosine in the other text (equations 1 to 3).

    A token whose best cosine is negative counts 0, as beside padding.
    """
    if not (answer.weighs.any() and reference.weighs.any()):
        return 0.0, 0.0, 0.0
    cosines = (answer.states @ reference.states.T).clamp(min=0)
    precision = float(cosines.amax(1)[answer.weighs].mean())
    recall = float(cosines.amax(0)[reference.weighs].mean())
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


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
