"""`rgcn`: PRP by a relational graph network over the products of the training pairs.

R-GCN (Schlichtkrull et al. 2018): a product's state is a sum over relations of the mean of its neighbours' states,
each relation with a matrix of its own, all matrices mixed from few (basis decomposition, equation 3), and of its own
state.

Deviations: nodes start from MiniLM's embedding of their title, so that a product without training pairs is answered
from its text; a pair's class is read by a small network over both states instead of DistMult; the pairs of a step are
taken out of the graph while they are predicted. The layer is PyTorch Geometric's, an extra.
Shapes: N products, E pairs, C classes.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecellm.data.dataset import Dataset
from ecellm.errors import ModelError
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, class_count, class_reply, label, rows_of
from ecellm.models.baselines.encoder import log_softmax
from ecellm.models.baselines.text_encoder import Reader
from ecellm.models.baselines.training import Course, arrays, restore, seeded, train
from ecellm.models.calibration.fitting import threshold_rows
from ecellm.models.calibration.thresholds import enough_rows, score_with_thresholds
from ecellm.models.lexical.pair_features import nested, under
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.tasks.metrics import Floats, class_metric
from ecellm.tasks.task import Task
from ecellm.types import Example

INSTALL = "The baseline rgcn needs PyTorch Geometric: pip install 'ecellm[graph]'."

SIZE, BASES, DROPOUT = 128, 2, 0.3
EPOCHS = 30
#: A step predicts, and takes out of the graph, this share of the pairs.
SHARE = 0.1


def convolution() -> Callable[..., nn.Module]:
    """Return PyTorch Geometric's layer; raises ModelError where it is not installed."""
    try:
        from torch_geometric.nn import RGCNConv
    except ImportError as error:
        raise ModelError(INSTALL) from error
    return RGCNConv


def layer(inside: int, outside: int, relations: int) -> nn.Module:
    """Return one round of messages: states [N, inside] and the edges of `graph` to [N, outside]."""
    return convolution()(inside, outside, relations, num_bases=BASES, aggr="mean")


def graph(pairs: Tensor, relations: Tensor) -> tuple[Tensor, Tensor]:
    """Return edges [2, 2E] and their relations [2E]: pairs [E, 2] go both ways; one that is there twice counts so."""
    return torch.cat([pairs, pairs.flip(1)]).T, relations.repeat(2)


class RgcnNetwork(nn.Module):
    """Two layers, and a class of each pair."""

    def __init__(self, features: int, relations: int):
        super().__init__()
        self.first = layer(features, SIZE, relations)
        self.second = layer(SIZE, SIZE, relations)
        self.dropout = nn.Dropout(DROPOUT)
        width = 3 * SIZE + features
        self.out = nn.Sequential(nn.Linear(width, SIZE), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(SIZE, relations))

    def forward(self, features: Tensor, edges: tuple[Tensor, Tensor], pairs: Tensor) -> Tensor:
        """Return scores [E, C] of pairs [E, 2]; the order within a pair does not matter."""
        states = functional.gelu(self.first(self.dropout(features), *edges))
        states = self.second(self.dropout(states), *edges)
        one, other = states[pairs[:, 0]], states[pairs[:, 1]]
        alike = features[pairs[:, 0]] * features[pairs[:, 1]] * features.shape[1] ** 0.5
        return self.out(torch.cat([one + other, (one - other).abs(), one * other, alike], -1))


