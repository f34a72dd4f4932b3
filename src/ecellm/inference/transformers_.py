"""Asking a causal or encoder-decoder model through transformers.

A closed question is answered by the log-probability of each candidate as a whole response, its end token
included; an open one by greedy decoding. Padding is masked and positions count real tokens only, so a row's
answer does not depend on its batch.

Shapes: B rows, T prompt tokens, R response tokens, V words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, DynamicCache, EncoderDecoderCache, GenerationConfig

from ecellm.dataset.dataset import Asked
from ecellm.inference.closed import candidates_of, closed_reply
from ecellm.inference.generator import Question, Reply
from ecellm.models.folder import read_facts
from ecellm.models.loading import load_model
from ecellm.prompts import Prompt, Template, encode_response, end_token, render_all

#: As in the paper's inference.
MAX_NEW_TOKENS = 100


class TransformersGenerator:
    """A causal or encoder-decoder model, whole or as an adapter on its base; fp32 on a CPU, else in the precision of
    its weights."""

    def __init__(self, folder: Path, device: str = "cpu"):
        facts = read_facts(folder)
        self.budget = int(facts["recipe"]["max_tokens"])
        self.template = Template.model_validate(facts["template"])
        self.offsets: dict[str, list[float]] = facts.get("offsets", {})
        self.device = device
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        loaded = load_model(folder, torch.float32 if device == "cpu" else "auto")
        config = loaded.config
        self.two_sided = bool(config.is_encoder_decoder)
        self.model = loaded.to(device).eval()
        end = end_token(self.tokenizer)
        pad = self.tokenizer.pad_token_id
        self.pad = int(pad) if pad is not None else end
        self.start: int | None = config.decoder_start_token_id if self.two_sided else None
        if self.two_sided and self.start is None:
            raise ValueError(f"{folder}/config.json names no decoder_start_token_id: the model cannot be asked.")
        # The model's own generation settings (sampling, several ends) give way to these.
        self.model.generation_config = GenerationConfig(
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
            eos_token_id=end,
            pad_token_id=self.pad,
            decoder_start_token_id=self.start,
        )

    def prompts(self, asked: Sequence[Asked]) -> list[Prompt]:
        """Return the prompts, within the token budget that the model was tuned with."""
        return render_all(asked, self.template, self.tokenizer, self.budget)

    @torch.inference_mode()
    def reply(self, questions: Sequence[Question]) -> list[Reply]:
        """Answer a batch, in order."""
        candidates = [candidates_of(question.asked.sample) for question in questions]
        replies: dict[int, Reply] = {}
        closed = [row for row, texts in enumerate(candidates) if texts is not None]
        if closed:
            prompts = [questions[row].prompt.ids for row in closed]
            responses = [[encode_response(text, self.tokenizer) for text in candidates[row] or ()] for row in closed]
            for row, logs in zip(closed, self._score(prompts, responses), strict=True):
                replies[row] = closed_reply(questions[row].asked.sample, logs, self.offsets)
        writing = [row for row, texts in enumerate(candidates) if texts is None]
        if writing:
            texts = self._write([questions[row].prompt.ids for row in writing])
            replies.update({row: Reply(text) for row, text in zip(writing, texts, strict=True)})
        return [replies[row] for row in range(len(questions))]

    def _score(self, prompts: Sequence[list[int]], responses: Sequence[Sequence[list[int]]]) -> list[list[float]]:
        """Return the log-probability of every response of every prompt.

        The prompts are read once. The k-th responses of all rows are scored together, and then forgotten.
        """
        score = self._score_two_sided if self.two_sided else self._score_causal
        most = max(len(row) for row in responses)
        # A row with fewer candidates repeats its last one; what that gives is left out again.
        turns = [[row[min(turn, len(row) - 1)] for row in responses] for turn in range(most)]
        columns = score(prompts, turns)
        return [[columns[turn][place] for turn in range(len(row))] for place, row in enumerate(responses)]

    def _score_causal(self, prompts: Sequence[list[int]], turns: Sequence[Sequence[list[int]]]) -> list[list[float]]:
        ids, mask = self._padded(prompts, left=True)
        places = (mask.cumsum(1) - 1).clamp(min=0)
        # Plain layers even for sliding windows: the mask keeps the window, and the cache can be cropped.
        cache = DynamicCache()
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        first = out.logits
        columns = []
        for responses in turns:
            said, said_mask = self._padded(responses, left=False)
            logits = first
            fed = said.shape[1] - 1
            if fed:
                rest = self.model(
                    input_ids=said[:, :-1],
                    attention_mask=torch.cat([mask, said_mask[:, :-1]], 1),
                    position_ids=places[:, -1:] + 1 + torch.arange(fed, device=self.device),
                    past_key_values=cache,
                    use_cache=True,
                ).logits
                cache.crop(-fed)
                logits = torch.cat([first, rest], 1)
            columns.append(_log_probability(logits, said, said_mask))
        return columns

    def _score_two_sided(
        self, prompts: Sequence[list[int]], turns: Sequence[Sequence[list[int]]]
    ) -> list[list[float]]:
        ids, mask = self._padded(prompts, left=False)
        assert self.start is not None
        encoded = self.model.get_encoder()(input_ids=ids, attention_mask=mask)
        across = DynamicCache()
        columns = []
        for responses in turns:
            said, said_mask = self._padded(responses, left=False)
            start = torch.full_like(said[:, :1], self.start)
            logits = self.model(
                encoder_outputs=encoded,
                attention_mask=mask,
                decoder_input_ids=torch.cat([start, said[:, :-1]], 1),
                # What the decoder makes of the prompt is kept, what it makes of a response is not.
                past_key_values=EncoderDecoderCache(DynamicCache(), across),
                use_cache=True,
            ).logits
            columns.append(_log_probability(logits, said, said_mask))
        return columns

    def _write(self, prompts: Sequence[list[int]]) -> list[str]:
        """Return a greedy response to each prompt."""
        ids, mask = self._padded(prompts, left=not self.two_sided)
        written = self.model.generate(input_ids=ids, attention_mask=mask)
        begin = 1 if self.two_sided else ids.shape[1]
        texts = self.tokenizer.batch_decode(written[:, begin:], skip_special_tokens=True)
        return [self.template.answer(text) for text in texts]

    def _padded(self, rows: Sequence[list[int]], left: bool) -> tuple[Tensor, Tensor]:
        """Return ids and mask, both [B, T]."""
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self.pad)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for place, row in enumerate(rows):
            where = slice(width - len(row), width) if left else slice(0, len(row))
            ids[place, where] = torch.tensor(row)
            mask[place, where] = 1
        return ids.to(self.device), mask.to(self.device)


def _log_probability(logits: Tensor, said: Tensor, mask: Tensor) -> list[float]:
    """Return each row's log-probability of its tokens: logits [B, R, V], tokens and mask [B, R]."""
    logs = logits.float().log_softmax(-1).gather(-1, said[..., None])[..., 0]
    return (logs * mask).sum(1).tolist()
