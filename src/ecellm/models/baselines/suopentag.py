"""`suopentag`: AVE by tagging each token of the product's texts for one attribute at a time.

SUOpenTag (Xu et al. 2019, "Scaling up Open Tagging from Tens to Thousands"): the text and the attribute's name are
each read by a bidirectional LSTM over BERT's states, the text's states attend to the attribute by cosine, and a CRF
over both gives the tags B, I, O. One model for all attributes, those never seen in training too.

Deviations: MiniLM's states, which stay as they are, in BERT's place; all the product's texts, joined, in the title's;
a value in two fields is named for both. Shapes: B rows, T tokens, H hidden.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ecellm.data.dataset import Dataset
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, rows_of
from ecellm.models.baselines.crf import Crf
from ecellm.models.baselines.text_encoder import (
    MINILM,
    Tokens,
    groups_of_like_length,
    load_encoder,
    padded,
    read_states,
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
)
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.tasks.answers import Triple
from ecellm.tasks.task import Task
from ecellm.types import Example

MAX_TOKENS = 192
HIDDEN = 96
DROPOUT = 0.3
EPOCHS = 6
OUTSIDE, BEGIN, INSIDE = range(3)


@dataclass
class TaggedRow:
    """A text and an attribute as tokens, and the tags of the text's tokens."""

    texts: Texts
    attribute: str
    offsets: Sequence[Span]
    """Of the text's tokens."""
    states: Tensor
    """MiniLM's, of the text [T, H], in half precision; all attributes of a text share them."""
    named: Tensor
    """Of the attribute, [N, H]."""
    tags: list[int] = field(default_factory=list)


