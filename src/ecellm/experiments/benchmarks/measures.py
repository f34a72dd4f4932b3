"""The benchmarks' own measures, row by row, on the test rows as published and on parts of them.

Pairs and judgements are scored by this project's strict rules. Attribute values are scored as ExtractGPT scores them
(pieutils/evaluation.py there): the rows are products, whose examples' answers are put together.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecellm.data.dataset import Dataset
from ecellm.experiments.benchmarks.extractgpt import ABSENT, LabelledProduct, attributes, product_key, products
from ecellm.experiments.benchmarks.registry import Benchmark
from ecellm.tasks import TASKS
from ecellm.tasks.answers import NONE, Triples
from ecellm.tasks.metrics import triple_figures
from ecellm.tasks.scored import Scored
from ecellm.tasks.scoring import read_answers, score_answers
from ecellm.types import SPLITS, Example

PUBLISHED = "the test rows as published"
APART = "test rows whose input stands in no other split"
EVERY = "every attribute of the category, annotated or not"


@dataclass(frozen=True)
class View:
    """A part of the test rows, or another way to count them."""

    name: str
    scored: Scored


def crossing(dataset: Dataset) -> set[str]:
    """Return the inputs that stand in several splits."""
    first: dict[str, str] = {}
    found: set[str] = set()
    for split in SPLITS:
        for example in dataset.examples(split):
            if first.setdefault(example.input, split) != split:
                found.add(example.input)
    return found


def views(benchmark: Benchmark, dataset: Dataset, folder: Path, texts: Mapping[str, str]) -> list[View]:
    """Return the scored test rows; `texts` are the answers by example id, one for each.

    `folder` holds the raw files: attribute values are compared with what they accept.
    """
    examples = dataset.examples("test")
    elsewhere = crossing(dataset)
    if TASKS[benchmark.task].answer.kind == "spans":
        return _value_views(benchmark, examples, folder, texts, elsewhere)
    task = TASKS[benchmark.task]
    answers, _ = read_answers(task, "strict", examples, [texts[example.id] for example in examples])
    scored = score_answers(task, "strict", examples, answers, None)
    apart = [place for place, example in enumerate(examples) if example.input not in elsewhere]
    return _with_part(scored, apart)


def _with_part(scored: Scored, apart: Sequence[int]) -> list[View]:
    """Return the rows, and those of `apart` where these are others."""
    found = [View(PUBLISHED, scored)]
    if 0 < len(apart) < len(scored.stats):
        found.append(View(APART, Scored(scored.stats[list(apart)], scored.figures)))
    return found


def _value_views(
    benchmark: Benchmark, examples: Sequence[Example], folder: Path, texts: Mapping[str, str], elsewhere: set[str]
) -> list[View]:
    known = products(folder)
    tested = [product for product in known if product.split == "test"]
    answers = answers_by_product(examples, texts)
    given = [answers.get(product_key(benchmark.name, product), {}) for product in tested]
    pairs = list(zip(tested, given, strict=True))
    annotated = np.array([value_counts(product, values, product.values) for product, values in pairs], np.float64)
    seen = {key for example in examples if example.input in elsewhere for key in example.products}
    apart = [place for place, product in enumerate(tested) if product_key(benchmark.name, product) not in seen]
    wanted = attributes(known)
    every = [value_counts(product, values, wanted[product.category]) for product, values in pairs]
    return [
        *_with_part(Scored(annotated, triple_figures), apart),
        View(EVERY, Scored(np.array(every, np.float64), triple_figures)),
    ]


def answers_by_product(examples: Iterable[Example], texts: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return each product's values by attribute (in lower case), in the casing of its title.

    An attribute's first value counts; an answer that cannot be parsed gives none.
    """
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for example in examples:
        title = json.loads(example.input)["product title"]
        for triple in Triples().parse(texts[example.id], example) or []:
            if triple["value"] != NONE:
                found[example.products[0]].setdefault(triple["attribute"].lower(), cased(triple["value"], title))
    return found


def cased(value: str, title: str) -> str:
    """Return a value as it first stands in the title, whatever its case, as whole words if it does so anywhere; as it
    is where it does not stand there.

    The published form of the task has values in lower case, and ExtractGPT's measure tells cases apart.
    """
    plain = re.escape(value)
    found = re.search(rf"(?<!\w){plain}(?!\w)", title, re.IGNORECASE) or re.search(plain, title, re.IGNORECASE)
    return found[0] if found is not None else value


def value_counts(product: LabelledProduct, given: Mapping[str, str], names: Iterable[str]) -> tuple[int, int, int]:
    """Return how many of these attributes have the right value, have one, and should have one.

    An attribute whose first accepted value is n/a, or that was not annotated, should have none.
    """
    right = there = wanted = 0
    for attribute in names:
        accepted = product.values.get(attribute, (ABSENT,))
        value = given.get(attribute.lower())
        there += value is not None
        if accepted[0] != ABSENT:
            wanted += 1
            right += value in [one.strip() for one in accepted]
    return right, there, wanted
