"""Where a built dataset differs from the paper: one list, which manifest, data card and docs/building.md show alike.

`DEVIATIONS` hold unless the build config chooses the paper's way; what else a config chooses against the paper is
added by `deviations`. The paper's way is that of the authors' data notebooks (paper, section 3 and appendix).
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from ecellm.dataset.config import BuildConfig, Sources, TaskPlan
from ecellm.tasks import TASKS
from ecellm.tasks.task import BRAND, NATURAL, TIME


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
JUDGED, ASKED = ("MPC", "PSI", "QPR"), ("AP", "AG")

DEVIATIONS: tuple[Deviation, ...] = (
    Deviation("The instructions are our own."),
    Deviation("The wording of the options is our own.", ("PRP", "MPC")),
    Deviation(
        "Rows are drawn by a keyed hash of the seed, so that they are the same on any engine and for any order of "
        "the files; the paper draws them by Python's and pandas' random numbers."
    ),
    Deviation(
        "An input stands once and in one split; equal inputs with different answers are left out (AG: the first "
        "stays). No judgement or question that a test row gives away is trained on by any task, and no product of "
        "an out-of-domain row by the same task.",
        unless=_given,
    ),
    Deviation(
        "A held-out attribute is never trained on: a product that has one stands in no training row, and "
        "out-of-domain rows ask for held-out attributes alone. In the paper the first attribute of a row decides.",
        ("AVE",),
        lambda choice: not choice.plan.out_of_domain_test,
    ),
    Deviation(
        "Which attributes are held out is drawn by key, not the paper's seven.",
        ("AVE",),
        lambda choice: bool(choice.plan.out_of_domain) or not choice.plan.out_of_domain_test,
    ),
    Deviation(
        "Of a product that stands twice in a category's metadata one record is kept, whatever the order of the "
        "lines; the paper keeps the last.",
        ("PRP", "SR"),
        _own,
    ),
    Deviation("Products without a title, or with a piece of page code for one, are left out.", ("PRP",)),
    Deviation(
        "The Leipzig files are read as Latin-1; the authors read them as UTF-8 with replacement characters "
        '(amazon_google_encoding = "utf-8").',
        ("PM",),
        lambda choice: choice.own or choice.sources.amazon_google_encoding == "utf-8",
    ),
    Deviation(
        'A random "no" pair whose titles are those of a match is left out.',
        ("PM",),
        lambda choice: choice.sources.tables.pairs is not None,
    ),
    Deviation(
        "Reviews are drawn from whole files; the paper reads the first 200,000 of each (first_reviews = 200000).",
        ("SA",),
        lambda choice: choice.own or choice.plan.first_reviews is not None,
    ),
    Deviation(
        "A review text counts once per category, whatever white space is at its ends, and not at all where its stars "
        "differ; the paper keeps repeats, which leak from training to test.",
        ("SA",),
    ),
    Deviation(
        "Where the test tenth of the out-of-domain categories is short of the quota, rows of the others fill it.",
        ("PRP", "SA"),
        lambda choice: not (choice.plan.out_of_domain and choice.plan.out_of_domain_test),
    ),
    Deviation(
        "Products with a piece of page code for a title, or with nothing to show, are left out. Wrong candidates are "
        "distinct as they are shown, cut to 25 words, and drawn from all products left, not from those alone that "
        "stand among a shopper's first 50. Purchases at the same time are ordered by product; what differs in its "
        "rating alone counts once.",
        ("SR",),
    ),
    Deviation(
        "A query stands in one split for all three tasks, and the test side is halved by query; the paper halves it "
        "row by row. A pair that is judged twice counts once. Pairs whose query or title is empty are left out.",
        JUDGED,
        _given,
    ),
    Deviation(
        "Languages are identified by lingua, and a text is foreign only where that is sure; the paper's detector "
        "takes about one query or title in ten for another language.",
        JUDGED,
        _no_filter,
    ),
    Deviation(
        "Queries take turns; the paper draws them with replacement. A query gives up to twelve lists, in which the "
        "product of a label may differ; in the paper it is always the same.",
        ("QPR",),
    ),
    Deviation("A list with a text in another language is left out whole.", ("QPR",), _no_filter),
    Deviation(
        "A question that stands in several of the source's splits belongs to the last of them. Questions without "
        "review snippets are left out.",
        ASKED,
    ),
    Deviation("An answer without a text is passed over.", ("AG",)),
)


def deviations(config: BuildConfig, tasks: Collection[str], given_splits: Collection[str]) -> list[dict[str, object]]:
    """Return the differences that hold for the tasks of a build, each with its tasks and its text.

    `given_splits` names the tasks whose rows come with their splits.
    """
    choices = {name: _choice(config, name, name in given_splits) for name in tasks}
    found: list[dict[str, object]] = []
    for deviation in DEVIATIONS:
        holding = [name for name in tasks if name in deviation.tasks and not deviation.unless(choices[name])]
        if holding:
            found.append({"tasks": holding, "text": deviation.text})
    found += [{"tasks": [name], "text": text} for name in tasks for text in _chosen(name, choices[name])]
    return found


def _choice(config: BuildConfig, task: str, given_split: bool) -> Choice:
    plan = config.tasks.get(task, TaskPlan())
    return Choice(plan, config.sources, config.is_own(TASKS[task]), given_split, config.language(TASKS[task]))


def heading(tasks: Collection[str]) -> str:
    """Return the tasks by name, or that it is all of them."""
    return "All tasks" if set(tasks) == set(TASKS) else ", ".join(tasks)


def _chosen(task: str, choice: Choice) -> Iterator[str]:
    """Give what the config chose against the paper, or beyond it."""
    plan, paper = choice.plan, TASKS[task].language
    held = ", ".join(plan.out_of_domain)
    first = plan.first_reviews or PAPERS_REVIEWS
    chosen = {
        "Rows are drawn from tables of the user's own.": choice.own,
        "Each stays in the split that its table gives, even where it repeats or stands in two splits.": (
            choice.given_split
        ),
        f"Reviews are drawn from the first {first:,} of each file; the paper reads {PAPERS_REVIEWS:,}.": (
            first != PAPERS_REVIEWS
        ),
        f"Wrong answers are drawn harder: {plan.negatives}.": plan.negatives,
        "No shopper stands in two splits.": plan.users_apart,
        f"Out of domain is the time from {held} on.": plan.out_of_domain_by == TIME,
        f"Out of domain are the brands {held}.": plan.out_of_domain_by == BRAND,
        f"Answers are drawn in {plan.labels} shares.": plan.labels != NATURAL,
        f"Texts that are surely in another language than {choice.language} are left out.": (
            choice.language and choice.language != paper
        ),
        "Texts are in any language.": paper and not choice.language,
        "No row is a near-duplicate of a later split's.": not plan.near_duplicates,
        f"No row has more than {plan.most_words} words.": plan.most_words,
    }
    return (text for text, holds in chosen.items() if holds)
