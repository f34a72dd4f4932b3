"""Reviews of the simulated shop: stars from quality and taste, words from stars."""

import re
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ecellm.data.simulator import products
from ecellm.data.simulator.department import Purchases, Stock
from ecellm.data.simulator.random_draws import RandomDraws
from ecellm.data.simulator.vocabulary import Department, words

#: Shares of one to five stars, as skewed as the real ones.
SHARES = (0.08, 0.07, 0.10, 0.18, 0.57)
#: Share of ratings that have nothing to do with the text.
SLIPS = 0.03
FEELINGS = ("delight", "content", "plain", "letdown", "anger")
#: Cumulative weights of the feelings (in the order above) of a sentence, by stars from one to five.
MIX = (
    (0.00, 0.04, 0.16, 0.48, 1.00),
    (0.02, 0.14, 0.36, 0.86, 1.00),
    (0.03, 0.29, 0.72, 0.97, 1.00),
    (0.20, 0.70, 0.86, 0.98, 1.00),
    (0.62, 0.85, 0.96, 0.99, 1.00),
)
#: How often a review ends in a verdict, and how often that verdict is one star off.
VERDICT, OFF = 0.45, 0.25
SHORT = 0.07
SLOT = re.compile(r"\{(\w+)\}")
Template = tuple[tuple[str, ...], tuple[str, ...]]
"""Literal texts, and the slots between them."""


def stars(shelf: Stock, bought: Purchases, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return per purchase the stars that the text speaks of and the stars that are given, 1 to 5."""
    quality = np.array([product.quality for product in shelf.products])[bought.item]
    felt = (quality - 0.6) / 0.22 + bought.leniency[bought.user] + rng.normal(0, 0.9, len(bought.item))
    # The shares hold whatever a shelf's size: thresholds are those of a normal of the same spread.
    spread = np.sqrt(1 + 0.5**2 + 0.9**2)
    steps = np.array([-1.405, -1.036, -0.674, -0.176]) * spread
    meant = 1 + np.searchsorted(steps, felt).astype(np.int64)
    slip = rng.random(len(meant)) < SLIPS
    return meant, np.where(slip, rng.integers(1, 6, len(meant)), meant)


def text(shelf: Stock, item: int, meant: int, draw: RandomDraws) -> str:
    """Return a review of mostly 15 to 60 words whose feelings follow the stars meant (1 to 5)."""
    language = words("language")["reviews"]
    if draw.chance(SHORT):
        return draw.pick(language["short"][meant - 1])
    kind = shelf.products[item].type
    sentences = []
    for _ in range(3 + draw.below(4)):
        feeling = draw.by_weight(FEELINGS, MIX[meant - 1])
        sentences.append(sentence(draw.pick(templates(feeling)), products.noun(kind, draw), shelf.department, draw))
    if draw.chance(VERDICT):
        expressed = meant if not draw.chance(OFF) else min(5, max(1, meant + (1 if draw.chance(0.5) else -1)))
        sentences.append(draw.pick(language["verdicts"][expressed - 1]))
    return " ".join(sentences)


def summary(meant: int, draw: RandomDraws) -> str:
    """Return a review's headline."""
    return draw.pick(words("language")["reviews"]["summaries"][meant - 1])


def opinion(noun: str, department: Department, draw: RandomDraws) -> str:
    """Return a sentence of any feeling, friendly ones more often."""
    return sentence(draw.pick(templates(draw.by_weight(FEELINGS, MIX[3]))), noun, department, draw)


@cache
def templates(feeling: str) -> tuple[Template, ...]:
    """Return a feeling's sentences, taken apart at their slots."""
    return tuple(_template(text) for text in words("language")["reviews"][feeling])


def _template(text: str) -> Template:
    parts = SLOT.split(text)
    return tuple(parts[::2]), tuple(parts[1::2])


def sentence(template: Template, noun: str, department: Department, draw: RandomDraws) -> str:
    """Fill a sentence's slots; its first letter becomes a capital."""
    literals, slots = template
    made = literals[0]
    for slot, literal in zip(slots, literals[1:], strict=True):
        made += _word(slot, noun, department.aspects, draw) + literal
    return made[0].upper() + made[1:]


def _word(slot: str, noun: str, aspects: Sequence[str], draw: RandomDraws) -> str:
    if slot == "noun":
        return noun
    if slot == "aspect":
        return draw.early(aspects)
    options: list[str] = words("language")[slot]
    return draw.early(options)
