"""Inference with XS: candidate scoring in one pass, values as spans, free text quoted or by greedy decoding."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ecellm.models.base import Decoding, Reply, Request
from ecellm.models.calibration.applying import NEAR, NEAR_IN_HALF, candidate_reply
from ecellm.models.decoding.batching import packed_groups
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.decoding.kv_cache import BatchCache, RowCache, batch_cache, row_cache
from ecellm.models.folder import ModelInfo, read_info
from ecellm.models.masking import padded
from ecellm.models.precision import FP32, lower_precision
from ecellm.models.xs.examples import (
    RANKING,
    SPANS,
    TEXT,
    EncodedExample,
    add_lexical,
    encode_question,
    field_marks,
)
from ecellm.models.xs.lexical import Lexical, LexicalScores
from ecellm.models.xs.lexical.pooling import EVEN, pooled
from ecellm.models.xs.model import XSModel, make_batch
from ecellm.models.xs.quotes import best_snippet
from ecellm.models.xs.shortening import without_punctuation
from ecellm.models.xs.spans import value_spans
from ecellm.models.xs.tokenizer import XSTokenizer
from ecellm.prompts import Prompt, Tokenizer, end_token, render_all
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS, NONE
from ecellm.tasks.metrics import Floats
from ecellm.types import Question


class XSGenerator:
    """A tuned XS, in fp32 so that the same answers come whatever the batch, unless another precision is chosen."""

    def __init__(
        self,
        model: XSModel,
        tokenizer: Tokenizer,
        info: ModelInfo,
        lexical: LexicalScores | None = None,
        max_new_tokens: int = 100,
    ):
        """Take a model in evaluation mode, its description, and its linear models of words, where it has them."""
        self.model = model
        self.tokenizer = tokenizer
        assert info.template is not None
        self.budget = info.recipe.max_tokens
        self.template = info.template
        self.offsets = info.offsets
        self.temperatures = info.temperatures
        self.lexical = lexical or LexicalScores({})
        self.pools = info.pools
        self.max_new_tokens = min(max_new_tokens, info.recipe.max_response_tokens)
        self.device = model.device
        self.near = NEAR

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu", decoding: Decoding | None = None) -> "XSGenerator":
        """Load a tuned XS; raises ModelError where its files are not those that were tuned."""
        decoding = decoding or Decoding()
        info = read_info(folder)
        tokenizer, model = XSTokenizer.load(folder), XSModel.load(folder).to(device)
        lexical = LexicalScores.load(folder, info.lexical)
        generator = cls(model, tokenizer, info, lexical, decoding.max_new_tokens)
        if decoding.precision != FP32:
            lower_precision(model.bert, decoding.precision)
            generator.near = NEAR_IN_HALF
        return generator

    def prompts(self, questions: Sequence[Question]) -> list[Prompt]:
        """Return the prompts, within the token budget that the model was tuned with."""
        return render_all(questions, self.template, self.tokenizer, self.budget)

    @torch.inference_mode()
    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Answer a batch, in order."""
        found = self.lexical.read([request.question.example for request in requests])
        examples = [self._encoded(request, scores) for request, scores in zip(requests, found, strict=True)]
        replies: list[Reply | None] = [None] * len(requests)
        pointing, writing = [], []
        for row, example in enumerate(examples):
            if example.kind != TEXT or example.has_candidates:
                pointing.append(row)
            # A long question may leave the prompt no room for snippets: then the linear model chooses alone.
            elif quoted := best_snippet(requests[row].question.example, found[row].candidates):
                replies[row] = Reply(quoted)
            else:
                writing.append(row)
        for group in packed_groups([len(examples[row].ids) for row in pointing], self.device.type):
            self._point(requests, examples, [pointing[place] for place in group], replies)
        if writing:
            texts = self._write([examples[row] for row in writing])
            for row, text in zip(writing, texts, strict=True):
                replies[row] = Reply(text)
        assert all(reply is not None for reply in replies)
        return [reply for reply in replies if reply is not None]

    def _encoded(self, request: Request, scores: Lexical) -> EncodedExample:
        example = encode_question(request.question, request.prompt, self.tokenizer)
        add_lexical(example, request.prompt, scores, self.tokenizer)
        return without_punctuation(example, request.prompt, self.tokenizer)

    def _point(
        self,
        requests: Sequence[Request],
        examples: Sequence[EncodedExample],
        rows: list[int],
        replies: list[Reply | None],
    ) -> None:
        """Set the replies of multiple-choice questions, rankings and attribute values, and of free text that is
        quoted."""
        chosen = [examples[row] for row in rows]
        batch = make_batch(chosen, self._pad, self.device)
        states = pad_sequence(self.model.prompt_states(chosen), batch_first=True)
        answers = self.model.answer_states(states, batch)
        scored = [place for place, example in enumerate(chosen) if example.has_candidates]
        if scored:
            scores = self.model.option_scores(states, answers, batch, scored).cpu().numpy()
            for place, row_scores in zip(scored, scores, strict=True):
                real = row_scores[: len(chosen[place].tokens)].astype(np.float64)
                replies[rows[place]] = self._choose(requests[rows[place]].question, chosen[place], real)
        for place, example in enumerate(chosen):
            if example.kind == SPANS:
                start, end = self.model.span_scores(states, answers, batch, place)
                row = rows[place]
                replies[row] = self._triples(requests[row], example, start.cpu(), end.cpu())

    def _choose(self, question: Question, example: EncodedExample, scores: Floats) -> Reply:
        scores = np.array(pooled(scores.tolist(), example.lexical, self.pools.get(example.task, EVEN)))
        logs = scores.tolist()
        if example.kind == TEXT:
            return Reply(best_snippet(question.example, logs))
        if example.kind == RANKING:
            orders = [
                [LETTERS.index(letter) for letter in order.split(",")]
                for order in candidates_of(question.example) or ()
            ]
            logs = [plackett_luce(scores[order]) for order in orders]
        return candidate_reply(question.example, logs, self.offsets, self.temperatures, self.near)

    def _triples(self, request: Request, example: EncodedExample, start: Tensor, end: Tensor) -> Reply:
        """Return the triples of each target attribute: one for each span found, or None."""
        answer = TASKS[example.task].answer
        places = self.tokenizer(request.prompt.text, return_offsets_mapping=True).offset_mapping
        triples: list[dict[str, str]] = []
        for row, attribute in enumerate(answer.attributes(request.question.example)):
            found = [
                (
                    _unescaped(request.prompt.text[places[first][0] : places[last][1]]).lower(),
                    _field(request.prompt, first),
                )
                for first, last in (
                    (example.places[first], example.places[after - 1])
                    for first, after in value_spans(start[row], end[row], example.fields)
                )
            ]
            for value, source in dict.fromkeys(found or [(NONE, NONE)]):
                triples.append({"attribute": attribute.lower(), "value": value, "source": source})
        return Reply(answer.print(triples, request.question.example))

    def _write(self, examples: Sequence[EncodedExample]) -> list[str]:
        """Generate free texts greedily."""
        return self._decode(examples, *self._read(examples))

    def _decode(
        self, examples: Sequence[EncodedExample], cache: BatchCache, copied: Tensor, here: Tensor
    ) -> list[str]:
        """Generate token by token behind prompts that were read, as `_read` returns them."""
        ids = padded([example.ids for example in examples], self._pad, self.device)
        places = torch.tensor([len(example.ids) for example in examples], device=self.device)
        inside = torch.arange(ids.shape[1], device=self.device) < places[:, None]
        seen = inside
        written: list[Tensor] = []
        end = end_token(self.tokenizer)
        done = torch.zeros(len(examples), dtype=torch.bool, device=self.device)
        for place in range(self.max_new_tokens):
            # No question is answered by nothing, so the first word is not the end token.
            excluded = end if place == 0 else None
            word = self.model.word_scores(copied, here[:, None], ids, inside).best(excluded)[:, 0]
            word = torch.where(done, end, word)
            written.append(word)
            done = done | (word == end)
            if bool(done.all()):
                break
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
            here = self.model.next_states(word, places, seen, cache)
            places = places + 1
        rows = torch.stack(written, 1).tolist()
        return [str(self.tokenizer.decode(row, skip_special_tokens=True)).strip() for row in rows]

    def _read(self, examples: Sequence[EncodedExample]) -> tuple[BatchCache, Tensor, Tensor]:
        """Read prompts; returns the KV cache of all, the copy pointer's keys [N, T, H], and the states [N, H] of the
        prompts' last tokens."""
        lengths = [len(example.ids) for example in examples]
        reads: list[RowCache] = [[]] * len(examples)
        copied, last = [torch.empty(0)] * len(examples), [torch.empty(0)] * len(examples)
        for group in packed_groups(lengths, self.device.type):
            cache: BatchCache = []
            begins = 0
            for row, states in zip(
                group, self.model.prompt_states([examples[row] for row in group], cache), strict=True
            ):
                reads[row] = row_cache(cache, 0, lengths[row], begins)
                copied[row], last[row] = self.model.copy_pointer.key(states), states[-1]
                begins += lengths[row]
        return batch_cache(reads, self.max_new_tokens), pad_sequence(copied, batch_first=True), torch.stack(last)

    @property
    def _pad(self) -> int:
        return self.tokenizer.pad_token_id or 0


def plackett_luce(ordered: Floats) -> float:
    """Return the log-probability of choosing items of these scores in this order, best first."""
    rest = np.logaddexp.accumulate(ordered[::-1])[::-1]
    return float((ordered - rest).sum())


def _field(prompt: Prompt, place: int) -> str:
    """Return the name of the field that a token stands in, in lower case."""
    return next(mark.name.lower() for mark in field_marks(prompt) if mark.start <= place < mark.end)


def _unescaped(text: str) -> str:
    """Return the text that a piece of a JSON string stands for; one truncated inside an escape stays as it is."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
