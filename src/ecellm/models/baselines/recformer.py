"""`recformer`: SR by texts alone: items are what their texts say, so that products never seen can be recommended.

After Recformer (Li et al. 2023, "Text Is All You Need"): an item is the embedding of its text, a transformer over the
history gives the shopper's embedding, and candidates are ranked by their cosine with it.

Deviations: an item's text (title, brand, category) is read alone by MiniLM, whose weights stay as they are, and a
small transformer reads the items' embeddings, where Recformer tunes one Longformer over the whole history; a learned
linear map that starts as the identity stands for that tuning; instead of pre-training on other shops and in-batch
negatives, the candidates of each training row and the targets of its batch serve. Shapes: B rows, T
purchases, K candidates, H hidden.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecellm.data.dataset import Dataset
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, rows_of
from ecellm.models.baselines.gsasrec import target
from ecellm.models.baselines.text_encoder import Reader
from ecellm.models.baselines.training import Course, arrays, restore, seeded, train
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.lexical.recommendation import candidates, history
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.metrics import Floats
from ecellm.tasks.task import Task
from ecellm.types import Example

LONGEST = 50
SIZE, HEADS, LAYERS, DROPOUT = 384, 6, 2, 0.2
EPOCHS = 12
#: Cosines are divided by this, as in Recformer, before the softmax.
TEMPERATURE = 0.05


class RecformerNetwork(nn.Module):
    """From the embeddings of a history, the newest first, to the shopper's embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(LONGEST, SIZE))
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(SIZE, HEADS, 2 * SIZE, DROPOUT, batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.weigh = nn.Linear(SIZE, 1)
        self.out = nn.Linear(SIZE, SIZE)
        self.map = nn.Linear(SIZE, SIZE, bias=False)
        with torch.no_grad():
            self.map.weight.copy_(torch.eye(SIZE))
            for blank in (self.out.weight, self.out.bias, self.weigh.weight, self.weigh.bias):
                blank.zero_()

    def item(self, read: Tensor) -> Tensor:
        """Return items' embeddings of length 1 from what MiniLM read, [..., H]."""
        return functional.normalize(self.map(read), dim=-1)

    def forward(self, read: Tensor, mask: Tensor) -> Tensor:
        """Return [B, H], of length 1, for histories [B, T, H] of which `mask` [B, T] says what is there.

        Untrained it is the mean of the purchases: what training adds to that starts at 0.
        """
        items = self.item(read)
        states = items + self.places[: items.shape[1]]
        for layer in self.layers:
            states = layer(states, src_key_padding_mask=~mask)
        weights = self.weigh(states)[..., 0].masked_fill(~mask, -torch.inf).softmax(-1)
        return functional.normalize((weights[..., None] * (items + self.out(states))).sum(1), dim=-1)


class Recformer:
    """The network over a `Reader` of item texts."""

    def __init__(self, reader: Reader, device: str = "cpu"):
        self.reader = reader
        self.net = RecformerNetwork().to(device)
        self.device = device

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Train on the targets of training rows; the pass with the most validation hits is kept."""
        examples = rows_of(task, dataset, "train", choices.limit)
        held = rows_of(task, dataset, "validation")
        reader = Reader(choices.device)
        with seeded(choices.seed, "recformer"):
            found = cls(reader, choices.device)
        texts = _texts([*examples, *held])
        read = dict(zip(texts, reader(texts), strict=True))
        wanted = {example.id: candidates(example).index(target(example)) for example in examples}

        def loss(batch: list[Example]) -> Tensor:
            shoppers, shown = found._embedded(batch, read)
            labels = torch.tensor([wanted[example.id] for example in batch], device=found.device)
            scores = [(items @ shopper) / TEMPERATURE for shopper, items in zip(shoppers, shown, strict=True)]
            targets = torch.stack([items[place] for items, place in zip(shown, labels, strict=True)])
            across = functional.cross_entropy(
                shoppers @ targets.T / TEMPERATURE, torch.arange(len(batch), device=found.device)
            )
            own = torch.stack([-row.log_softmax(-1)[place] for row, place in zip(scores, labels, strict=True)])
            return own.mean() + 0.1 * across

        def hits() -> float:
            return float(
                np.mean(
                    [
                        LETTERS[int(row.argmax())] == example.output
                        for example, row in zip(held, found.scores(held, read), strict=True)
                    ]
                )
            )

        course = Course(choices.epochs or EPOCHS, 3e-4, 32)
        train(found.net, examples, loss, hits if held else None, course, choices, progress)
        return found

    def save(self, part: TaskFiles) -> None:
        """Write the weights; MiniLM's own are not among them."""
        part.write({}, arrays(self.net))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read them back."""
        _, weights = part.read()
        with seeded(0):
            found = cls(Reader(device), device)
        restore(found.net, weights)
        return found

    @torch.inference_mode()
    def scores(self, examples: Sequence[Example], read: dict[str, Tensor]) -> list[Floats]:
        """Return each example's candidates' scores, [candidates]; `read` holds MiniLM's embeddings of all texts."""
        scores = []
        for first in range(0, len(examples), 64):
            shoppers, shown = self._embedded(examples[first : first + 64], read)
            scores += [
                (items @ shopper / TEMPERATURE).double().cpu().numpy()
                for shopper, items in zip(shoppers, shown, strict=True)
            ]
        return scores

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the candidate nearest to the shopper."""
        texts = _texts(examples)
        found = self.scores(examples, dict(zip(texts, self.reader(texts), strict=True)))
        return [candidate_reply(example, row.tolist(), {}) for example, row in zip(examples, found, strict=True)]

    def _embedded(self, examples: Sequence[Example], read: dict[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return shoppers [B, H] and, for each, its candidates [K, H]."""
        bought = [history(example)[-LONGEST:][::-1] or [""] for example in examples]
        width = max(map(len, bought))
        rows = torch.zeros(len(examples), width, SIZE)
        mask = torch.zeros(len(examples), width, dtype=torch.bool)
        for place, texts in enumerate(bought):
            rows[place, : len(texts)] = torch.stack([read[text] for text in texts])
            mask[place, : len(texts)] = True
        shoppers = self.net(rows.to(self.device), mask.to(self.device))
        shown = [torch.stack([read[text] for text in candidates(example)]).to(self.device) for example in examples]
        return shoppers, list(torch.split(self.net.item(torch.cat(shown)), [len(items) for items in shown]))


def _texts(examples: Sequence[Example]) -> list[str]:
    return sorted({text for example in examples for text in (*history(example), *candidates(example), "")})
