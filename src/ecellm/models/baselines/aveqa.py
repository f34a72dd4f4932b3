"""`aveqa`: AVE as question answering: the attribute is the question, the product's texts are the passage.

AVEQA (Wang et al. 2020, "Learning to Extract Attribute Value from Product via Question Answering"): an encoder reads
"[CLS] attribute [SEP] texts [SEP]", scores each token as start and as end of the value, and a head over [CLS] says
whether there is a value at all.

Deviations: the base is `--base`, MiniLM by default, where the authors take BERT; their distilled masked language
model, a second loss for attributes of few rows, is omitted; word embeddings stay as they are; the threshold of the
no-answer head is fitted on validation rows; a value that stands in several fields is named for each. Shapes: B rows,
T tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ecellm.data.dataset import Dataset
from ecellm.errors import ModelError
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, rows_of
from ecellm.models.baselines.text_encoder import (
    Tokens,
    encoder_of,
    groups_of_like_length,
    load_encoder,
    load_tokenizer,
    longest_text,
    padded,
    read_states,
    save_tokenizer,
)
from ecellm.models.baselines.training import Course, arrays, restore, seeded, train
from ecellm.models.baselines.value_spans import (
    Span,
    Texts,
    f1,
    labels_of,
    printed,
    target_attributes,
    texts_of,
    token_span,
    whole,
)
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.models.masking import NEVER
from ecellm.tasks.answers import Triple
from ecellm.tasks.task import Task
from ecellm.types import Example

MAX_TOKENS = 192
#: The longest value, in tokens.
LONGEST_SPAN = 24
EPOCHS = 3
THRESHOLDS = np.linspace(-4, 4, 33)


@dataclass
class AttributeRow:
    """An attribute and a text as tokens; `span` are the tokens of the first value, if there is one."""

    texts: Texts
    attribute: str
    tokens: Tokens
    offsets: Sequence[Span]
    """Of the tokens, in the text; (0, 0) where they stand elsewhere."""
    span: Span | None = None


@dataclass(frozen=True)
class FoundSpan:
    """The best span of a row, and the log-odds that there is a value."""

    span: Span
    odds: float


class AveqaNetwork(nn.Module):
    """The encoder under three small heads."""

    def __init__(self, body: PreTrainedModel):
        super().__init__()
        self.body = body
        size = body.config.hidden_size
        self.ends = nn.Linear(size, 2)
        self.there = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.Linear(size, 1))

    def forward(self, inputs: dict[str, Tensor], passage: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of start and end [B, T, 2], only those of the passage [B, T] open, and log-odds [B]."""
        states = read_states(self.body, inputs)
        ends = self.ends(states).float().masked_fill(~passage[..., None], NEVER)
        return ends, self.there(states[:, 0])[:, 0].float()


