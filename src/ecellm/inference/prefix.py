"""Asking XS: closed answers by scoring the candidates in one pass, values as spans, free text greedily."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoTokenizer, Cache
from transformers.utils import logging

from ecellm.dataset.dataset import Asked
from ecellm.inference.alike import end_to_end
from ecellm.inference.causal import padded
from ecellm.inference.closed import NEAR, NEAR_IN_HALF, candidates_of, closed_reply
from ecellm.inference.generator import Decoding, Question, Reply
from ecellm.inference.roomy import Read, begun_cache, read_of, roomy_cache
from ecellm.models.examples import CHOICE, RANKING, SPANS, TEXT, Example, add_lexical, field_marks, question
from ecellm.models.folder import read_facts
from ecellm.models.lexical import LexicalScores
from ecellm.models.lexical.pooling import EVEN, pooled
from ecellm.models.precision import FP32, lower_precision
from ecellm.models.prefix_lm import PrefixLM, make_batch
from ecellm.models.row_attention import ROW_ATTENTION
from ecellm.models.spans import NEVER, value_spans
from ecellm.prompts import Prompt, Template, render_all
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS, NONE, Triples


class PrefixGenerator:
    """A tuned XS, in fp32 so that the same answers come whatever the batch, unless another precision is chosen."""

    def __init__(
        self,
        model: PrefixLM,
        tokenizer: Any,
        facts: Mapping[str, Any],
        lexical: LexicalScores | None = None,
        most_tokens: int = 100,
    ):
        """Take a model in evaluation mode that attends by ROW_ATTENTION, the facts of its folder, and its linear
        models of words, where it has them."""
        self.model = model
        self.tokenizer = tokenizer
        self.recipe = facts["recipe"]
        self.template = Template.model_validate(facts["template"])
        self.offsets: dict[str, list[float]] = facts.get("offsets", {})
        self.temperatures: dict[str, float] = facts.get("temperatures", {})
        self.lexical = lexical or LexicalScores({})
        self.pools: dict[str, list[float]] = facts.get("pools", {})
        self.most_tokens = min(most_tokens, self.recipe["max_response_tokens"])
        self.device = model.device
        self.near = NEAR

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu", decoding: Decoding | None = None) -> "PrefixGenerator":
        """Load a tuned XS; raises ValueError for a way of decoding that it does not have."""
        decoding = decoding or Decoding()
        if decoding.free or decoding.temperature:
            raise ValueError(
                "XS chooses closed answers and writes greedily: ask it without free decoding and temperature."
            )
        facts = read_facts(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        logging.disable_progress_bar()
        model = PrefixLM.from_pretrained(folder, dtype=torch.float32).to(device).eval()  # type: ignore[arg-type]
        model.set_attn_implementation(ROW_ATTENTION)
        lexical = LexicalScores.load(folder, facts.get("lexical", {}))
        generator = cls(model, tokenizer, facts, lexical, decoding.most_tokens)
        if decoding.precision != FP32:
            lower_precision(model.bert, decoding.precision)
            generator.near = NEAR_IN_HALF
        return generator

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the prompts, within the token budget that the model was tuned with."""
        return render_all(asked, self.template, self.tokenizer, self.recipe["max_tokens"])

    @torch.inference_mode()
    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer a batch, in order."""
        examples = [question(one.asked, one.prompt, self.tokenizer) for one in questions]
        found = self.lexical.read([one.asked.sample for one in questions])
        for example, one, scores in zip(examples, questions, found, strict=True):
            add_lexical(example, one.prompt, scores, self.tokenizer)
        replies: list[Reply | None] = [None] * len(questions)
        closed = [row for row, example in enumerate(examples) if example.kind != TEXT]
        for group in end_to_end([len(examples[row].ids) for row in closed], self.device.type):
            self._closed(questions, examples, [closed[place] for place in group], replies)
        writing = [row for row, example in enumerate(examples) if example.kind == TEXT]
        if writing:
            texts = self._write([examples[row] for row in writing])
            for row, text in zip(writing, texts, strict=True):
                replies[row] = Reply(text)
        assert all(reply is not None for reply in replies)
        return [reply for reply in replies if reply is not None]

    def _closed(
        self,
        questions: Sequence[Question],
        examples: Sequence[Example],
        rows: list[int],
        replies: list[Reply | None],
    ) -> None:
        chosen = [examples[row] for row in rows]
        batch = make_batch(chosen, self._pad, self.device)
        states = pad_sequence(self.model.prompt_states(chosen), batch_first=True)
        answers = self.model.answer_states(states, batch)
        scored = [place for place, example in enumerate(chosen) if example.kind in (CHOICE, RANKING)]
        if scored:
            scores = self.model.option_scores(states, answers, batch, scored).cpu().numpy()
            for place, row_scores in zip(scored, scores, strict=True):
                asked = questions[rows[place]].asked
                real = row_scores[: len(chosen[place].tokens)].astype(np.float64)
                replies[rows[place]] = self._choose(asked, chosen[place], real)
        for place, example in enumerate(chosen):
            if example.kind == SPANS:
                start, end = self.model.span_scores(states, answers, batch, place)
                row = rows[place]
                replies[row] = self._triples(questions[row], example, start.cpu(), end.cpu())

    def _choose(self, asked: Asked, example: Example, scores: np.ndarray[Any, Any]) -> Reply:
        scores = np.array(pooled(scores.tolist(), example.lexical, self.pools.get(example.task, EVEN)))
        logs = scores.tolist()
        if example.kind == RANKING:
            orders = [
                [LETTERS.index(letter) for letter in order.split(",")] for order in candidates_of(asked.sample) or ()
            ]
            logs = [plackett_luce(scores[order]) for order in orders]
        return closed_reply(asked.sample, logs, self.offsets, self.temperatures, self.near)

    def _triples(self, one: Question, example: Example, start: Tensor, end: Tensor) -> Reply:
        """Return the triples of each target attribute: one for each span found, or None."""
        sample = one.asked.sample
        answer = TASKS[sample.task].answer
        assert isinstance(answer, Triples)
        places = self.tokenizer(one.prompt.text, return_offsets_mapping=True).offset_mapping
        triples: list[dict[str, str]] = []
        for row, attribute in enumerate(answer.attributes(sample)):
            found = [
                (
                    _unescaped(one.prompt.text[places[first][0] : places[after - 1][1]]).lower(),
                    _field(one.prompt, first),
                )
                for first, after in value_spans(start[row], end[row], example.fields)
            ]
            for value, source in dict.fromkeys(found or [(NONE, NONE)]):
                triples.append({"attribute": attribute.lower(), "value": value, "source": source})
        return Reply(answer.print(triples, sample))

    def _write(self, examples: Sequence[Example]) -> list[str]:
        """Write free texts greedily."""
        return self._go_on(examples, *self._read(examples))

    def _go_on(self, examples: Sequence[Example], cache: Cache, copied: Tensor, here: Tensor) -> list[str]:
        """Write word by word behind prompts that were read, as `_read` returns them."""
        ids = padded([example.ids for example in examples], self._pad, self.device)
        places = torch.tensor([len(example.ids) for example in examples], device=self.device)
        inside = torch.arange(ids.shape[1], device=self.device) < places[:, None]
        seen = inside
        written: list[Tensor] = []
        done = torch.zeros(len(examples), dtype=torch.bool, device=self.device)
        for _ in range(self.most_tokens):
            word = self.model.word_scores(copied, here[:, None], ids, inside).best()[:, 0]
            word = torch.where(done, self.tokenizer.sep_token_id, word)
            written.append(word)
            done = done | (word == self.tokenizer.sep_token_id)
            if bool(done.all()):
                break
            seen = torch.cat([seen, torch.ones_like(seen[:, :1])], 1)
            here = self.model.bert(
                word[:, None],
                attention_mask=torch.where(seen, 0.0, NEVER)[:, None, None],
                token_type_ids=torch.ones_like(word[:, None]),
                position_ids=places[:, None],
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, 0]
            places = places + 1
        return [
            self.tokenizer.decode(row, skip_special_tokens=True).strip() for row in torch.stack(written, 1).tolist()
        ]

    def _read(self, examples: Sequence[Example]) -> tuple[Cache, Tensor, Tensor]:
        """Read prompts: a cache of all, the copy pointer's keys [N, T, H], and the states [N, H] of the prompts' last
        tokens."""
        lengths = [len(example.ids) for example in examples]
        reads: list[Read] = [[]] * len(examples)
        copied, last = [torch.empty(0)] * len(examples), [torch.empty(0)] * len(examples)
        for group in end_to_end(lengths, self.device.type):
            cache = roomy_cache()
            begins = 0
            for row, states in zip(
                group, self.model.prompt_states([examples[row] for row in group], cache), strict=True
            ):
                reads[row] = read_of(cache, 0, lengths[row], begins)
                copied[row], last[row] = self.model.copy_pointer.key(states), states[-1]
                begins += lengths[row]
        return begun_cache(reads, self.most_tokens), pad_sequence(copied, batch_first=True), torch.stack(last)

    @property
    def _pad(self) -> int:
        return int(self.tokenizer.pad_token_id)


def plackett_luce(ordered: np.ndarray[Any, Any]) -> float:
    """Return the log-probability of choosing items of these scores in this order, best first."""
    rest = np.logaddexp.accumulate(ordered[::-1])[::-1]
    return float((ordered - rest).sum())


def _field(prompt: Prompt, place: int) -> str:
    """Return the name of the field that a token stands in, in lower case."""
    return next(mark.name.lower() for mark in field_marks(prompt) if mark.start <= place < mark.end)


def _unescaped(text: str) -> str:
    """Return the text that a piece of a JSON string stands for; one cut inside an escape stays as it is."""
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
