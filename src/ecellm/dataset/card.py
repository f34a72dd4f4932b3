"""The data card: one HTML page that says what a dataset holds, what was left out, and what crosses its splits."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from ecellm.dataset.check import Finding
from ecellm.dataset.dataset import Dataset
from ecellm.dataset.deviations import heading
from ecellm.dataset.quality import words_of
from ecellm.keys import keyed_hash
from ecellm.pages import render
from ecellm.pages.pictures import COLOURS, INK, bars_height, picture
from ecellm.records import DOMAINS, SPLITS, Sample
from ecellm.sources.addresses import read_addresses
from ecellm.tasks import TASKS
from ecellm.tasks.answers import YesNo

LONGEST_EXAMPLE = 1_200


@dataclass(frozen=True)
class Example:
    """A test row as the card shows it."""

    task: str
    input: str
    options: str | None
    output: str


def data_card(dataset: Dataset, findings: Sequence[Finding]) -> str:
    """Return the page; nothing in it depends on time or machine."""
    rows = {split: [sample for domain in DOMAINS for sample in dataset.samples(split, domain)] for split in SPLITS}
    known = read_addresses()
    everything = [sample for samples in rows.values() for sample in samples]
    taught = rows["train"] or everything
    parts = [f"{split} {domain}" for split in SPLITS for domain in DOMAINS]
    counts = Counter((sample.task, f"{sample.split} {sample.domain}") for sample in everything)
    present = [task for task in TASKS if any(counts[task, part] for part in parts)]
    manifest = dataset.manifest
    return render(
        "ecellm.dataset",
        "card.html.j2",
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
        balance=_balance(taught, present),
        examples=[_example(task, everything) for task in present],
        sources=[
            (known[name].title, known[name].page, known[name].licence)
            for name, folder in _sources(manifest).items()
            if folder and name in known
        ],
        inputs=manifest.get("inputs", []),
    )


def _sources(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return dict(manifest.get("config", {}).get("sources", {}))


def _example(task: str, samples: Sequence[Sample]) -> Example:
    """Return one row of the task, a test row where there is one, drawn by key; long texts are cut."""
    of_task = [sample for sample in samples if sample.task == task]
    tested = [sample for sample in of_task if sample.split == "test"] or of_task
    drawn = min(tested, key=lambda sample: keyed_hash("card", sample.id))
    options = None if drawn.options is None else _cut(drawn.options)
    return Example(task, _cut(drawn.input), options, _cut(drawn.output))


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_EXAMPLE else text[:LONGEST_EXAMPLE] + " ..."


def _lengths(samples: Sequence[Sample], tasks: Sequence[str]) -> Markup:
    """Draw the words of inputs and options, a box a task: median, quartiles, 5th and 95th percentile."""
    words = {task: [0] for task in tasks}
    for sample in samples:
        words[sample.task].append(words_of(sample))

    def paint(axes: Any) -> None:
        axes.boxplot(
            [words[task][1:] for task in tasks[::-1]],
            tick_labels=tasks[::-1],
            orientation="horizontal",
            whis=(5, 95),
            showfliers=False,
            widths=0.6,
            patch_artist=True,
            boxprops={"facecolor": COLOURS[0]},
            **{name: {"color": INK} for name in ("medianprops", "whiskerprops", "capprops")},
        )
        axes.set_xlabel("words of input and options")

    said = "Box plot of the number of words in inputs and options, by task."
    return picture(said, bars_height(len(tasks)), paint)


def _balance(samples: Sequence[Sample], tasks: Sequence[str]) -> Markup:
    """Draw the shares of the answers of tasks with classes, a bar a task."""
    answers = {task: Counter[str]() for task in tasks if TASKS[task].answer.has_classes}
    for sample in (sample for sample in samples if sample.task in answers):
        is_word = isinstance(TASKS[sample.task].answer, YesNo)
        answers[sample.task][sample.output if is_word else sample.output[:1]] += 1
    shown = {task: found for task, found in answers.items() if found}
    if not shown:
        return Markup("<p>No task has classes.</p>")

    def paint(axes: Any) -> None:
        for task, found in list(shown.items())[::-1]:
            left, total = 0.0, sum(found.values())
            for place, name in enumerate(sorted(found, reverse="yes" in found)):
                share = found[name] / total
                axes.barh(task, share, left=left, color=COLOURS[place % len(COLOURS)], height=0.6)
                if share > 0.04:
                    axes.text(left + share / 2, task, name, ha="center", va="center", color="white")
                left += share
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of training rows")

    said = "Bars of the share of each answer among training rows, by task."
    return picture(said, bars_height(len(shown)), paint)
