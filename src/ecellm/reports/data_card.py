"""The data card: one HTML page that says what a dataset holds, what was filtered, and what crosses its splits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.axes import Axes

from ecellm.data.checks import Finding
from ecellm.data.dataset import Dataset
from ecellm.data.filters.quality import words_of
from ecellm.data.manifest import Manifest
from ecellm.data.paper_deviations import heading
from ecellm.data.readers.addresses import read_addresses
from ecellm.io.hashing import keyed_hash
from ecellm.reports.pages import render
from ecellm.reports.pages.charts import COLOURS, INK, bars_height, picture
from ecellm.tasks import TASKS
from ecellm.types import DOMAINS, SPLITS, Example

LONGEST_EXAMPLE = 1_200


@dataclass(frozen=True)
class CardExample:
    """A test row as the card shows it."""

    task: str
    input: str
    options: str | None
    output: str


def data_card(dataset: Dataset, findings: Sequence[Finding]) -> str:
    """Return the page; nothing in it depends on time or machine."""
    rows = {split: [example for domain in DOMAINS for example in dataset.examples(split, domain)] for split in SPLITS}
    known = read_addresses()
    everything = [example for examples in rows.values() for example in examples]
    training = rows["train"] or everything
    parts = [f"{split} {domain}" for split in SPLITS for domain in DOMAINS]
    counts = Counter((example.task, f"{example.split} {example.domain}") for example in everything)
    present = [task for task in TASKS if any(counts[task, part] for part in parts)]
    manifest = dataset.manifest
    return render(
        "ecellm.reports",
        "data_card.html.j2",
        name=dataset.path.resolve().name,
        total=len(everything),
        digest=dataset.hash(),
        manifest=manifest,
        parts=[part for part in parts if any(counts[task, part] for task in present)],
        counts=counts,
        tasks=[TASKS[task] for task in present],
        dropped={task: reasons for task, reasons in manifest.get("dropped", {}).items() if reasons},
        rejected={file: reasons for file, reasons in manifest.get("rejected", {}).items() if reasons},
        deviations=[(heading(row["tasks"]), row["text"]) for row in manifest.get("deviations", [])],
        findings=findings,
        lengths=_lengths(everything, present),
        balance=_balance(training, present),
        examples=[_example(task, everything) for task in present],
        sources=[
            (known[name].title, known[name].page, known[name].licence)
            for name, folder in _sources(manifest).items()
            if folder and name in known
        ],
        inputs=manifest.get("inputs", []),
    )


def _sources(manifest: Manifest) -> Mapping[str, object]:
    found = manifest.get("config", {}).get("sources")
    return found if isinstance(found, dict) else {}


def _example(task: str, examples: Sequence[Example]) -> CardExample:
    """Return one row of the task, a test row where there is one, drawn by key; long texts are truncated."""
    of_task = [example for example in examples if example.task == task]
    tested = [example for example in of_task if example.split == "test"] or of_task
    drawn = min(tested, key=lambda example: keyed_hash("card", example.id))
    options = None if drawn.options is None else _truncated(drawn.options)
    return CardExample(task, _truncated(drawn.input), options, _truncated(drawn.output))


def _truncated(text: str) -> str:
    return text if len(text) <= LONGEST_EXAMPLE else text[:LONGEST_EXAMPLE] + " ..."


def _lengths(examples: Sequence[Example], tasks: Sequence[str]) -> Markup:
    """Draw the words of inputs and options, a box a task: median, quartiles, 5th and 95th percentile."""
    words = {task: [0] for task in tasks}
    for example in examples:
        words[example.task].append(words_of(example))

    def paint(axes: Axes) -> None:
        axes.boxplot(
            [words[task][1:] for task in tasks[::-1]],
            tick_labels=tasks[::-1],
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            widths=0.6,
            patch_artist=True,
            boxprops={"facecolor": COLOURS[0]},
            medianprops={"color": INK},
            whiskerprops={"color": INK},
            capprops={"color": INK},
        )
        axes.set_xlabel("words of input and options")

    caption = "Box plot of the number of words in inputs and options, by task."
    return picture(caption, bars_height(len(tasks)), paint)


def _balance(examples: Sequence[Example], tasks: Sequence[str]) -> Markup:
    """Draw the shares of the answers of tasks with classes, a bar a task."""
    answers = {task: Counter[str]() for task in tasks if TASKS[task].answer.has_classes}
    for example in (example for example in examples if example.task in answers):
        answers[example.task][TASKS[example.task].answer.label(example)] += 1
    shown = {task: found for task, found in answers.items() if found}
    if not shown:
        return Markup("<p>No task has classes.</p>")

    def paint(axes: Axes) -> None:
        for row, (task, found) in enumerate(reversed(shown.items())):
            left, total = 0.0, sum(found.values())
            for place, name in enumerate(TASKS[task].answer.ordered(found)):
                share = found[name] / total
                axes.barh(task, share, left=left, color=COLOURS[place % len(COLOURS)], height=0.6)
                if share > 0.04:
                    axes.text(left + share / 2, row, name, ha="center", va="center", color="white")
                left += share
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of training rows")

    caption = "Bars of the share of each answer among training rows, by task."
    return picture(caption, bars_height(len(shown)), paint)
