"""Where a built dataset differs from the paper: one list, which manifest, data card and docs/building.md show alike.

`DEVIATIONS` hold unless the build config chooses the paper's way; what else a config chooses against the paper is
added by `deviations`. The paper's way is that of the authors' data notebooks (paper, section 3 and appendix).
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ecellm.data.config import BuildConfig, Sources, TaskPlan
from ecellm.data.manifest import DeviationRow
from ecellm.data.samplers import SAMPLERS
from ecellm.data.samplers.base import BRAND, NATURAL, TIME
from ecellm.tasks import TASKS


@dataclass(frozen=True)
class Choice:
    """What the config says of one task."""

    plan: TaskPlan
    sources: Sources
    own: bool
    """Whether the task draws from tables of the user's own."""
    given_split: bool
    """Whether these say each row's split."""
    language: str
    """The language that its texts are filtered by; empty for none."""


def _never(choice: Choice) -> bool:
    return False


def _given(choice: Choice) -> bool:
    return choice.given_split


def _own(choice: Choice) -> bool:
    return choice.own


def _no_filter(choice: Choice) -> bool:
    return not choice.language


@dataclass(frozen=True)
class Deviation:
    """One difference from the paper."""

    text: str
    tasks: tuple[str, ...] = tuple(TASKS)
    unless: Callable[[Choice], bool] = _never
    """Whether a task is built without it."""

    @property
    def heading(self) -> str:
        """The tasks, as they are named in front of the text."""
        return heading(self.tasks)


#: So many reviews of a file does the paper read.
PAPERS_REVIEWS = 200_000
JUDGED, QUESTIONS = ("MPC", "PSI", "QPR"), ("AP", "AG")

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation("The instructions are our own."),
    Deviation("The wording of the options is our own.", ("PRP", "MPC")),
    Deviation(
        "Rows are drawn by a keyed hash of the seed, so they are the same on any engine and in any order of the "
        "files; the paper uses the random numbers of Python and pandas."
    ),
    Deviation(
        "Each input occurs once and in one split; equal inputs with different answers are filtered (AG keeps the "
        "first). No task trains on a judgement or question that labels a test row of any task, or on a product of "
        "its own out-of-domain rows.",
        unless=_given,
    ),
    Deviation(
        "A held-out attribute is never trained on: a product that has one is in no training row, and out-of-domain "
        "rows ask only for held-out attributes. In the paper the first attribute of a row decides.",
        ("AVE",),
        lambda choice: not choice.plan.out_of_domain_test,
    ),
    Deviation(
        "The held-out attributes are drawn by key; the paper names seven.",
        ("AVE",),
        lambda choice: bool(choice.plan.out_of_domain) or not choice.plan.out_of_domain_test,
    ),
    Deviation(
        "Of a product that occurs twice in a category's metadata one record is kept, whatever the order of the "
        "lines; the paper keeps the last.",
        ("PRP", "SR"),
        _own,
    ),
    Deviation("Products without a title, or with page code as their title, are filtered.", ("PRP",)),
    Deviation(
        "The Leipzig files are read as Latin-1; the authors read them as UTF-8 with replacement characters "
        '(amazon_google_encoding = "utf-8").',
        ("PM",),
        lambda choice: choice.own or choice.sources.amazon_google_encoding == "utf-8",
    ),
    Deviation(
        'A random "no" pair with the titles of a match is filtered.',
        ("PM",),
        lambda choice: choice.sources.tables.pairs is not None,
    ),
    Deviation(
        "Reviews are drawn from whole files; the paper reads the first 200,000 of each (first_reviews = 200000).",
        ("SA",),
        lambda choice: choice.own or choice.plan.first_reviews is not None,
    ),
    Deviation(
        "A review text counts once per category, ignoring white space at its ends, and is filtered if its stars "
        "differ; the paper keeps repeats, which leak from training to test.",
        ("SA",),
    ),
    Deviation(
        "If the test tenth of the out-of-domain rows is short of the quota, the other nine tenths fill it.",
        ("PRP", "SA"),
        lambda choice: not (choice.plan.out_of_domain and choice.plan.out_of_domain_test),
    ),
    Deviation(
        "Products with page code as their title, or with nothing to show, are filtered. Wrong candidates are "
        "distinct as shown, truncated to 25 words, and drawn from all remaining products; the paper draws only from "
        "those among a shopper's first 50. Purchases at the same time are ordered by product; ratings of one product "
        "by one shopper at one time count once.",
        ("SR",),
    ),
    Deviation(
        "A query is in one split for all three tasks, and the test side is halved by query; the paper halves it row "
        "by row. A pair that is judged twice counts once. Pairs with an empty query or title are filtered.",
        JUDGED,
        _given,
    ),
    Deviation(
        "Languages are identified by lingua, and a text counts as foreign only if that is certain; the paper's "
        "detector takes about one query or title in ten for another language.",
        JUDGED,
        _no_filter,
    ),
    Deviation(
        "Queries take turns; the paper draws them with replacement. A query gives up to twelve lists, in which the "
        "product of a label may differ; in the paper it is always the same.",
        ("QPR",),
    ),
    Deviation("A list is filtered if any of its texts is in another language.", ("QPR",), _no_filter),
    Deviation(
        "A question that occurs in several of the source's splits belongs to the last of them. Questions without "
        "review snippets are filtered.",
        QUESTIONS,
    ),
    Deviation("Answers without text are skipped.", ("AG",)),
)