class RGCN:
    """The network and its graph."""

    def __init__(self, titles: Sequence[str], features: Tensor, pairs: Tensor, relations: Tensor, classes: int):
        self.titles = list(titles)
        self.numbers = {title: number for number, title in enumerate(titles)}
        self.features, self.pairs, self.relations, self.classes = features, pairs, relations, classes
        self.net = RgcnNetwork(features.shape[1], classes)
        self.reader: Reader | None = None
        self.device = "cpu"

    def to(self, device: str) -> Self:
        """Move it."""
        self.device = device
        self.net.to(device)
        self.features, self.pairs = self.features.to(device), self.pairs.to(device)
        self.relations = self.relations.to(device)
        return self

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Train on the training pairs; the pass of the best validation figure is kept."""
        convolution()  # before the titles are read, which takes a while
        examples = rows_of(task, dataset, "train", choices.limit)
        held = threshold_rows(rows_of(task, dataset, "validation"), dataset.seed)
        titles = sorted({title for example in examples for title in both_titles(example)})
        reader = Reader(choices.device)
        numbers = {title: number for number, title in enumerate(titles)}
        pairs = torch.tensor([[numbers[title] for title in both_titles(example)] for example in examples])
        relations = torch.tensor([label(example) for example in examples])
        classes = class_count(examples)
        with seeded(choices.seed, "rgcn"):
            found = cls(titles, reader(titles), pairs, relations, classes).to(choices.device)
        found.reader = reader
        shares = Counter(relations.tolist())
        weights = torch.tensor([max(shares[place], 1) ** -0.5 for place in range(classes)], device=choices.device)
        weights = weights / weights.mean()

        def loss(batch: list[int]) -> Tensor:
            chosen = torch.tensor(batch, device=found.device)
            rest = torch.ones(len(examples), dtype=torch.bool, device=found.device)
            rest[chosen] = False
            edges = graph(found.pairs[rest], found.relations[rest])
            scores = found.net(found.features, edges, found.pairs[chosen])
            return functional.cross_entropy(scores, found.relations[chosen], weights)

        metric = class_metric(task.metric, classes)
        labels = np.array([label(example) for example in held], dtype=np.int64)
        held_features = found._unknown(held)

        def score() -> float:
            return score_with_thresholds(log_softmax(found._scores(held, held_features)), labels, metric)

        enough = enough_rows(len(held), classes)
        rows = max(1, round(SHARE * len(examples)))
        course = Course(choices.epochs or EPOCHS, 2e-3, rows, weight_decay=0.01)
        train(found.net, range(len(examples)), loss, score if enough else None, course, choices, progress)
        return found

    def save(self, part: TaskFiles) -> None:
        """Write the graph, its features and the weights."""
        tensors = {"pairs": self.pairs, "relations": self.relations, "features": self.features}
        kept = {name: tensor.cpu().numpy() for name, tensor in tensors.items()}
        notes = {"titles": self.titles, "classes": self.classes}
        part.write(notes, kept | nested("net", arrays(self.net)))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read them back."""
        notes, kept = part.read()
        features, pairs, relations = (torch.from_numpy(kept[name]) for name in ("features", "pairs", "relations"))
        with seeded(0):
            found = cls(notes["titles"], features, pairs, relations, notes["classes"])
        restore(found.net, under("net", kept))
        found.reader = Reader(device)
        return found.to(device)

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the likeliest relation."""
        logs = log_softmax(self._scores(examples, self._unknown(examples)))
        return [class_reply(example, row.tolist()) for example, row in zip(examples, logs, strict=True)]

    def _unknown(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        """Return MiniLM's embeddings of the titles that the graph does not have."""
        assert self.reader is not None
        new = sorted({title for example in examples for title in both_titles(example)} - set(self.numbers))
        return dict(zip(new, self.reader(new), strict=True))

    @torch.inference_mode()
    def _scores(self, examples: Sequence[Example], unknown: dict[str, Tensor]) -> Floats:
        """Return [examples, C]; products that the graph does not have stand beside it, without neighbours."""
        numbers = self.numbers | {title: len(self.titles) + place for place, title in enumerate(unknown)}
        features = torch.cat([self.features, *(row[None].to(self.device) for row in unknown.values())])
        edges = graph(self.pairs, self.relations)
        pairs = torch.tensor([[numbers[title] for title in both_titles(example)] for example in examples])
        return self.net(features, edges, pairs.to(self.device)).double().cpu().numpy()


def both_titles(example: Example) -> tuple[str, str]:
    """Return the titles of a pair."""
    one, other = json.loads(example.input).values()
    return str(one), str(other)
