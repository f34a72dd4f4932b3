"""ROUGE-L (Lin 2004) and chrF (Popović 2015) of answers against references: shared words and letters.

Neither needs a model, so both stand beside BERTScore everywhere. ROUGE-L is the F-measure over words of Latin
letters and digits, lower-cased, unstemmed (torchmetrics); chrF is sacrebleu's sentence score over 100, with
its defaults. Texts are truncated first, so that an endless answer costs no more than a long one.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ecellm.tasks.metrics import Floats

NAMES = ("rouge_l", "chrf")
#: As in the published evaluation's BLEURT; and no more letters than so many long words have.
MOST_WORDS = 300
MOST_LETTERS = 4_000


def overlap(pairs: Sequence[tuple[str, str]]) -> Floats:
    """Return ROUGE-L and chrF of each (answer, reference), [pairs, 2], from 0 to 1."""
    figures = [_one(_cut(answer), _cut(reference)) for answer, reference in pairs]
    return np.array(figures, dtype=np.float64).reshape(-1, len(NAMES))


@lru_cache(maxsize=200_000)
def _one(answer: str, reference: str) -> tuple[float, float]:
    from sacrebleu.metrics.chrf import CHRF
    from torchmetrics.functional.text.rouge import rouge_score

    if not (answer and reference):
        return 0.0, 0.0
    rouge = rouge_score(answer, reference, rouge_keys="rougeL")["rougeL_fmeasure"]
    return float(rouge), float(CHRF().sentence_score(answer, [reference]).score) / 100


def _cut(text: str) -> str:
    return " ".join(text.split()[:MOST_WORDS])[:MOST_LETTERS]