def deviations(config: BuildConfig, tasks: Collection[str], given_splits: Collection[str]) -> list[DeviationRow]:
    """Return the differences that hold for the tasks of a build, each with its tasks and its text.

    `given_splits` names the tasks whose rows come with their splits.
    """
    choices = {name: _choice(config, name, name in given_splits) for name in tasks}
    found: list[DeviationRow] = []
    for deviation in DEVIATIONS:
        holding = [name for name in tasks if name in deviation.tasks and not deviation.unless(choices[name])]
        if holding:
            found.append(DeviationRow(tasks=holding, text=deviation.text))
    found += [DeviationRow(tasks=[name], text=text) for name in tasks for text in _chosen(name, choices[name])]
    return found


def _choice(config: BuildConfig, task: str, given_split: bool) -> Choice:
    plan = config.tasks.get(task, TaskPlan())
    return Choice(plan, config.sources, config.is_own(TASKS[task]), given_split, config.language(TASKS[task]))


def heading(tasks: Collection[str]) -> str:
    """Return the tasks by name, or that it is all of them."""
    return "All tasks" if set(tasks) == set(TASKS) else ", ".join(tasks)


def _chosen(task: str, choice: Choice) -> Iterator[str]:
    """Give what the config chose against the paper, or beyond it."""
    plan, paper = choice.plan, SAMPLERS[task].language
    held = ", ".join(plan.out_of_domain)
    first = plan.first_reviews or PAPERS_REVIEWS
    chosen = {
        "Rows are drawn from tables of the user's own.": choice.own,
        "Each row stays in the split that its table gives, even if it repeats or occurs in two splits.": (
            choice.given_split
        ),
        f"Reviews are drawn from the first {first:,} of each file; the paper reads {PAPERS_REVIEWS:,}.": (
            first != PAPERS_REVIEWS
        ),
        f"Wrong answers are drawn harder: {plan.negatives}.": plan.negatives,
        "No shopper is in two splits.": plan.split_by_user,
        f"Out of domain is the time from {held} on.": plan.ood_by == TIME,
        f"Out of domain are the brands {held}.": plan.ood_by == BRAND,
        f"Answers are drawn in {plan.labels} shares.": plan.labels != NATURAL,
        f"Texts that are surely in another language than {choice.language} are filtered out.": (
            choice.language and choice.language != paper
        ),
        "Texts are in any language.": paper and not choice.language,
        "No row is a near-duplicate of a later split's.": not plan.near_duplicates,
        f"No row has more than {plan.max_words} words.": plan.max_words,
    }
    return (text for text, holds in chosen.items() if holds)
