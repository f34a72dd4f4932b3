"""The report: any number of runs, beside the paper's figures, with all that a reader would ask for.

`read_report` gathers; `report_page` and `report_markdown` write.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ecellm.errors import DataError, EcellmError
from ecellm.evaluation.compare import Difference, compare_runs
from ecellm.evaluation.evaluate import evaluate
from ecellm.evaluation.published_scores import SCORER, SOURCE
from ecellm.evaluation.runs import ScoredRun
from ecellm.evaluation.worst_errors import worst_errors
from ecellm.reports.score_grid import PARTS, ScoreGrid, score_grid
from ecellm.types import DIVERSE, DOMAINS

#: The settings whose errors, confusion and slices are shown.
SHOWN_IN_DEPTH = tuple(f"{domain}_{DIVERSE}" for domain in DOMAINS)
#: Of one task in one domain.
MOST_ERRORS = 5
QUOTED = (
    f"Quoted from {SOURCE}, not computed here: the published rules on ECInstruct's own test rows, without intervals. "
    "Beside other rows or other rules they are a bearing, not a contest. "
    f"Its AG is BERTScore by {SCORER}."
)


@dataclass(frozen=True)
class Against:
    """The first run against another."""

    name: str
    differences: Sequence[Difference]
    paired: bool
    why_not: str = ""
    """Why they cannot be compared."""


@dataclass(frozen=True)
class Report:
    """All that the page shows."""

    title: str
    runs: Sequence[ScoredRun]
    tables: Sequence[ScoreGrid]
    against: Sequence[Against]
    errors: Mapping[str, Sequence[Mapping[str, object]]]
    """By the name of the run."""


def read_report(runs: Sequence[ScoredRun], title: str, seed: int) -> Report:
    """Gather what the runs show, scoring those without scores; each brings its TF-IDF baseline, if that was scored.

    Raises DataError where a run has neither scores nor what it takes to score it, and where nothing was scored.
    """
    found = [_scored(run, seed) for run in runs]
    found += [tfidf for run in found if (tfidf := run.tfidf_baseline()) is not None]
    tables = [
        grid for part in PARTS for domain in DOMAINS if (grid := score_grid(found, f"{domain}_{part}")) is not None
    ]
    if not tables:
        raise DataError("The runs have no scores: predict and evaluate first.")
    against = [_against(found[0], other, seed) for other in found[1:]]
    errors = {
        run.name: worst_errors(run.predictions, run.dataset, most=MOST_ERRORS, seed=seed, settings=SHOWN_IN_DEPTH)
        for run in found[: len(runs)]
        if run.predictions is not None and run.dataset is not None
    }
    return Report(title, found, tables, against, errors)


def _scored(run: ScoredRun, seed: int) -> ScoredRun:
    if run.scores is not None:
        return run
    if run.predictions is None or run.dataset is None:
        raise DataError(f"{run.path} has no scores: write them with `ecellm evaluate`.")
    return ScoredRun(
        run.name,
        run.path,
        evaluate(run.predictions, run.dataset, seed=seed),
        run.predictions,
        run.dataset,
        run.folder,
    )


def _against(first: ScoredRun, other: ScoredRun, seed: int) -> Against:
    try:
        differences, paired = compare_runs(other, first, seed)
    except EcellmError as error:
        return Against(other.name, (), False, str(error))
    return Against(other.name, differences, paired)