class AVEQA:
    """The network, its tokenizer and its threshold."""

    def __init__(self, net: AveqaNetwork, tokenizer: PreTrainedTokenizerBase, threshold: float, device: str):
        self.net = net.to(device)
        self.tokenizer = tokenizer
        self.threshold = threshold
        self.device = device

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Tune the encoder; the pass of the best validation F1 is kept, and the threshold that is best for it."""
        examples = rows_of(task, dataset, "train", choices.limit)
        held = rows_of(task, dataset, "validation")
        with seeded(choices.seed, "aveqa"):
            body, tokenizer = load_encoder(choices.base)
            if not tokenizer.is_fast:
                raise ModelError(
                    f"The tokenizer of {choices.base!r} does not say where in a text its tokens stand, "
                    "as aveqa needs: name another base."
                )
            body.get_input_embeddings().weight.requires_grad_(False)
            found = cls(AveqaNetwork(body), tokenizer, 0.0, choices.device)
        rows, held_rows = found._rows(examples, with_spans=True), found._rows(held)

        def loss(batch: list[AttributeRow]) -> Tensor:
            ends, odds = found._scores(batch)
            there = torch.tensor([float(row.span is not None) for row in batch], device=found.device)
            # Of a row without a value start and end are ignored: the no-answer head alone learns from it.
            first = torch.tensor([row.span[0] if row.span else -100 for row in batch], device=found.device)
            last = torch.tensor([row.span[1] - 1 if row.span else -100 for row in batch], device=found.device)
            parts = [
                functional.cross_entropy(ends[..., side], wanted, ignore_index=-100, reduction="sum")
                for side, wanted in enumerate((first, last))
            ]
            return sum(parts) / len(batch) + functional.binary_cross_entropy_with_logits(odds, there)

        course = Course(choices.epochs or EPOCHS, 1e-4, 16, 1e-3, half=True)

        def score() -> float:
            return max(value for _, value in found._thresholds(held, held_rows))

        train(
            found.net,
            rows,
            loss,
            score if held else None,
            course,
            choices,
            progress,
            lambda row: len(row.offsets),
        )
        if held:
            reached = found._thresholds(held, held_rows)
            best = max(value for _, value in reached)
            level = [threshold for threshold, value in reached if value == best]
            found.threshold = level[len(level) // 2]
        return found

    def save(self, part: TaskFiles) -> None:
        """Write weights, tokenizer and threshold."""
        save_tokenizer(self.tokenizer, part.folder)
        part.write({"config": self.net.body.config.to_dict(), "threshold": self.threshold}, arrays(self.net))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read them back."""
        notes, weights = part.read()
        with seeded(0):
            net = AveqaNetwork(encoder_of(**notes["config"]))
        restore(net, weights)
        return cls(net, load_tokenizer(part.folder), notes["threshold"], device)

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the value of every target attribute, or None."""
        rows = self._rows(examples)
        answers = self._answers(examples, rows, self._found(rows), self.threshold)
        return [Reply(printed(example, answer)) for example, answer in zip(examples, answers, strict=True)]

    def _rows(self, examples: Sequence[Example], with_spans: bool = False) -> list[AttributeRow]:
        read = [texts_of(example) for example in examples]
        rows = []
        for place, attribute in target_attributes(examples):
            tokens = self.tokenizer(
                attribute,
                read[place].text,
                truncation="only_second",
                max_length=min(MAX_TOKENS, longest_text(self.net.body, self.tokenizer)),
                return_offsets_mapping=True,
            )
            # Tokens of the question stand nowhere in the passage.
            offsets = [
                span if side == 1 else (0, 0)
                for span, side in zip(tokens["offset_mapping"], tokens.sequence_ids(), strict=True)
            ]
            row = AttributeRow(read[place], attribute, tokens, offsets)
            if with_spans:
                spans = (token_span(offsets, span) for span in row.texts.spans(labels_of(examples[place]), attribute))
                row.span = next((span for span in spans if span is not None), None)
            rows.append(row)
        return rows

    def _scores(self, rows: Sequence[AttributeRow]) -> tuple[Tensor, Tensor]:
        inputs = padded([row.tokens for row in rows], self.tokenizer, self.net.body.config, self.device)
        width = inputs["input_ids"].shape[1]
        passage = [[start < end for start, end in row.offsets] for row in rows]
        mask = torch.tensor([row + [False] * (width - len(row)) for row in passage], device=self.device)
        return self.net(inputs, mask)

    @torch.inference_mode()
    def _found(self, rows: Sequence[AttributeRow]) -> list[FoundSpan]:
        """Return the best span of characters of each row."""
        found: dict[int, FoundSpan] = {}
        for places in groups_of_like_length([len(row.offsets) for row in rows]):
            ends, odds = self._scores([rows[place] for place in places])
            for place, scores, level in zip(places, ends.cpu(), odds.tolist(), strict=True):
                start, end = best_span(scores)
                offsets = rows[place].offsets
                found[place] = FoundSpan((offsets[start][0], offsets[end - 1][1]), level)
        return [found[place] for place in range(len(rows))]

    def _answers(
        self, examples: Sequence[Example], rows: Sequence[AttributeRow], found: Sequence[FoundSpan], threshold: float
    ) -> list[list[Triple]]:
        """Return the triples of each example; `rows` are its attributes, in order."""
        answers: list[list[Triple]] = [[] for _ in examples]
        for (place, attribute), row, one in zip(target_attributes(examples), rows, found, strict=True):
            value = row.texts.text[slice(*one.span)].strip()
            spans = everywhere(row.texts, value) if one.odds > threshold and value else []
            answers[place] += row.texts.triples(attribute, spans)
        return answers

    def _thresholds(self, examples: Sequence[Example], rows: Sequence[AttributeRow]) -> list[tuple[float, float]]:
        """Return thresholds and the F1 that each gives."""
        found = self._found(rows)
        return [(float(level), f1(examples, self._answers(examples, rows, found, level))) for level in THRESHOLDS]


def best_span(ends: Tensor) -> Span:
    """Return the tokens [first, after) whose scores of start and end [T, 2] have the greatest sum."""
    total = ends[:, None, 0] + ends[None, :, 1]
    allowed = torch.ones_like(total, dtype=torch.bool).triu().tril(LONGEST_SPAN - 1)
    place = int(total.masked_fill(~allowed, -torch.inf).argmax())
    return place // len(ends), place % len(ends) + 1


def everywhere(texts: Texts, value: str) -> list[Span]:
    """Return the places of a value in all fields."""
    return [match.span() for match in whole(value).finditer(texts.text)]
