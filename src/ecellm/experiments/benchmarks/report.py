"""A benchmark's result as Markdown: our figures by view, the published ones beside them, what it took."""

from collections.abc import Iterator

from ecellm.experiments.benchmarks.results import Result, System
from ecellm.io.markdown import markdown_table
from ecellm.reports.tables import figure_text
from ecellm.tasks import TASKS

#: What the metrics are called in a table's head.
HEADS = {
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "ndcg": "NDCG",
}
#: What the baseline `tfidf` is, by task.
TFIDF, DICTIONARY = "TF-IDF baseline (`tfidf`)", "dictionary of training values (`tfidf`)"


def markdown(result: Result) -> str:
    """Return the page."""
    lines = [
        f"# {result.title} ({result.task})",
        "",
        result.measure,
        "",
        _rows(result),
        "",
        *_ours(result),
        *_published(result),
    ]
    return "\n".join(lines)


def _rows(result: Result) -> str:
    counts = " / ".join(f"{count:,}" for count in result.counts.values())
    line = f"Rows: {counts} (training, validation, test)."
    if result.limit is not None:
        line += f" Models were tuned on at most {result.limit:,} of them."
    if result.crossing["test"]:
        line += f" The inputs of {result.crossing['test']:,} test rows stand in another split too."
    return line


def _ours(result: Result) -> Iterator[str]:
    """Yield a table for each view; what tuning took stands in the first."""
    for place, view in enumerate(result.systems[0].views):
        heads = [
            "system",
            *(HEADS[metric] for metric in result.metrics),
            *(["tuning", "asking"] if not place else []),
        ]
        yield f"On {view.view} ({view.rows:,}), with 95 % bootstrap intervals:"
        yield ""
        yield markdown_table(heads, [_our_row(result, system, place) for system in result.systems])
        yield ""


def _our_row(result: Result, system: System, place: int) -> list[str]:
    figures = system.views[place].figures
    tfidf = DICTIONARY if TASKS[result.task].answer.kind == "spans" else TFIDF
    name = tfidf if system.name == "tfidf" else system.name
    shown = [figures[metric] for metric in result.metrics]
    row = [name, *(figure_text(one.value, one.low, one.high) for one in shown)]
    return row if place else [*row, _time(system, "tune", "fit"), _time(system, "predict")]


def _published(result: Result) -> Iterator[str]:
    if not result.published:
        yield "No figures of others are stored for it."
        yield ""
        return
    yield "Published by others:"
    yield ""
    several = len({figure.metric for figure in result.published}) > 1
    heads = ["system", *(["metric"] if several else []), HEADS[result.metrics[0]] if not several else "figure"]
    rows = []
    for figure in result.published:
        source = figure.source if figure.verified else f"{figure.source} (not verified)"
        metric = [HEADS[figure.metric]] if several else []
        rows.append([figure.system, *metric, f"{figure.value:.3f}", figure.note, source])
    yield markdown_table([*heads, "rows and prompts", "source"], rows)
    yield ""


def _time(system: System, *steps: str) -> str:
    """Return what a step took: by the clock, and of all processors together."""
    took = next((system.took[step] for step in steps if step in system.took), None)
    return "" if took is None else f"{_seconds(took.wall)} ({_seconds(took.processor)} of processor time)"


def _seconds(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"
