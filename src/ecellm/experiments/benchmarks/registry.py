"""The benchmarks by name: what each is, the forms in which its files come, its measure, and what others published.

Published figures stand here with their sources. `unverified` ones were not looked up in the source itself.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from ecellm.errors import DataError
from ecellm.experiments.benchmarks import deepmatcher, ditto, extractgpt
from ecellm.experiments.benchmarks.esci import esci_format
from ecellm.experiments.benchmarks.formats import Format
from ecellm.experiments.benchmarks.wdc import CORNER_CASES, SIZES, UNSEEN, wdc_format
from ecellm.tasks import Task, ave, mpc, pm, psi, qpr


@dataclass(frozen=True)
class Figure:
    """A figure that others published."""

    system: str
    value: float
    source: str
    metric: str = "f1"
    note: str = ""
    """How it differs from ours: rows, prompts, training."""
    verified: bool = True
    """Whether it was looked up in the source, or in a table that quotes it."""


@dataclass(frozen=True)
class Benchmark:
    """A public test set."""

    name: str
    title: str
    task: str
    formats: tuple[Format, ...]
    """The forms in which its files come; the first whose files are all there is read."""
    metrics: tuple[str, ...]
    """What is shown, the main metric first."""
    measure: str
    """What the main metric counts, in a sentence."""
    rows: str
    """Rows of the published split, where they are known."""
    published: tuple[Figure, ...] = ()


PAIRS = (ditto.FORMAT, deepmatcher.FORMAT)
F1_OF_YES = "F1 of yes over the test pairs; an answer that is neither yes nor no is wrong."
VALUES = (
    "ExtractGPT's micro F1: over the attributes that were annotated of each product, an answer equal to an accepted "
    "value (case counts) is right; a wrong value, a value where there is none and none where there is one are errors."
)
TAILOR = "TailorMatch (arXiv 2409.08185), the repository's table of results"
TAILOR_QUOTED = "TailorMatch (arXiv 2409.08185), as quoted by paper indexes"
DITTO = "Ditto (PVLDB 14(1), 2021), as quoted by Papers with Code"
DITTO_PAPER = "Ditto (PVLDB 14(1), 2021)"
EXTRACTGPT = "ExtractGPT (arXiv 2310.12537), abstract"
ESCI = "github.com/amazon-science/esci-data, README"
BEST_PROMPT = "zero-shot, best of several prompts"
BOTH_SETS = "mean of AE-110K and OA-Mine"
LOCALES = "all three locales, multilingual BERT"

_VALUE_FIGURES = (
    Figure("GPT-4, best prompts", 0.86, EXTRACTGPT, note=BOTH_SETS),
    Figure("Llama-3-70B", 0.83, EXTRACTGPT, note=f"{BOTH_SETS}, 3 points below GPT-4"),
    Figure(
        "best tuned encoder (of SU-OpenTag, AVEQA, MAVEQA)", 0.80, EXTRACTGPT, note=f"{BOTH_SETS}, 6 points below"
    ),
)


def _pairs(name: str, title: str, rows: str, *published: Figure) -> Benchmark:
    return Benchmark(name, title, pm.TASK.name, PAIRS, ("f1", "precision", "recall"), F1_OF_YES, rows, published)


def _values(name: str, title: str, rows: str) -> Benchmark:
    metrics = ("f1", "precision", "recall")
    return Benchmark(name, title, ave.TASK.name, (extractgpt.FORMAT,), metrics, VALUES, rows, _VALUE_FIGURES)


def _wdc() -> list[Benchmark]:
    """Return the 27 variants of WDC Products."""
    known = {
        (50, "unseen", "medium"): (
            Figure("Ditto", 0.7066, "WDC Products (EDBT 2024), as quoted by Papers with Code"),
        ),
    }
    return [
        Benchmark(
            f"wdc-products-{corner}cc-{unseen}-{size}",
            f"WDC Products, {corner} % corner cases, {unseen}, {size} training set",
            pm.TASK.name,
            (wdc_format(corner, unseen, size),),
            ("f1", "precision", "recall"),
            F1_OF_YES,
            "",
            known.get((corner, unseen, size), ()),
        )
        for corner in CORNER_CASES
        for unseen in UNSEEN
        for size in SIZES
    ]


def _esci(task: Task, metrics: tuple[str, ...], measure: str, *published: Figure) -> Benchmark:
    title = f"Shopping Queries (ESCI), US, {task.name}"
    return Benchmark(
        f"esci-{task.name.lower()}", title, task.name, (esci_format(task.name),), metrics, measure, "", published
    )


BENCHMARKS: Mapping[str, Benchmark] = {
    one.name: one
    for one in (
        _pairs(
            "amazon-google",
            "Amazon-Google, DeepMatcher's split",
            "6,874 / 2,293 / 2,293 pairs, 699 / 234 / 234 of them a yes",
            Figure("GPT-4o-mini, tuned on this training split", 0.803, TAILOR),
            Figure("Ditto (RoBERTa, tuned)", 0.7558, DITTO),
            Figure("DeepMatcher", 0.693, DITTO_PAPER, verified=False),
            Figure("GPT-4o", 0.635, TAILOR, note=BEST_PROMPT),
            Figure("GPT-4o-mini", 0.592, TAILOR, note=BEST_PROMPT),
            Figure("Llama-3.1-70B", 0.514, TAILOR, note=BEST_PROMPT),
            Figure("Llama-3.1-8B, tuned on this training split", 0.500, TAILOR),
            Figure("Llama-3.1-8B", 0.492, TAILOR, note=BEST_PROMPT),
        ),
        _pairs("walmart-amazon", "Walmart-Amazon, DeepMatcher's split", "10,242 pairs, 962 of them a yes"),
        _pairs(
            "abt-buy",
            "Abt-Buy, DeepMatcher's split",
            "9,575 pairs, 1,028 of them a yes",
            Figure("GPT-4o-mini, tuned", 0.9409, TAILOR_QUOTED),
            Figure("GPT-4o", 0.9220, TAILOR_QUOTED, note="zero-shot"),
            Figure("Ditto (RoBERTa, tuned)", 0.8933, DITTO),
            Figure("GPT-4o-mini", 0.8768, TAILOR_QUOTED, note="zero-shot"),
            Figure("Llama-3.1-8B, tuned", 0.8734, TAILOR_QUOTED),
            Figure("Llama-3.1-70B", 0.7912, TAILOR_QUOTED, note="zero-shot"),
            Figure("Llama-3.1-8B", 0.5657, TAILOR_QUOTED, note="zero-shot"),
        ),
        *_wdc(),
        _values("ae-110k", "AE-110K, ExtractGPT's subset", "1,568 / 524 products, 4,360 / 1,482 attributes"),
        _values("oa-mine", "OA-Mine, ExtractGPT's subset", "1,452 / 491 products, 7,360 / 2,451 attributes"),
        _esci(
            mpc.TASK,
            ("accuracy", "macro_f1"),
            "Accuracy, which the source calls micro F1, over the US test judgements.",
            Figure("baseline of the source", 0.62, ESCI, "accuracy", LOCALES),
            Figure("baseline of the source", 0.23, ESCI, "macro_f1", LOCALES),
        ),
        _esci(
            psi.TASK,
            ("accuracy", "f1"),
            "Accuracy, which the source calls micro F1, over the US test judgements; F1 of yes beside it.",
            Figure("baseline of the source", 0.76, ESCI, "accuracy", LOCALES),
        ),
        _esci(qpr.TASK, ("ndcg",), "NDCG over lists of two to four products; the source ranks whole result lists."),
    )
}
#: A variant that stands for the rest.
ALIASES = {"wdc-products": "wdc-products-80cc-half-seen-small"}


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by name; raises DataError for an unknown one."""
    wanted = ALIASES.get(name, name)
    if wanted not in BENCHMARKS:
        close = difflib.get_close_matches(name, [*BENCHMARKS, *ALIASES], 1)
        hint = f" Did you mean {close[0]!r}?" if close else " `ecellm benchmark` lists them."
        raise DataError(f"There is no benchmark {name!r}.{hint}")
    return BENCHMARKS[wanted]