class SuopentagNetwork(nn.Module):
    """From states of text and attribute to scores of the tags."""

    def __init__(self, size: int):
        super().__init__()
        self.read_text = nn.LSTM(size, HIDDEN, batch_first=True, bidirectional=True)
        self.read_name = nn.LSTM(size, HIDDEN, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(DROPOUT)
        self.out = nn.Linear(4 * HIDDEN, 3)
        self.crf = Crf(3)

    def forward(self, text: Tensor, text_lengths: Tensor, name: Tensor, name_lengths: Tensor) -> Tensor:
        """Return scores [B, T, 3] of states [B, T, H] and [B, N, H]."""
        states, _ = _lstm(self.read_text, self.dropout(text), text_lengths)
        _, named = _lstm(self.read_name, self.dropout(name), name_lengths)
        likeness = functional.cosine_similarity(states, named[:, None], -1)
        attended = likeness[..., None] * named[:, None]
        return self.out(self.dropout(torch.cat([states, attended], -1)))


def _lstm(lstm: nn.LSTM, rows: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Return states [B, T, 2H], and both directions' last ones, [B, 2H]."""
    packed = nn.utils.rnn.pack_padded_sequence(rows, lengths.cpu(), batch_first=True, enforce_sorted=False)
    out, (last, _) = lstm(packed)
    states, _ = nn.utils.rnn.pad_packed_sequence(out, batch_first=True, total_length=rows.shape[1])
    return states, torch.cat([last[0], last[1]], -1)


class SUOpenTag:
    """The network over MiniLM's states."""

    def __init__(self, device: str = "cpu"):
        self.body, self.tokenizer = load_encoder(MINILM)
        module: nn.Module = self.body  # whose `to` says what it takes
        module.to(device).eval().requires_grad_(False)
        self.net = SuopentagNetwork(self.body.config.hidden_size).to(device)
        self.device = device

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Train on the likelihood of the tags; the pass of the best validation F1 is kept."""
        examples = rows_of(task, dataset, "train", choices.limit)
        held = rows_of(task, dataset, "validation")
        with seeded(choices.seed, "suopentag"):
            found = cls(choices.device)
        rows = found._rows(examples, with_tags=True)
        held_rows = found._rows(held)

        def loss(batch: list[TaggedRow]) -> Tensor:
            scores, lengths = found._scores(batch)
            tags = torch.zeros(scores.shape[:2], dtype=torch.long)
            for place, row in enumerate(batch):
                tags[place, : len(row.tags)] = torch.tensor(row.tags)
            return -found.net.crf.log_likelihood(scores, tags.to(found.device), lengths).mean()

        course = Course(choices.epochs or EPOCHS, 2e-3, 32, weight_decay=0.0)
        score = (lambda: f1(held, found._answers(held, held_rows))) if held else None
        train(found.net, rows, loss, score, course, choices, progress, lambda row: len(row.offsets))
        return found

    def save(self, part: TaskFiles) -> None:
        """Write the weights; MiniLM's own are not among them."""
        part.write({}, arrays(self.net))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read them back."""
        with seeded(0):
            found = cls(device)
        restore(found.net, part.read()[1])
        return found

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the values of every target attribute."""
        answers = self._answers(examples, self._rows(examples))
        return [Reply(printed(example, answer)) for example, answer in zip(examples, answers, strict=True)]

    def _rows(self, examples: Sequence[Example], with_tags: bool = False) -> list[TaggedRow]:
        """Return a row for each target attribute of each example."""
        read = [texts_of(example) for example in examples]
        targets = target_attributes(examples)
        tokens = [
            self.tokenizer(texts.text, truncation=True, max_length=MAX_TOKENS, return_offsets_mapping=True)
            for texts in read
        ]
        states = self._read(tokens)
        names = sorted({attribute for _, attribute in targets})
        named = dict(
            zip(
                names,
                self._read([self.tokenizer(name, truncation=True, max_length=32) for name in names]),
                strict=True,
            )
        )
        rows = []
        for place, attribute in targets:
            row = TaggedRow(read[place], attribute, tokens[place]["offset_mapping"], states[place], named[attribute])
            if with_tags:
                row.tags = tags_of(row.offsets, row.texts.spans(labels_of(examples[place]), attribute))
            rows.append(row)
        return rows

    @torch.no_grad()
    def _read(self, tokens: Sequence[Tokens]) -> list[Tensor]:
        """Return MiniLM's states of texts, [T, H] each."""
        found: dict[int, Tensor] = {}
        for places in groups_of_like_length([len(text["input_ids"]) for text in tokens]):
            inputs = padded([tokens[place] for place in places], self.tokenizer, self.body.config, self.device)
            for place, row in zip(places, read_states(self.body, inputs).half().cpu(), strict=True):
                found[place] = row[: len(tokens[place]["input_ids"])].clone()
        return [found[place] for place in range(len(tokens))]

    def _scores(self, rows: Sequence[TaggedRow]) -> tuple[Tensor, Tensor]:
        both = []
        for parts in ([row.states for row in rows], [row.named for row in rows]):
            lengths = torch.tensor([len(part) for part in parts], device=self.device)
            both += [nn.utils.rnn.pad_sequence(parts, batch_first=True).float().to(self.device), lengths]
        return self.net(*both), both[1]

    @torch.inference_mode()
    def _answers(self, examples: Sequence[Example], rows: Sequence[TaggedRow]) -> list[list[Triple]]:
        """Return the triples of each example; `rows` are its attributes, in order."""
        answers: list[list[Triple]] = [[] for _ in examples]
        found: dict[int, list[Triple]] = {}
        for places in groups_of_like_length([len(row.offsets) for row in rows]):
            scores, lengths = self._scores([rows[place] for place in places])
            for place, path in zip(places, self.net.crf.best_path(scores, lengths), strict=True):
                row = rows[place]
                found[place] = row.texts.triples(row.attribute, spans_of(row.offsets, path))
        for number, (place, _) in enumerate(target_attributes(examples)):
            answers[place] += found[number]
        return answers


def tags_of(offsets: Sequence[Span], spans: Sequence[Span]) -> list[int]:
    """Return the tag of each token: B where a span begins, I within it, else O; spans without tokens are dropped."""
    tags = [OUTSIDE] * len(offsets)
    for span in spans:
        tokens = token_span(offsets, span)
        if tokens is not None:
            tags[tokens[0] : tokens[1]] = [BEGIN] + [INSIDE] * (tokens[1] - tokens[0] - 1)
    return tags


def spans_of(offsets: Sequence[Span], tags: Sequence[int]) -> list[Span]:
    """Return the spans of characters that tags mark; an I with nothing before it begins one."""
    spans: list[Span] = []
    open_ = False
    for (start, end), tag in zip(offsets, tags, strict=True):
        if tag == OUTSIDE or start == end:
            open_ = False
        elif tag == INSIDE and open_:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
            open_ = True
    return spans
