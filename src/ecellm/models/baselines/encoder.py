"""`encoder`: a pretrained encoder reads both texts of an example at once and gives its class, or how well they fit.

The classifier is that of BERT (Devlin et al. 2019, section 4.1), as the paper fine-tunes BERT and DeBERTaV3 (He et
al. 2021) for product tasks and BERTweet (Nguyen et al. 2020) for sentiment; the ranker is a cross-encoder with one
score a product, trained by RankNet's pairwise loss (Burges et al. 2005) within each list.

Some inputs fall into pieces. SA's review is read sentence by sentence, each has a tone of its own, and the scores'
mean counts. AP's snippets, of which one answers or none does, are read a second time one by one, the question apart,
under a head like that of Sentence-BERT's classifier (Reimers and Gurevych 2019, section 3: both means, their
difference, and here their product too); the greatest score over snippets is added to that of the whole. To compare
texts that were read apart is what MiniLM was made for; a thousand rows do not teach it to compare two that stand in
one.

Deviations: the state that is read is the first token's beside the means of both texts, their difference and
product, as MiniLM was trained to compare texts by their means; rare classes weigh more where the metric is macro
F1; word embeddings stay as they are.

Shapes: B rows, N pieces of all rows, T tokens, H hidden, C classes.
"""

from collections import Counter
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
from ecellm.models.baselines.base import Choices, FitProgress, class_count, class_reply, label, rows_of
from ecellm.models.baselines.text_encoder import (
    Tokens,
    encoder_of,
    groups_of_like_length,
    load_encoder,
    load_tokenizer,
    longest_text,
    mean_states,
    padded,
    read_states,
    save_tokenizer,
    tokens_of,
)
from ecellm.models.baselines.training import Course, arrays, restore, seeded, train
from ecellm.models.calibration.fitting import threshold_rows
from ecellm.models.calibration.thresholds import ROWS_A_CLASS, enough_rows, score_with_thresholds
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.models.lexical.text_pairs import segments, text_pair, text_pairs
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.metrics import Floats, class_metric, ndcg
from ecellm.tasks.task import Task
from ecellm.tasks.text_pairs import TextPair
from ecellm.types import Example

MAX_TOKENS = 256
EPOCHS = 4
#: One text alone takes longer to learn than whether two texts fit.
EPOCHS_OF_ONE_TEXT = 8
RATE, HEAD_RATE = 1e-4, 1e-3
#: How the scores of pieces become one, in torch's names.
GREATEST, MEAN = "amax", "mean"
POOLING = {"one": GREATEST, "all": MEAN}
#: Pieces of a row at most, and tokens of each.
MAX_PIECES, PIECE_TOKENS = 32, 64
#: Rare classes weigh by their share to the power of minus this, where the metric is macro F1.
BALANCE = 0.5


@dataclass
class PairRow:
    """A pair of texts as tokens, and its class; the pieces by themselves, where the task has them."""

    tokens: Tokens
    label: int = 0
    pieces: Sequence[Tokens] = ()
    first: Tokens | None = None
    """Where pieces are compared with it."""


class Encoder(nn.Module):
    """The encoder under a head for the whole, one for pieces, or both.

    `pooling` is None without pieces, GREATEST where they are compared with the first text beside the whole, MEAN
    where they stand for the whole.
    """

    def __init__(self, body: PreTrainedModel, classes: int, pooling: str | None = None):
        super().__init__()
        self.body = body
        self.classes = classes
        self.pooling = pooling
        size = body.config.hidden_size
        if pooling != MEAN:
            self.head = _head(5 * size, size, classes)
        if pooling:
            self.piece_head = _head((4 if pooling == GREATEST else 1) * size, size, classes)

    def forward(self, inputs: dict[str, Tensor], second: Tensor) -> Tensor:
        """Return scores [B, C] of the whole; `second` [B, T] marks the tokens of the second text."""
        states = read_states(self.body, inputs)
        one = mean_states(states, inputs["attention_mask"] * ~second)
        other = mean_states(states, inputs["attention_mask"] * second)
        read = torch.cat([states[:, 0], one, other, one - other, one * other], -1)
        return self.head(read)

    def by_pieces(self, inputs: dict[str, Tensor], owners: Tensor) -> Tensor:
        """Return scores [B, C] of pieces; `inputs` hold N pieces, after B first texts where those are compared with.

        `owners` [N] says whose each piece is.
        """
        means = mean_states(read_states(self.body, inputs), inputs["attention_mask"])
        # Of about 1 in each place, as a freshly drawn layer takes it.
        means = functional.normalize(means.float(), dim=-1) * means.shape[-1] ** 0.5
        rows = int(owners.max()) + 1
        if self.pooling == GREATEST:
            one, other = means[:rows][owners], means[rows:]
            means = torch.cat([one, other, (one - other).abs(), one * other], -1)
        scores = self.piece_head(means).float()
        places = owners[:, None].expand_as(scores)
        pooled = scores.new_zeros(rows, self.classes)
        return pooled.scatter_reduce(0, places, scores, self.pooling, include_self=False)


