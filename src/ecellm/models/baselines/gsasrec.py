"""`gsasrec`: SR by self-attention over item ids, trained with the generalised binary cross-entropy.

gSASRec (Petrov and Macdonald 2023): SASRec's causal self-attention (Kang and McAuley 2018), several negatives for
each position, and the loss gBCE, whose power beta of the positive's probability undoes the overconfidence that
sampled negatives bring.

Items are identified by their texts, learned from the histories and targets of SR's training rows. A candidate that no
training shopper bought has no embedding of its own: it gets one that is trained in place of a few items drawn anew
at every step, and so stands for "an item not seen". Candidates of equal score stay in the order of the options.
Deviations: a constant beside all scores starts at the log-odds at which the loss is least where nothing is known (the
network would spend its first thousand steps on finding it, all items alike); layer norm before attention and
feed-forward, as in later versions of SASRec; the best pass by validation hits.

Shapes: B rows, T positions, N negatives, H hidden (item 0 is padding, 1 an item not seen).
"""

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ecellm.data.dataset import Dataset
from ecellm.errors import ModelError
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, rows_of
from ecellm.models.baselines.training import Course, arrays, restore, seeded, train
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.lexical.recommendation import candidates, history
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.models.masking import padded
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.metrics import Floats
from ecellm.tasks.task import Task
from ecellm.types import Example

SIZE, LAYERS, HEADS, DROPOUT = 64, 2, 2, 0.3
LONGEST = 50
NEGATIVES = 64
#: The paper's calibration t; 0 is plain binary cross-entropy, 1 undoes the sampling wholly.
CALIBRATION = 0.75
EPOCHS = 20
#: Of the items shown in training, those that are taken for an item not seen.
HIDDEN_SHARE = 0.05
PADDING, UNSEEN, FIRST = 0, 1, 2
AT_ONCE = 64


def beta(negatives: int, items: int, calibration: float) -> float:
    """Return gBCE's power beta = alpha (t (1 - 1/alpha) + 1/alpha), alpha = negatives / (items - 1) (equation 17)."""
    alpha = negatives / (items - 1)
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)


def gbce(positive: Tensor, negative: Tensor, power: float) -> Tensor:
    """Return -1/(N + 1) (log sigma(s+)^beta + sum log(1 - sigma(s-))) for scores [...] and [..., N] (section 5)."""
    total = power * functional.logsigmoid(positive) + functional.logsigmoid(-negative).sum(-1)
    return -total / (negative.shape[-1] + 1)


class GsasrecNetwork(nn.Module):
    """Item and position embeddings, causal self-attention, scores by dot product with the item embeddings."""

    def __init__(self, items: int, level: float = 0.0):
        super().__init__()
        self.level = nn.Parameter(torch.tensor(level))
        self.items = nn.Embedding(items, SIZE, padding_idx=PADDING)
        self.places = nn.Embedding(LONGEST, SIZE)
        nn.init.normal_(self.items.weight, std=SIZE**-0.5)
        nn.init.normal_(self.places.weight, std=SIZE**-0.5)
        with torch.no_grad():
            self.items.weight[PADDING] = 0
        self.layers = nn.ModuleList(
            nn.TransformerEncoderLayer(SIZE, HEADS, SIZE, DROPOUT, batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        )
        self.norm = nn.LayerNorm(SIZE)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, bought: Tensor) -> Tensor:
        """Return states [B, T, H] of items [B, T], padded at the end; each sees what came before it only."""
        length = bought.shape[1]
        states = self.items(bought) * math.sqrt(SIZE) + self.places.weight[:length]
        states = self.dropout(states)
        later = torch.ones(length, length, dtype=torch.bool, device=bought.device).triu(1)
        for layer in self.layers:
            states = layer(states, src_mask=later)
        return self.norm(states)

    def scores(self, states: Tensor, items: Tensor) -> Tensor:
        """Return [..., N]: how well items [..., N] follow states [..., H]."""
        return (self.items(items) @ states[..., None])[..., 0] + self.level


