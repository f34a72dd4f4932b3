"""`encoder`: a pretrained encoder reads both texts of a sample at once and says its class, or how well they fit.

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
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecellm.baselines.part import Choices, Part, Told, class_count, class_reply, label, rows_of
from ecellm.baselines.reading import (
    encoder_of,
    load_encoder,
    load_tokenizer,
    longest_text,
    mean_states,
    padded,
    read_states,
    save_tokenizer,
    tokens_of,
)
from ecellm.baselines.sides import Sides, pieces, ranked_sides, sides
from ecellm.baselines.training import Course, arrays, restore, seeded, train
from ecellm.dataset.dataset import Dataset
from ecellm.evaluation.metrics import GAINS, class_metric, ndcg
from ecellm.inference.generator import Reply
from ecellm.inference.policy import threshold_rows
from ecellm.inference.thresholds import ROWS_A_CLASS, enough_rows, score_with_thresholds
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.task import Task

MOST_TOKENS = 256
EPOCHS = 4
#: Degrees of content are learned later than whether two texts fit.
EPOCHS_OF = {"SA": 8}
RATE, HEAD_RATE = 1e-4, 1e-3
ROWS_AT_ONCE = 64
#: How the scores of pieces become one, in torch's names.
GREATEST, MEAN = "amax", "mean"
POOLING = {"AP": GREATEST, "SA": MEAN}
#: Pieces of a row at most, and tokens of each.
MOST_PIECES, PIECE_TOKENS = 32, 64
#: Rare classes weigh by their share to the power of minus this, where the metric is macro F1.
BALANCE = 0.5


@dataclass
class Row:
    """A pair of texts as tokens, and its class; the pieces by themselves, where the task has them."""

    tokens: Any
    label: int = 0
    pieces: Sequence[Any] = ()
    first: Any = None
    """Where pieces are compared with it."""


class Encoder(nn.Module):
    """The encoder under a head for the whole, one for pieces, or both.

    `pooling` is None without pieces, GREATEST where they are compared with the first text beside the whole, MEAN
    where they stand for the whole.
    """

    def __init__(self, body: Any, classes: int, pooling: str | None = None):
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

    def __init__(self, net: Encoder, tokenizer: Any, device: str):
        self.net = net.to(device)
        self.tokenizer = tokenizer
        self.device = device

    @classmethod
    def start(cls, choices: Choices, classes: int, task: Task) -> Self:
        """Return the base under a freshly drawn head."""
        with seeded(choices.seed, "encoder", task.name):
            body, tokenizer = load_encoder(choices.base)
            body.get_input_embeddings().weight.requires_grad_(False)
            return cls(Encoder(body, classes, POOLING.get(task.name)), tokenizer, choices.device)

    @classmethod
    def load(cls, part: Part, notes: dict[str, Any], weights: dict[str, Any], device: str) -> Self:
        """Return what `save` wrote."""
        net = Encoder(encoder_of(notes["config"]), notes["classes"], notes["pooling"])
        restore(net, weights)
        return cls(net, load_tokenizer(part.folder), device)

    def save(self, part: Part, **notes: Any) -> None:
        """Write the weights, the tokenizer and notes."""
        save_tokenizer(self.tokenizer, part.folder)
        config = self.net.body.config.to_dict()
        known = {"config": config, "classes": self.net.classes, "pooling": self.net.pooling}
        part.write({**known, **notes}, arrays(self.net))

    def row(self, pair: Sides, label: int = 0, pieces: Sequence[str] = ()) -> Row:
        """Return a pair as tokens, the longer text cut first."""
        texts = (pair.left, pair.right) if pair.right else (pair.left,)
        alone = [self._tokens([piece], PIECE_TOKENS) for piece in pieces[:MOST_PIECES]]
        first = self._tokens([pair.left], PIECE_TOKENS) if self.net.pooling == GREATEST else None
        return Row(self._tokens(texts, MOST_TOKENS), label, alone, first)

    def _tokens(self, texts: Sequence[str], most: int) -> dict[str, Any]:
        return tokens_of(self.tokenizer, texts, min(most, longest_text(self.net.body, self.tokenizer)))

    def scores(self, rows: Sequence[Row]) -> Tensor:
        """Return [B, C]."""
        if self.net.pooling is None:
            return self._whole(rows)
        if self.net.pooling == MEAN:
            return self._by_pieces(rows)
        return self._whole(rows) + self._by_pieces(rows)

    def _whole(self, rows: Sequence[Row]) -> Tensor:
        inputs = self._padded([row.tokens for row in rows])
        width = inputs["input_ids"].shape[1]
        second = [row.tokens["second"] + [False] * (width - len(row.tokens["second"])) for row in rows]
        return self.net(inputs, torch.tensor(second, device=self.device))

    def _by_pieces(self, rows: Sequence[Row]) -> Tensor:
        alone = [row.first for row in rows if row.first is not None]
        alone += [piece for row in rows for piece in row.pieces]
        owners = [place for place, row in enumerate(rows) for _ in row.pieces]
        return self.net.by_pieces(self._padded(alone), torch.tensor(owners, device=self.device))

    def _padded(self, texts: Sequence[Any]) -> dict[str, Tensor]:
        return padded(texts, self.tokenizer, self.net.body.config, self.device)

    @torch.inference_mode()
    def all_scores(self, rows: Sequence[Row]) -> np.ndarray[Any, Any]:
        """Return [rows, C] in float64; rows of like length are read together."""
        order = sorted(range(len(rows)), key=lambda place: length(rows[place]))
        found = np.zeros((len(rows), self.net.classes))
        for first in range(0, len(order), ROWS_AT_ONCE):
            places = order[first : first + ROWS_AT_ONCE]
            found[places] = self.scores([rows[place] for place in places]).float().cpu().numpy()
        return found


def length(row: Row) -> int:
    """Return the number of a row's tokens."""
    return len(row.tokens["input_ids"])