def _head(inputs: int, size: int, classes: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, size), nn.GELU(), nn.Dropout(0.1), nn.Linear(size, classes))


class Pairs:
    """An `Encoder` with its tokenizer: what classifier and ranker share."""

    def __init__(self, net: Encoder, tokenizer: PreTrainedTokenizerBase, device: str):
        self.net = net.to(device)
        self.tokenizer = tokenizer
        self.device = device

    @classmethod
    def start(cls, choices: Choices, classes: int, task: Task) -> Self:
        """Return the base under a freshly drawn head."""
        with seeded(choices.seed, "encoder", task.name):
            body, tokenizer = load_encoder(choices.base)
            body.get_input_embeddings().weight.requires_grad_(False)
            pooling = None if task.segments is None else POOLING[task.segments_decide]
            return cls(Encoder(body, classes, pooling), tokenizer, choices.device)

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Return what `save` wrote."""
        notes, weights = part.read()
        net = Encoder(encoder_of(**notes["config"]), notes["classes"], notes["pooling"])
        restore(net, weights)
        return cls(net, load_tokenizer(part.folder), device)

    def save(self, part: TaskFiles) -> None:
        """Write the weights, the tokenizer and what the network needs."""
        save_tokenizer(self.tokenizer, part.folder)
        config = self.net.body.config.to_dict()
        notes = {"config": config, "classes": self.net.classes, "pooling": self.net.pooling}
        part.write(notes, arrays(self.net))

    def row(self, pair: TextPair, label: int = 0, pieces: Sequence[str] = ()) -> PairRow:
        """Return a pair as tokens, the longer text truncated first."""
        texts = (pair.left, pair.right) if pair.right else (pair.left,)
        alone = [self._tokens([piece], PIECE_TOKENS) for piece in pieces[:MAX_PIECES]]
        first = self._tokens([pair.left], PIECE_TOKENS) if self.net.pooling == GREATEST else None
        return PairRow(self._tokens(texts, MAX_TOKENS), label, alone, first)

    def _tokens(self, texts: Sequence[str], most: int) -> Tokens:
        return tokens_of(self.tokenizer, texts, min(most, longest_text(self.net.body, self.tokenizer)))

    def scores(self, rows: Sequence[PairRow]) -> Tensor:
        """Return [B, C]."""
        if self.net.pooling is None:
            return self._whole(rows)
        if self.net.pooling == MEAN:
            return self._by_pieces(rows)
        return self._whole(rows) + self._by_pieces(rows)

    def _whole(self, rows: Sequence[PairRow]) -> Tensor:
        inputs = self._padded([row.tokens for row in rows])
        width = inputs["input_ids"].shape[1]
        second = [[*row.tokens["second"], *[False] * (width - length(row))] for row in rows]
        return self.net(inputs, torch.tensor(second, device=self.device))

    def _by_pieces(self, rows: Sequence[PairRow]) -> Tensor:
        alone = [row.first for row in rows if row.first is not None]
        alone += [piece for row in rows for piece in row.pieces]
        owners = [place for place, row in enumerate(rows) for _ in row.pieces]
        return self.net.by_pieces(self._padded(alone), torch.tensor(owners, device=self.device))

    def _padded(self, texts: Sequence[Tokens]) -> dict[str, Tensor]:
        return padded(texts, self.tokenizer, self.net.body.config, self.device)

    @torch.inference_mode()
    def all_scores(self, rows: Sequence[PairRow]) -> Floats:
        """Return [rows, C] in float64; rows of like length are read together."""
        found = np.zeros((len(rows), self.net.classes))
        for places in groups_of_like_length([length(row) for row in rows]):
            found[places] = self.scores([rows[place] for place in places]).float().cpu().numpy()
        return found


def length(row: PairRow) -> int:
    """Return the number of a row's tokens."""
    return len(row.tokens["input_ids"])


