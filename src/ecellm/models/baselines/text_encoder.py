"""The pretrained encoder that several baselines read texts with: the local MiniLM, a folder's or the hub's."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ecellm.errors import ModelError
from ecellm.models.cpu_attention import CPU_ATTENTION
from ecellm.models.masking import NEVER
from ecellm.models.minilm import minilm_folder
from ecellm.models.model_files import check_vocabulary, read_tokenizer, readable_weights

MINILM = "minilm"
#: A text, or two, as a tokenizer gives it: `input_ids` and others of as many numbers, by name.
Tokens = Mapping[str, Sequence[int]]
#: Rows read at once where nothing is learned.
AT_ONCE = 64


def load_encoder(base: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a pretrained encoder in fp32 and its tokenizer.

    Raises ModelError where there is no such encoder, or it is no encoder alone.
    """
    logging.disable_progress_bar()
    name = str(minilm_folder()) if base == MINILM else base
    try:
        config = AutoConfig.from_pretrained(name)
        with _quietly(), readable_weights(name):
            tokenizer = AutoTokenizer.from_pretrained(name, config=config)
            body = AutoModel.from_pretrained(name, config=config, dtype=torch.float32, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The base {base!r} cannot be had: name minilm, a model's folder with safetensors, or one on the hub."
        ) from error
    check_vocabulary(tokenizer, f"The base {base!r}")
    if config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise ModelError(f"The base {base!r} is no encoder: name one such as bert-base-uncased.")
    return _without_pooler(body), tokenizer


def encoder_of(model_type: str, **sizes: object) -> PreTrainedModel:
    """Return an encoder of a saved config with random weights, to be given those that were saved."""
    return _without_pooler(AutoModel.from_config(AutoConfig.for_model(model_type, **sizes), dtype=torch.float32))


def _without_pooler(body: PreTrainedModel) -> PreTrainedModel:
    """Take away the layer over the first token that some bases have, some lack, and nothing here reads."""
    if getattr(body, "pooler", None) is not None:
        body.register_module("pooler", None)
    return body


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence warnings of transformers within the block that do not concern the user.

    Such as a base that has more or fewer layers than the encoder alone, or a tokenizer that truncates pairs of texts.
    """
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the tokenizer's files into a MODEL folder; its parts share them."""
    tokenizer.save_pretrained(folder)
    if not tokenizer.is_fast:
        # The files that it was read from: transformers 5.23 writes BERTweet's merges without their counts, and then
        # reads them as if the counts were there.
        for key, name in tokenizer.vocab_files_names.items():
            shutil.copyfile(getattr(tokenizer, key), folder / name)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Read them back; raises ModelError where they cannot be read."""
    with _quietly():
        return read_tokenizer(folder)


def longest_text(body: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Return how many tokens an encoder reads at most, those that stand between texts included."""
    places = getattr(body.config, "max_position_embeddings", tokenizer.model_max_length)
    # RoBERTa's kind counts places from behind the number of the padding.
    padding = getattr(getattr(body, "embeddings", None), "padding_idx", None)
    return min(tokenizer.model_max_length, places - (0 if padding is None else padding + 1))


def tokens_of(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], longest: int) -> Tokens:
    """Return a text, or two, as tokens, the longer text truncated first; `second` [T] says which are the second's."""
    with _quietly():
        found = tokenizer(*texts, truncation="longest_first", max_length=longest, return_special_tokens_mask=True)
    if tokenizer.is_fast:
        second = [place == 1 for place in found.sequence_ids()]
    else:
        second = _second_of(found["special_tokens_mask"])
    return dict(found) | {"second": second}


def _second_of(special: Sequence[int]) -> list[bool]:
    """Return which tokens are the second text's, of which are special: the second run of those that are not."""
    starts = [place for place in range(1, len(special)) if special[place - 1] and not special[place]]
    return [len(starts) > 1 and place >= starts[1] and not special[place] for place in range(len(special))]


def groups_of_like_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of rows that are read together, the shortest first."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return (order[first : first + AT_ONCE] for first in range(0, len(order), AT_ONCE))


def padded(
    rows: Sequence[Tokens], tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, device: str | torch.device
) -> dict[str, Tensor]:
    """Return what an encoder takes, [B, T] each, of rows that its tokenizer made."""
    width = max(len(row["input_ids"]) for row in rows)
    fills = {"input_ids": tokenizer.pad_token_id, "attention_mask": 0}
    if getattr(config, "type_vocab_size", 0) > 1 and "token_type_ids" in rows[0]:
        fills["token_type_ids"] = 0
    return {
        name: torch.tensor([[*row[name], *[fill] * (width - len(row[name]))] for row in rows], device=device)
        for name, fill in fills.items()
    }


def read_states(body: PreTrainedModel, inputs: dict[str, Tensor]) -> Tensor:
    """Return an encoder's last states, [B, T, H]; on a CPU by the attention that XS was sped up with."""
    mask = inputs["attention_mask"]
    if mask.device.type == "cpu" and getattr(body, "_supports_attention_backend", False):
        if body.config._attn_implementation != CPU_ATTENTION:
            body.set_attn_implementation(CPU_ATTENTION)
        inputs = inputs | {"attention_mask": torch.where(mask > 0, 0.0, NEVER)[:, None, None]}
    return body(**inputs).last_hidden_state


def mean_states(states: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of states [B, T, H] over the places of a mask [B, T], [B, H]; 0 where it has none."""
    weights = mask.to(states.dtype)[:, :, None]
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1.0)


class Reader(nn.Module):
    """MiniLM as a reader of single texts: the mean of its states, of length 1, as it was trained to give."""

    MAX_TOKENS = 64

    def __init__(self, device: str = "cpu"):
        super().__init__()
        self.body, self.tokenizer = load_encoder(MINILM)
        self.to(device).eval()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return [texts, H] on the CPU; texts of similar length are read together."""
        device = next(self.parameters()).device
        rows = [self.tokenizer(text, truncation=True, max_length=self.MAX_TOKENS) for text in texts]
        found = torch.zeros(len(rows), self.body.config.hidden_size)
        for places in groups_of_like_length([len(row["input_ids"]) for row in rows]):
            inputs = padded([rows[place] for place in places], self.tokenizer, self.body.config, device)
            means = mean_states(read_states(self.body, inputs), inputs["attention_mask"])
            found[places] = nn.functional.normalize(means, dim=-1).cpu()
        return found
