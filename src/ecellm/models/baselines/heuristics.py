"""Baselines that count or compare and need no training: BM25, popularity, the last purchase, the nearest snippet."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch

from ecellm.data.dataset import Dataset
from ecellm.models.base import Reply
from ecellm.models.baselines.base import Choices, FitProgress, rows_of
from ecellm.models.baselines.gsasrec import target
from ecellm.models.baselines.text_encoder import Reader
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.lexical.recommendation import candidates, history
from ecellm.models.lexical.task_files import TaskFiles
from ecellm.models.lexical.text_pairs import text_pair, text_pairs
from ecellm.tasks.answers import LETTERS
from ecellm.tasks.task import Task
from ecellm.types import Example

WORD = re.compile(r"\w+")
#: Robertson and Zaragoza's usual values (2009, section 3.5).
K1, B = 1.2, 0.75


def words(text: str) -> list[str]:
    """Return the lower-cased words of a text."""
    return WORD.findall(text.casefold())


class Counts:
    """A baseline whose attributes are counts, by the names of its arguments."""

    def save(self, part: TaskFiles) -> None:
        """Write the counts."""
        part.write(vars(self), {})

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Read the counts back."""
        return cls(**part.read()[0])


class BM25(Counts):
    """`bm25`, QPR: products by the BM25 of their titles (Robertson and Zaragoza 2009), whose word counts come from
    the titles of training lists. The inverse document frequency is Lucene's, log(1 + (N - n + .5) / (n + .5)), which
    is never negative. Products of equal score stay in the list's order."""

    def __init__(self, titles: int, mean_length: float, holding: dict[str, int]):
        self.titles, self.mean_length, self.holding = titles, mean_length, holding

    @classmethod
    def of(cls, titles: Sequence[str]) -> Self:
        """Count the words of titles."""
        read = [words(title) for title in titles]
        holding = Counter(word for title in read for word in set(title))
        return cls(len(read), max(sum(map(len, read)), 1) / max(len(read), 1), dict(sorted(holding.items())))

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Count the words of the distinct titles of training lists."""
        rows = rows_of(task, dataset, "train", choices.limit)
        return cls.of(sorted({pair.right for example in rows for pair in text_pairs(example)}))

    def score(self, query: str, title: str) -> float:
        """Return the sum over the query's words of idf tf (k1 + 1) / (tf + k1 (1 - b + b length / mean length))."""
        counts = Counter(words(title))
        spread = K1 * (1 - B + B * sum(counts.values()) / self.mean_length)
        total = 0.0
        for word in words(query):
            holding = self.holding.get(word, 0)
            rare = math.log(1 + (self.titles - holding + 0.5) / (holding + 0.5))
            total += rare * counts[word] * (K1 + 1) / (counts[word] + spread)
        return total

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the letters, the greatest score first."""
        replies = []
        for example in examples:
            scores = np.array([self.score(pair.left, pair.right) for pair in text_pairs(example)])
            replies.append(Reply(",".join(LETTERS[place] for place in np.argsort(-scores, kind="stable"))))
        return replies


class Popularity(Counts):
    """`popularity`, SR: the candidate that training shoppers bought most often, one never bought counting as 0."""

    def __init__(self, bought: dict[str, int]):
        self.bought = bought

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Count the purchases of training histories and their targets."""
        rows = rows_of(task, dataset, "train", choices.limit)
        counts = Counter(text for example in rows for text in (*history(example), target(example)))
        return cls(dict(sorted(counts.items())))

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the most popular candidate; probabilities are shares of the purchases, one more each."""
        return [
            candidate_reply(example, [math.log1p(self.bought.get(text, 0)) for text in candidates(example)], {})
            for example in examples
        ]


class Unfitted:
    """A baseline without training: MiniLM as it comes."""

    def __init__(self, device: str = "cpu"):
        self.reader = Reader(device)

    @classmethod
    def fit(cls, task: Task, dataset: Dataset, choices: Choices, progress: FitProgress) -> Self:
        """Load MiniLM."""
        return cls(choices.device)

    def save(self, part: TaskFiles) -> None:
        """Write empty files."""
        part.write({}, {})

    @classmethod
    def load(cls, part: TaskFiles, device: str) -> Self:
        """Load MiniLM."""
        return cls(device)

    def nearest(self, rows: Sequence[tuple[str, Sequence[str]]]) -> list[int]:
        """Return, for each text, the index of its most similar candidate, the first of equals."""
        texts = sorted({text for one, others in rows for text in (one, *others)})
        read = dict(zip(texts, self.reader(texts), strict=True)) if texts else {}
        return [int(torch.stack([read[other] for other in others]).mv(read[one]).argmax()) for one, others in rows]


class LastItem(Unfitted):
    """`last`, SR: the candidate whose text is most like the last purchase's, by the cosine of MiniLM's means."""

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with the most similar candidate."""
        rows = [((history(example) or [""])[-1], candidates(example)) for example in examples]
        return [Reply(LETTERS[place]) for place in self.nearest(rows)]


class Snippet(Unfitted):
    """`snippet`, AG: the snippet most like the question, by the cosine of MiniLM's means.

    MiniLM was itself trained on pairs of Amazon questions and answers: its figures flatter it there.
    """

    def reply(self, examples: Sequence[Example]) -> list[Reply]:
        """Answer with a snippet; with nothing where there is none."""
        pairs = [text_pair(example) for example in examples]
        some = [pair for pair in pairs if pair.parts]
        nearest = iter(self.nearest([(pair.left, pair.parts) for pair in some]))
        return [Reply(pair.parts[next(nearest)] if pair.parts else "") for pair in pairs]