class PairModel:
    """A baseline over `Pairs`."""

    def __init__(self, pairs: Pairs):
        self.pairs = pairs

    def save(self, part: TaskFiles) -> None:
        """Write the weights."""
        self.pairs.save(part)

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read them back."""
        return cls(Pairs.load(part, device))


class PairClassifier(PairModel):
    """Yes or no, or one of a few letters."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Tune the encoder; the pass is kept whose classes are best on validation rows by the task's metric."""
        train_examples = rows_of(task, dataset, "train", choices.limit)
        held_examples = threshold_rows(rows_of(task, dataset, "validation"), dataset.seed)
        classes = class_count(train_examples)
        pairs = Pairs.start(choices, classes, task)
        known = [pairs.row(text_pair(example), label(example), segments(example)) for example in train_examples]
        held = [pairs.row(text_pair(example), label(example), segments(example)) for example in held_examples]
        shares = Counter(row.label for row in known)
        power = BALANCE if task.metric == "macro_f1" else 0.0
        weights = torch.tensor([max(shares[place], 1) ** -power for place in range(classes)], device=choices.device)
        weights = weights * len(known) / sum(float(weights[row.label]) for row in known)
        metric = class_metric(task.metric, classes)
        labels = np.array([row.label for row in held], dtype=np.int64)

        def loss(batch: list[PairRow]) -> Tensor:
            wanted = torch.tensor([row.label for row in batch], device=choices.device)
            each = functional.cross_entropy(pairs.scores(batch).float(), wanted, reduction="none")
            return (each * weights[wanted]).mean()

        def score() -> float:
            return score_with_thresholds(log_softmax(pairs.all_scores(held)), labels, metric)

        single = not any(text_pair(example).right for example in train_examples)
        epochs = choices.epochs or (EPOCHS_OF_ONE_TEXT if single else EPOCHS)
        course = Course(epochs, RATE, 16, HEAD_RATE, half=True)
        enough = enough_rows(len(held), classes)
        train(pairs.net, known, loss, score if enough else None, course, choices, progress, length)
        return cls(pairs)

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the likeliest class."""
        rows = [self.pairs.row(text_pair(example), pieces=segments(example)) for example in examples]
        logs = log_softmax(self.pairs.all_scores(rows))
        return [class_reply(example, row.tolist()) for example, row in zip(examples, logs, strict=True)]


class Ranker(PairModel):
    """QPR: the products of a list by one score each."""

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Tune the encoder on pairs of a list's products; the pass of the best validation NDCG is kept."""
        train_examples = rows_of(task, dataset, "train", choices.limit)
        held = rows_of(task, dataset, "validation")
        pairs = Pairs.start(choices, 1, task)
        found = cls(pairs)
        known = [([pairs.row(pair) for pair in text_pairs(example)], grades(example)) for example in train_examples]

        def loss(batch: list[tuple[list[PairRow], list[float]]]) -> Tensor:
            scores = pairs.scores([row for rows, _ in batch for row in rows])[:, 0].float()
            wanted = torch.tensor([grade for _, graded in batch for grade in graded], device=choices.device)
            lists = torch.tensor(
                [place for place, (rows, _) in enumerate(batch) for _ in rows], device=choices.device
            )
            return ranknet(scores, wanted, lists)

        course = Course(choices.epochs or EPOCHS, RATE, 6, HEAD_RATE, half=True)
        score = (lambda: mean_ndcg(held, found.orders(held))) if len(held) >= ROWS_A_CLASS else None
        train(pairs.net, known, loss, score, course, choices, progress, lambda item: max(map(length, item[0])))
        return found

    def orders(self, examples: Sequence[Example]) -> list[list[int]]:
        """Return the products of each list, best first; equals in the list's order."""
        lists = [text_pairs(example) for example in examples]
        scores = self.pairs.all_scores([self.pairs.row(pair) for pairs in lists for pair in pairs])[:, 0]
        cuts = np.cumsum([len(pairs) for pairs in lists])[:-1]
        return [np.argsort(-part, kind="stable").tolist() for part in np.split(scores, cuts)]

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the letters, best first."""
        return [Reply(",".join(LETTERS[place] for place in order)) for order in self.orders(examples)]


def grades(example: Example) -> list[float]:
    """Return how good each product of a list is: by its label, or, without labels, by the order given."""
    answer = TASKS[example.task].answer
    if example.labels is not None:
        return [answer.gains[label] for label in example.labels]
    order = answer.parse(example.output, example)
    if order is None:
        raise ModelError(f"The answer of {example.id} is no order of its products: {example.output[:60]!r}.")
    return [-float(order.index(letter)) for letter in LETTERS[: len(order)]]


def ranknet(scores: Tensor, grades: Tensor, lists: Tensor) -> Tensor:
    """Return the mean of log(1 + exp(s_j - s_i)) over pairs of a list in which i is graded above j (Burges et al.
    2005, equation 3 with certain pairs); all arguments are [N]. Without such a pair it is 0."""
    better = (grades[:, None] > grades[None]) & (lists[:, None] == lists[None])
    apart = functional.softplus(scores[None] - scores[:, None])
    return (apart * better).sum() / better.sum().clamp(min=1)


def mean_ndcg(examples: Sequence[Example], orders: Sequence[Sequence[int]]) -> float:
    """Return the mean NDCG of orders; by the grades' own order where rows have no labels."""
    values = []
    for example, order in zip(examples, orders, strict=True):
        gains = grades(example)
        lowest = min(gains)
        gains = [gain - min(lowest, 0.0) for gain in gains]
        values.append(ndcg([gains[place] for place in order], gains))
    return float(np.mean(values))


def log_softmax(scores: Floats) -> Floats:
    """Return log-probabilities of scores [rows, C]."""
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
