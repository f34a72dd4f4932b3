"""Inference with a causal or encoder-decoder model through transformers.

Multiple-choice questions take one forward pass of candidate scoring (`trie.py`); attribute values are generated into
a frame of JSON, free text until the end token. Padding changes nothing, so a row's answer does not depend on its
batch.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ecellm.errors import ModelError
from ecellm.models.base import Chat, ChatReply, Decoding, Reply, Request
from ecellm.models.calibration.applying import NEAR, NEAR_IN_HALF, candidate_reply
from ecellm.models.decoding.batching import padded_groups
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.decoding.generation import FreeTextWriter, TriplesWriter, Vocabulary, write
from ecellm.models.decoding.shared_prefix import shared_prefixes
from ecellm.models.decoding.trie import Trie, trie_of
from ecellm.models.folder import ModelInfo, read_info
from ecellm.models.model_files import read_tokenizer
from ecellm.models.precision import FP32, lower_precision
from ecellm.models.transformers.causal_lm import Causal
from ecellm.models.transformers.chat import ChatWriter, prompt_tokens
from ecellm.models.transformers.pretrained import load_model
from ecellm.models.transformers.seq2seq import TwoSided
from ecellm.prompts import Prompt, encode_response, end_token, render_all
from ecellm.tasks import TASKS
from ecellm.types import Example, Question

#: Memory for the KV cache of answers that are generated together.
CACHE_BYTES = 6 * 2**30


class TransformersGenerator:
    """A causal or encoder-decoder model, whole or with an adapter."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        info: ModelInfo,
        decoding: Decoding | None = None,
    ):
        """Take a model in evaluation mode that attends by torch's own attention, and its description.

        Raises ModelError where an encoder-decoder names no decoder start token.
        """
        self.tokenizer = tokenizer
        self.decoding = decoding or Decoding()
        assert info.template is not None
        self.budget = info.recipe.max_tokens
        self.template = info.template
        self.offsets = info.offsets
        self.temperatures = info.temperatures
        self.end = end_token(self.tokenizer)
        pad = self.tokenizer.pad_token_id
        self.reader: Causal | TwoSided
        if model.config.is_encoder_decoder:
            start = model.config.decoder_start_token_id
            if start is None:
                raise ModelError("The model's config.json names no decoder_start_token_id: it cannot predict.")
            self.reader = TwoSided(model, self.end if pad is None else int(pad), start)
        else:
            self.reader = Causal(model, self.end if pad is None else int(pad))
        self.near = NEAR if model.dtype == torch.float32 else NEAR_IN_HALF
        self._tries: dict[tuple[str, ...], Trie] = {}

    @classmethod
    def from_folder(
        cls, folder: Path, device: str = "cpu", decoding: Decoding | None = None
    ) -> "TransformersGenerator":
        """Load a model, an adapter merged into its base.

        On an accelerator it keeps the precision of its weights; on a CPU it is in fp32 unless another is chosen.

        Raises ModelError where the model cannot predict, or not in that precision.
        """
        decoding = decoding or Decoding()
        info = read_info(folder)
        tokenizer = read_tokenizer(folder)
        model = load_model(folder, torch.float32 if device == "cpu" else "auto")
        module: nn.Module = model  # whose `to` says what it takes
        module.to(device).eval()
        generator = cls(model, tokenizer, info, decoding)
        if decoding.precision != FP32:
            lower_precision(model, decoding.precision, keep=model.get_output_embeddings())
            generator.near = NEAR_IN_HALF
        return generator

    @property
    def model(self) -> PreTrainedModel:
        """The model itself."""
        return self.reader.model

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the prompts, within the token budget that the model was tuned with."""
        return render_all(questions, self.template, self.tokenizer, self.budget)

    @torch.inference_mode()
    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch, in order."""
        replies: dict[int, Reply] = {}
        examples = [request.question.example for request in requests]
        scored = [row for row, example in enumerate(examples) if not self.decoding.free and candidates_of(example)]
        if scored:
            for row, logs in zip(scored, self._score([requests[row] for row in scored]), strict=True):
                replies[row] = candidate_reply(examples[row], logs, self.offsets, self.temperatures, self.near)
        writing = [row for row in range(len(requests)) if row not in replies]
        most = self._rows_at_once([len(requests[row].prompt.ids) for row in writing])
        for first in range(0, len(writing), most):
            part = writing[first : first + most]
            replies.update(zip(part, self._write([requests[row] for row in part]), strict=True))
        return [replies[row] for row in range(len(requests))]

    def _score(self, requests: Sequence[Request]) -> list[list[float]]:
        """Return the log-probability of every candidate of every question."""
        tries = [self._trie(candidates_of(request.question.example) or ()) for request in requests]
        prompts = [request.prompt.ids for request in requests]
        one_way = isinstance(self.reader, Causal)
        shared = shared_prefixes([request.prompt for request in requests]) if one_way else [0] * len(prompts)
        found: dict[int, list[float]] = {}
        for branching in (False, True):  # only trees need a mask
            rows = [row for row, trie in enumerate(tries) if trie.branches == branching]
            lengths = [len(prompts[row]) - shared[row] + len(tries[row].fed) for row in rows]
            for group in padded_groups(lengths, self.reader.device.type):
                some = [rows[place] for place in group]
                logits = self.reader.fork_logits(
                    [prompts[row] for row in some], [tries[row] for row in some], [shared[row] for row in some]
                )
                found.update((row, _scores(tries[row], one)) for row, one in zip(some, logits, strict=True))
        return [found[row] for row in range(len(requests))]

    def _trie(self, candidates: tuple[str, ...]) -> Trie:
        if candidates not in self._tries:
            if len(self._tries) >= MAX_TRIES:
                self._tries.clear()
            self._tries[candidates] = trie_of([encode_response(text, self.tokenizer) for text in candidates])
        return self._tries[candidates]

    def chat_prompt(self, chat: Chat) -> list[int]:
        """Return the tokens of a chat; raises ModelError and DataError as `Chatting` says."""
        return prompt_tokens(chat, self.tokenizer, self._most_tokens)

    @torch.inference_mode()
    def chat(self, chats: Sequence[Chat], prompts: Sequence[list[int]]) -> list[ChatReply]:
        """Complete chats together, in order."""
        writers = [
            ChatWriter(chat, self.end, self.tokenizer, self._most_tokens - len(prompt))
            for chat, prompt in zip(chats, prompts, strict=True)
        ]
        most = self._rows_at_once(list(map(len, prompts)), max(chat.decoding.max_new_tokens for chat in chats))
        for first in range(0, len(chats), most):
            some = slice(first, first + most)
            write(self.reader.begin(prompts[some]), writers[some])
        return [writer.reply(len(prompt)) for writer, prompt in zip(writers, prompts, strict=True)]

    @property
    def _most_tokens(self) -> int:
        """The most tokens of a prompt and its completion."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", None) or self.budget)

    def _rows_at_once(self, lengths: Sequence[int], new: int | None = None) -> int:
        """Return how many prompts of these lengths may be answered together by `new` tokens each (None: as many as
        an answer may have), so that their KV cache fits."""
        config = self.model.config.get_text_config()
        layers = config.num_hidden_layers * (2 if config.is_encoder_decoder else 1)
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        longest = max(lengths, default=0) + (self.decoding.max_new_tokens if new is None else new)
        return max(1, CACHE_BYTES // (2 * layers * heads * size * self.model.dtype.itemsize * longest))

    def _write(self, requests: Sequence[Request]) -> list[Reply]:
        """Generate answers token by token."""
        writers = [self._writer(request.question.example) for request in requests]
        prompts = [request.prompt.ids for request in requests]
        if isinstance(self.reader, Causal):
            prompts = [[*prompt, *writer.start] for prompt, writer in zip(prompts, writers, strict=True)]
        write(self.reader.begin(prompts), writers)
        return [
            Reply(
                writer.text if isinstance(writer, TriplesWriter) else self._decoded(writer.ids),
                near_tie=writer.margin < self.near,
            )
            for writer in writers
        ]

    def _writer(self, example: Example) -> FreeTextWriter | TriplesWriter:
        answer = TASKS[example.task].answer
        if answer.attributes(example) and not self.decoding.free:
            return TriplesWriter(answer.attributes(example), answer.sources(example), self._vocabulary)
        return FreeTextWriter(self.decoding, self.end, example.id)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokenizer, self.reader.device)

    def _decoded(self, ids: list[int]) -> str:
        return self.template.answer(str(self.tokenizer.decode(ids, skip_special_tokens=True)))


#: Sets of candidates whose tries are cached: most tasks have one for all questions, SR as many as questions.
MAX_TRIES = 1000


def _scores(trie: Trie, logits: Tensor) -> list[float]:
    """Return each candidate's log-probability, given the logits of the forks [forks, V]."""
    logs = [
        logits[number, list(fork.tokens)].double().log_softmax(-1).tolist() for number, fork in enumerate(trie.forks)
    ]
    return trie.scores(logs)
