"""Asking a causal or encoder-decoder model through transformers.

A closed question is answered in one forward pass, by the candidates' shares where they part (`trie.py`); attribute
values are written into a frame of JSON, free text until the end token. Padding changes nothing, so a row's answer
does not depend on its batch.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from ecellm.dataset.dataset import Asked
from ecellm.inference.alike import alike
from ecellm.inference.beginnings import shared_beginnings
from ecellm.inference.causal import Causal
from ecellm.inference.closed import NEAR, NEAR_IN_HALF, candidates_of, closed_reply
from ecellm.inference.generator import Decoding, Question, Reply
from ecellm.inference.trie import Trie, trie_of
from ecellm.inference.two_sided import TwoSided
from ecellm.inference.writing import FreeText, Values, Vocabulary, write
from ecellm.models.folder import read_facts
from ecellm.models.loading import load_model
from ecellm.models.precision import FP32, lower_precision
from ecellm.prompts import Prompt, Template, encode_response, end_token, render_all
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import Triples

#: Memory for the keys and values of answers that are written together.
KEPT_BYTES = 6 * 2**30


class TransformersGenerator:
    """A causal or encoder-decoder model, whole or with an adapter."""

    def __init__(self, model: Any, tokenizer: Any, facts: Mapping[str, Any], decoding: Decoding | None = None):
        """Take a model in evaluation mode that attends by torch's own attention, and the facts of its folder.

        Raises ValueError where an encoder-decoder does not say what its answers begin with.
        """
        self.tokenizer = tokenizer
        self.decoding = decoding or Decoding()
        self.budget = int(facts["recipe"]["max_tokens"])
        self.template = Template.model_validate(facts["template"])
        self.offsets: dict[str, list[float]] = facts.get("offsets", {})
        self.temperatures: dict[str, float] = facts.get("temperatures", {})
        self.end = end_token(self.tokenizer)
        pad = self.tokenizer.pad_token_id
        self.reader: Causal | TwoSided
        if model.config.is_encoder_decoder:
            start = model.config.decoder_start_token_id
            if start is None:
                raise ValueError("The model's config.json names no decoder_start_token_id: it cannot predict.")
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

        Raises ValueError where the model cannot predict, or not in that precision.
        """
        decoding = decoding or Decoding()
        facts = read_facts(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = load_model(folder, torch.float32 if device == "cpu" else "auto").to(device).eval()
        generator = cls(model, tokenizer, facts, decoding)
        if decoding.precision != FP32:
            if model.config.is_encoder_decoder:
                raise ValueError(
                    "--precision is for XS and causal models; this one is an encoder-decoder: leave it out."
                )
            lower_precision(model, decoding.precision, keep=model.get_output_embeddings())
            generator.near = NEAR_IN_HALF
        return generator

    @property
    def model(self) -> Any:
        """The model itself."""
        return self.reader.model

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the prompts, within the token budget that the model was tuned with."""
        return render_all(asked, self.template, self.tokenizer, self.budget)

    @torch.inference_mode()
    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer a batch, in order."""
        replies: dict[int, Reply] = {}
        samples = [question.asked.sample for question in questions]
        closed = [row for row, sample in enumerate(samples) if not self.decoding.free and candidates_of(sample)]
        if closed:
            for row, logs in zip(closed, self._score([questions[row] for row in closed]), strict=True):
                replies[row] = closed_reply(samples[row], logs, self.offsets, self.temperatures, self.near)
        writing = [row for row in range(len(questions)) if row not in replies]
        most = self._rows_at_once([questions[row] for row in writing])
        for first in range(0, len(writing), most):
            part = writing[first : first + most]
            replies.update(zip(part, self._write([questions[row] for row in part]), strict=True))
        return [replies[row] for row in range(len(questions))]

    def _score(self, questions: Sequence[Question]) -> list[list[float]]:
        """Return the log-probability of every candidate of every question."""
        tries = [self._trie(candidates_of(question.asked.sample) or ()) for question in questions]
        prompts = [question.prompt.ids for question in questions]
        one_way = isinstance(self.reader, Causal)
        shared = shared_beginnings([question.prompt for question in questions]) if one_way else [0] * len(prompts)
        found: dict[int, list[float]] = {}
        for branching in (False, True):  # only trees need a mask
            rows = [row for row, trie in enumerate(tries) if trie.branches == branching]
            lengths = [len(prompts[row]) - shared[row] + len(tries[row].fed) for row in rows]
            for group in alike(lengths, self.reader.device.type):
                some = [rows[place] for place in group]
                logits = self.reader.fork_logits(
                    [prompts[row] for row in some], [tries[row] for row in some], [shared[row] for row in some]
                )
                found.update((row, _scores(tries[row], one)) for row, one in zip(some, logits, strict=True))
        return [found[row] for row in range(len(questions))]

    def _trie(self, candidates: tuple[str, ...]) -> Trie:
        if candidates not in self._tries:
            if len(self._tries) >= MOST_TRIES:
                self._tries.clear()
            self._tries[candidates] = trie_of([encode_response(text, self.tokenizer) for text in candidates])
        return self._tries[candidates]

    def _rows_at_once(self, questions: Sequence[Question]) -> int:
        """Return how many of the rows may be written together, so that their keys and values fit."""
        config = self.model.config.get_text_config()
        layers = config.num_hidden_layers * (2 if config.is_encoder_decoder else 1)
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        longest = max((len(question.prompt.ids) for question in questions), default=0) + self.decoding.most_tokens
        return max(1, KEPT_BYTES // (2 * layers * heads * size * self.model.dtype.itemsize * longest))

    def _write(self, questions: Sequence[Question]) -> list[Reply]:
        """Return written answers."""
        writers = [self._writer(question.asked.sample) for question in questions]
        prompts = [question.prompt.ids for question in questions]
        if isinstance(self.reader, Causal):
            prompts = [[*prompt, *writer.start] for prompt, writer in zip(prompts, writers, strict=True)]
        write(self.reader.begin(prompts), writers)
        return [
            Reply(
                writer.text if isinstance(writer, Values) else self._decoded(writer.ids),
                near_tie=writer.margin < self.near,
            )
            for writer in writers
        ]

    def _writer(self, sample: Sample) -> FreeText | Values:
        answer = TASKS[sample.task].answer
        if isinstance(answer, Triples) and not self.decoding.free:
            return Values(answer.attributes(sample), answer.sources(sample), self._vocabulary)
        return FreeText(self.decoding, self.end, sample.id)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.tokenizer, self.reader.device)

    def _decoded(self, ids: Sequence[int]) -> str:
        return self.template.answer(self.tokenizer.decode(ids, skip_special_tokens=True))


#: Sets of candidates whose tokens are kept: most tasks have one for all questions, SR as many as questions.
MOST_TRIES = 1000


def _scores(trie: Trie, logits: Tensor) -> list[float]:
    """Return each candidate's log-probability, given the logits of the forks [forks, V]."""
    logs = [
        logits[number, list(fork.tokens)].double().log_softmax(-1).tolist() for number, fork in enumerate(trie.forks)
    ]
    return trie.scores(logs)