class GSASRec:
    """The network and the texts of its items."""

    def __init__(self, items: Sequence[str], level: float = 0.0, device: str = "cpu"):
        self.items = list(items)
        self.numbers = {text: number for number, text in enumerate(items, FIRST)}
        self.net = GsasrecNetwork(len(items) + FIRST, level).to(device)
        self.device = device

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Train on whole training histories; the pass with the most validation hits is kept."""
        examples = rows_of(task, dataset, "train", choices.limit)
        held = rows_of(task, dataset, "validation")
        sequences = [[*history(example), target(example)] for example in examples]
        items = sorted({text for texts in sequences for text in texts})
        if len(items) < 2:
            raise ModelError(f"{dataset.path} has too few distinct purchases in SR's training rows for gsasrec.")
        negatives = min(NEGATIVES, len(items) - 1)
        power = beta(negatives, len(items), CALIBRATION)
        with seeded(choices.seed, "gsasrec"):
            found = cls(items, math.log(power / negatives), choices.device)
        rows = [found._numbered(texts)[-LONGEST - 1 :] for texts in sequences]

        def loss(batch: list[list[int]]) -> Tensor:
            shown = found._padded(batch)
            hidden = (torch.rand(shown.shape, device=found.device) < HIDDEN_SHARE) & (shown != PADDING)
            shown = shown.masked_fill(hidden, UNSEEN)
            states, wanted = found.net(shown[:, :-1]), shown[:, 1:]
            others = torch.randint(FIRST, len(found.items) + FIRST, (*wanted.shape, negatives), device=found.device)
            scores = found.net.scores(states, torch.cat([wanted[..., None], others], -1))
            # A negative that is the positive itself counts for nothing.
            apart = scores[..., 1:].masked_fill(others == wanted[..., None], -torch.inf)
            each = gbce(scores[..., 0], apart, power)
            inside = wanted != PADDING
            return (each * inside).sum() / inside.sum().clamp(min=1)

        def hits() -> float:
            first = [LETTERS[int(scores.argmax())] for scores in found.scores(held)]
            return float(np.mean([one == example.output for one, example in zip(first, held, strict=True)]))

        course = Course(choices.epochs or EPOCHS, 3e-3, 32, weight_decay=0.0, warmup=0.05)
        train(found.net, rows, loss, hits if held else None, course, choices, progress)
        return found

    def save(self, part: TaskFiles) -> None:
        """Write the items' texts and the weights."""
        part.write({"items": self.items}, arrays(self.net))

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read them back."""
        notes, weights = part.read()
        with seeded(0):
            found = cls(notes["items"], device=device)
        restore(found.net, weights)
        return found

    @torch.inference_mode()
    def scores(self, examples: Sequence[Example]) -> list[Floats]:
        """Return the scores of each example's candidates after its history, [candidates]."""
        found: list[Floats] = []
        for first in range(0, len(examples), AT_ONCE):
            chosen = examples[first : first + AT_ONCE]
            bought = [self._numbered(history(example))[-LONGEST:] or [UNSEEN] for example in chosen]
            shown = [self._numbered(candidates(example)) for example in chosen]
            ends = torch.tensor([len(row) - 1 for row in bought], device=self.device)
            states = self.net(self._padded(bought))[torch.arange(len(chosen), device=self.device), ends]
            scores = self.net.scores(states, self._padded(shown)).double().cpu().numpy()
            found += [row[: len(items)] for row, items in zip(scores, shown, strict=True)]
        return found

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the candidate of the greatest score."""
        return [
            candidate_reply(example, scores.tolist(), {})
            for example, scores in zip(examples, self.scores(examples), strict=True)
        ]

    def _numbered(self, texts: Sequence[str]) -> list[int]:
        return [self.numbers.get(text, UNSEEN) for text in texts]

    def _padded(self, rows: Sequence[list[int]]) -> Tensor:
        return padded(rows, PADDING, self.device)


def target(example: Example) -> str:
    """Return the text of the candidate that was bought; raises ModelError where the answer names none."""
    place, shown = LETTERS.find(example.output.strip()[:1] or "?"), candidates(example)
    if not 0 <= place < len(shown):
        raise ModelError(f"The answer of {example.id} is none of its options: {example.output[:60]!r}.")
    return shown[place]
