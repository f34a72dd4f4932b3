"""What trivial answers score: a figure says something only above the best of these.

Trivial is what needs no learning: one constant answer (the majority class among them), a random answer
(mean over keyed draws), the first or the most similar text by shared words, no value for any attribute.
The best is taken for each metric by itself, on the same rows and under the same rules as the model.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np

from ecellm.evaluation.scoring import PairScorer, Scoring, row_scorer
from ecellm.keys import keyed_hash
from ecellm.records import Sample
from ecellm.tasks.answers import LETTERS, Letter, Ranking, Triples, YesNo, option_texts
from ecellm.tasks.task import Task

RANDOM_DRAWS = 20
#: Constant orders permute this many first letters; published lists have 2 to 4 products.
MOST_PERMUTED = 4

Answers = list[Any]


@dataclass(frozen=True)
class Floor:
    """The best trivial answer by one metric."""

    value: float
    name: str


def best_floors(
    task: Task, scoring: Scoring, samples: Sequence[Sample], pairs: PairScorer | None, seed: int
) -> dict[str, Floor]:
    """Return the best trivial answer's value and name, by metric; the first named wins ties."""

    score = row_scorer(task, scoring, samples, pairs)
    found = {name: score(answers).values() for name, answers in trivial_answers(task, scoring, samples).items()}
    draws = [score(answers).values() for answers in random_answers(task, samples, seed)]
    if draws:
        found["random"] = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    metrics = next(iter(found.values()))
    best: dict[str, Floor] = {}
    for metric in metrics:
        name = max(found, key=lambda known, metric=metric: found[known][metric])  # type: ignore[misc]
        best[metric] = Floor(found[name][metric], name)
    return best


def trivial_answers(task: Task, scoring: Scoring, samples: Sequence[Sample]) -> dict[str, Answers]:
    """Return the parsed answers, one per sample, of each trivial rule that is not random."""
    answer = task.answer
    if isinstance(answer, YesNo):
        return {f"always {word}": [word] * len(samples) for word in YesNo.choices}
    if isinstance(answer, Letter):
        # The best of twenty constant letters is luck; SR's candidates are shuffled, so the first stands for all.
        most = 1 if task.metric == "hr@1" else max(_option_count(answer, sample) for sample in samples)
        return {f"always {letter}": [letter] * len(samples) for letter in LETTERS[:most]}
    if isinstance(answer, Ranking):
        return _constant_orders(answer, scoring, samples) | {
            "most similar title first": [_titles_by_similarity(sample) for sample in samples]
        }
    if isinstance(answer, Triples):
        return {"None for all": [_all_none(answer, sample) for sample in samples]}
    return {
        "first snippet": [next(iter(_snippets(sample)), "") for sample in samples],
        "most similar snippet": [_most_similar_snippet(sample) for sample in samples],
    }


def random_answers(task: Task, samples: Sequence[Sample], seed: int) -> list[Answers]:
    """Return keyed draws of uniformly random answers; none for tasks without a finite choice."""
    answer = task.answer
    generator = np.random.default_rng(int(keyed_hash(seed, "random answers", task.name), 16))
    if isinstance(answer, Ranking):
        letters = [answer.letters(sample) for sample in samples]
        most = max(map(len, letters), default=0)
        beyond = np.arange(most) >= np.array([[len(row)] for row in letters])
        draws = []
        for _ in range(RANDOM_DRAWS):
            # Sorted random numbers, those of places that a list does not have last.
            order = np.argsort(generator.random((len(letters), most)) + beyond, axis=1).tolist()
            draws.append(
                [[row[place] for place in places[: len(row)]] for row, places in zip(letters, order, strict=True)]
            )
        return draws
    if isinstance(answer, YesNo):
        names: Sequence[str] = YesNo.choices
        sizes = [len(names)] * len(samples)
    elif isinstance(answer, Letter):
        names = LETTERS
        sizes = [_option_count(answer, sample) for sample in samples]
    else:
        return []
    return [[names[place] for place in generator.integers(0, sizes)] for _ in range(RANDOM_DRAWS)]


def _option_count(answer: Letter, sample: Sample) -> int:
    return len(option_texts(sample.options)) if sample.options else len(answer.published_letters)


def _constant_orders(answer: Ranking, scoring: Scoring, samples: Sequence[Sample]) -> dict[str, Answers]:
    """Return every constant order; under the published rules also those that name one or two letters only."""
    rows = [answer.letters(sample) for sample in samples]
    letters = max(rows, key=len)
    first, rest = letters[:MOST_PERMUTED], letters[MOST_PERMUTED:]
    sizes = [len(first)] if scoring == "strict" else [len(first), 1, 2]
    orders = dict.fromkeys(order for size in sizes for order in permutations(first, size))

    def shortened(order: tuple[str, ...]) -> Answers:
        whole = (*order, *(rest if len(order) == len(first) else ""))
        known = {row: [letter for letter in whole if letter in row] for row in dict.fromkeys(rows)}
        return [known[row] for row in rows]

    return {"always " + ",".join(order): shortened(order) for order in orders}


def _titles_by_similarity(sample: Sample) -> list[str]:
    """Return the letters by how many words of the query the title has, most first, ties in list order."""
    read = json.loads(sample.input)
    titles = read["product list"]
    query = _words(str(read["query"]))
    order = sorted(range(len(titles)), key=lambda place: -len(query & _words(titles[place][2:])))
    return [LETTERS[place] for place in order]


def _all_none(answer: Triples, sample: Sample) -> list[dict[str, str]]:
    attributes = dict.fromkeys(name.lower() for name in answer.attributes(sample))
    return [{"attribute": name, "value": "None", "source": "None"} for name in attributes]


def _snippets(sample: Sample) -> list[str]:
    return [str(snippet) for snippet in json.loads(sample.input)["document"]]


def _most_similar_snippet(sample: Sample) -> str:
    """Return the first of the snippets that share most words with the question; "" where there is none."""
    question = _words(str(json.loads(sample.input)["question"]))
    return max(_snippets(sample), key=lambda snippet: len(question & _words(snippet)), default="")


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