class Classifier:
    """Yes or no, or one of a few letters."""

    def __init__(self, pairs: Pairs):
        self.pairs = pairs

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Tune the encoder; the pass is kept whose classes are best on validation rows by the task's metric."""
        train_samples = rows_of(task, dataset, "train", choices.limit)
        held_samples = threshold_rows(rows_of(task, dataset, "validation"), dataset.seed)
        classes = class_count(train_samples)
        pairs = Pairs.start(choices, classes, task)
        known = [pairs.row(sides(sample), label(sample), pieces(sample)) for sample in train_samples]
        held = [pairs.row(sides(sample), label(sample), pieces(sample)) for sample in held_samples]
        shares = Counter(row.label for row in known)
        power = BALANCE if task.metric == "macro_f1" else 0.0
        weights = torch.tensor([max(shares[place], 1) ** -power for place in range(classes)], device=choices.device)
        weights = weights * len(known) / sum(float(weights[row.label]) for row in known)
        metric = class_metric(task.metric, classes)
        labels = np.array([row.label for row in held], dtype=np.int64)

        def loss(batch: list[Row]) -> Tensor:
            wanted = torch.tensor([row.label for row in batch], device=choices.device)
            each = functional.cross_entropy(pairs.scores(batch).float(), wanted, reduction="none")
            return (each * weights[wanted]).mean()

        def score() -> float:
            return score_with_thresholds(log_softmax(pairs.all_scores(held)), labels, metric)

        epochs = choices.epochs or EPOCHS_OF.get(task.name, EPOCHS)
        course = Course(epochs, RATE, 16, HEAD_RATE, half=True)
        enough = enough_rows(len(held), classes)
        train(pairs.net, known, loss, score if enough else None, course, choices, told, length)
        return cls(pairs)

    def save(self, part: Part) -> None:
        """Write the weights."""
        self.pairs.save(part)

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read them back."""
        notes, weights = part.read()
        return cls(Pairs.load(part, notes, weights, device))

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with the likeliest class."""
        rows = [self.pairs.row(sides(sample), pieces=pieces(sample)) for sample in samples]
        logs = log_softmax(self.pairs.all_scores(rows))
        return [class_reply(sample, row.tolist()) for sample, row in zip(samples, logs, strict=True)]


class Ranker:
    """QPR: the products of a list by one score each."""

    def __init__(self, pairs: Pairs):
        self.pairs = pairs

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, told: Told) -> Self:
        """Tune the encoder on pairs of a list's products; the pass of the best validation NDCG is kept."""
        train_samples = rows_of(task, dataset, "train", choices.limit)
        held = rows_of(task, dataset, "validation")
        pairs = Pairs.start(choices, 1, task)
        found = cls(pairs)
        known = [([pairs.row(pair) for pair in ranked_sides(sample)], grades(sample)) for sample in train_samples]

        def loss(batch: list[tuple[list[Row], list[float]]]) -> Tensor:
            scores = pairs.scores([row for rows, _ in batch for row in rows])[:, 0].float()
            wanted = torch.tensor([grade for _, graded in batch for grade in graded], device=choices.device)
            lists = torch.tensor(
                [place for place, (rows, _) in enumerate(batch) for _ in rows], device=choices.device
            )
            return ranknet(scores, wanted, lists)

        course = Course(choices.epochs or EPOCHS, RATE, 6, HEAD_RATE, half=True)
        score = (lambda: mean_ndcg(held, found.orders(held))) if len(held) >= ROWS_A_CLASS else None
        train(pairs.net, known, loss, score, course, choices, told, lambda item: max(map(length, item[0])))
        return found

    def save(self, part: Part) -> None:
        """Write the weights."""
        self.pairs.save(part)

    @classmethod
    def load(cls, part: Part, device: str) -> Self:
        """Read them back."""
        notes, weights = part.read()
        return cls(Pairs.load(part, notes, weights, device))

    def orders(self, samples: Sequence[Sample]) -> list[list[int]]:
        """Return the products of each list, best first; equals in the list's order."""
        lists = [ranked_sides(sample) for sample in samples]
        scores = self.pairs.all_scores([self.pairs.row(pair) for pairs in lists for pair in pairs])[:, 0]
        cuts = np.cumsum([len(pairs) for pairs in lists])[:-1]
        return [np.argsort(-part, kind="stable").tolist() for part in np.split(scores, cuts)]

    def reply(self, samples: Sequence[Sample]) -> list[Reply]:
        """Answer with the letters, best first."""
        return [Reply(",".join(LETTERS[place] for place in order)) for order in self.orders(samples)]


def grades(sample: Sample) -> list[float]:
    """Return how good each product of a list is: by its label, or, without labels, by the order given."""
    if sample.labels is not None:
        return [GAINS[label] for label in sample.labels]
    order = TASKS["QPR"].answer.parse(sample.output, sample)
    if order is None:
        raise ValueError(f"The answer of {sample.id} is no order of its products: {sample.output[:60]!r}.")
    return [-float(order.index(letter)) for letter in LETTERS[: len(order)]]


def ranknet(scores: Tensor, grades: Tensor, lists: Tensor) -> Tensor:
    """Return the mean of log(1 + exp(s_j - s_i)) over pairs of a list in which i is graded above j (Burges et al.
    2005, equation 3 with certain pairs); all arguments are [N]. Without such a pair it is 0."""
    better = (grades[:, None] > grades[None]) & (lists[:, None] == lists[None])
    apart = functional.softplus(scores[None] - scores[:, None])
    return (apart * better).sum() / better.sum().clamp(min=1)


def mean_ndcg(samples: Sequence[Sample], orders: Sequence[Sequence[int]]) -> float:
    """Return the mean NDCG of orders; by the grades' own order where rows have no labels."""
    values = []
    for sample, order in zip(samples, orders, strict=True):
        gains = grades(sample)
        lowest = min(gains)
        gains = [gain - min(lowest, 0.0) for gain in gains]
        values.append(ndcg([gains[place] for place in order], gains))
    return float(np.mean(values))


def log_softmax(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return log-probabilities of scores [rows, C]."""
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
