"""What belongs to a run: a folder such as `ecellm demo` leaves, or a file of scores or answers by itself.

    RUN/scores.json         SCORES.json
    RUN/predictions.jsonl   the answers; beside them .meta.json (what they depend on) and .took.jsonl (time, cost)
    RUN/dataset/            the DATASET that was predicted, or only its manifest.json in RUN
    RUN/model/              ecellm.json (recipe, versions) and log.jsonl, or only log.jsonl in RUN
    RUN/run.json            machine, commands, seconds (`results_page.RunFacts`)
    RUN/tfidf_scores.json   (or tfidf.json) the TF-IDF baseline's scores on the same rows
    RUN/tfidf.jsonl         its answers

Everything but the scores or the answers may be missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict, cast

from ecellm.data.dataset import MANIFEST, Dataset, read_dataset, read_manifest
from ecellm.data.manifest import Manifest
from ecellm.errors import DataError
from ecellm.evaluation.predictions import Place, json_lines
from ecellm.evaluation.score_rows import NotScored, ScoreRow, Scores
from ecellm.inference.predict import record_file
from ecellm.inference.usage import UsageLine, took_file
from ecellm.io.json_files import read_json
from ecellm.io.json_types import json_fault
from ecellm.models.folder import INFO

SCORES, PREDICTIONS, RUN_FACTS, LOG = "scores.json", "predictions.jsonl", "run.json", "log.jsonl"
TFIDF_SCORES, TFIDF = ("tfidf_scores.json", "tfidf.json"), "tfidf.jsonl"

#: What a SCORES.json may lack.
LATER = Scores.__required_keys__ | {"unparsed", "missing", "floor", "floor_name"}


class ModelFacts(TypedDict, total=False):
    """What reports name of ecellm.json, whichever version wrote it: `ModelInfo` is what this one writes."""

    recipe: dict[str, object]
    dataset: str | None
    versions: dict[str, str]


@dataclass(frozen=True)
class ScoredRun:
    """A run, with whatever of it exists."""

    name: str
    path: Path
    scores: Scores | None = None
    """The content of SCORES.json."""
    predictions: Path | None = None
    dataset: Dataset | None = None
    folder: Path | None = None
    """Where the rest lies, for runs that are folders."""

    def rows(self) -> list[ScoreRow]:
        """Return the score rows; raises DataError where there are none."""
        if self.scores is None:
            raise DataError(f"{self.path} has no {SCORES}: write it with `ecellm evaluate`.")
        return list(self.scores["scores"])

    def places(self, scoring: str = "strict") -> list[tuple[str, str]]:
        """Return the tasks and settings that were scored, or, without scores, that answers name; in a fixed order."""
        if self.scores is not None:
            return list(main_rows(self.rows(), scoring))
        if self.predictions is None:
            return []
        named = {(str(row.get("task")), str(row.get("setting"))) for _, row in json_lines(self.predictions)}
        return sorted(named)

    def dataset_hash(self) -> str | None:
        """Return the hash of the run's dataset, where it is known."""
        if self.dataset is not None:
            return self.dataset.hash()
        return None if self.scores is None else self.scores.get("dataset")

    def manifest(self) -> Manifest:
        """Return the dataset's manifest, or a copy of it; empty where there is none."""
        if self.dataset is not None:
            return self.dataset.manifest
        file = None if self.folder is None else self.folder / MANIFEST
        return read_manifest(file) if file is not None and file.is_file() else {}

    def model_facts(self) -> ModelFacts:
        """Return the content of the model's ecellm.json; empty where there is none."""
        facts = self._json(Path("model") / INFO)
        if self.folder is not None and (fault := json_fault(facts, ModelFacts)):
            raise DataError(f"{self.folder / 'model' / INFO}: {fault}.")
        return cast(ModelFacts, facts)

    def answer_facts(self) -> dict[str, object]:
        """Return the content of the answers' .meta.json; empty where there is none."""
        record = None if self.predictions is None else record_file(self.predictions)
        return read_json(record) if record is not None and record.is_file() else {}

    def usage_lines(self) -> list[UsageLine]:
        """Return what the runs that answered took; empty where it is not known."""
        file = None if self.predictions is None else took_file(self.predictions)
        lines = json_lines(file) if file is not None and file.is_file() else ()
        return [_usage_line(place, row) for place, row in lines]

    def log(self) -> Path | None:
        """Return the tuning log, where there is one."""
        if self.folder is None:
            return None
        places = (self.folder / "model" / LOG, self.folder / LOG)
        return next((place for place in places if place.is_file()), None)

    def facts_file(self) -> Path | None:
        """Return run.json, where there is one."""
        file = None if self.folder is None else self.folder / RUN_FACTS
        return file if file is not None and file.is_file() else None

    def tfidf_baseline(self) -> "ScoredRun | None":
        """Return the TF-IDF baseline's run on the same rows, where it was scored."""
        if self.folder is None:
            return None
        scores = next((self.folder / name for name in TFIDF_SCORES if (self.folder / name).is_file()), None)
        if scores is None:
            return None
        answers = self.folder / TFIDF
        predictions = answers if answers.is_file() else None
        return ScoredRun(f"{self.name}: TF-IDF baseline", scores, read_scores(scores), predictions, self.dataset)

    def _json(self, name: str | Path) -> dict[str, object]:
        file = None if self.folder is None else self.folder / name
        return read_json(file) if file is not None and file.is_file() else {}


def read_run(text: str, data: Dataset | None = None) -> ScoredRun:
    """Return a run named as PATH or NAME=PATH: a folder, a SCORES.json or a PREDICTIONS.jsonl.

    `data` is the dataset where the folder has none, or another one than the predictions'. Raises DataError where
    nothing there can be read, and where the scores are of another dataset.
    """
    name, path = _named(text)
    if path.is_dir():
        scores = path / SCORES
        predictions = path / PREDICTIONS
        inside = path / "dataset"
        own = read_dataset(inside) if (inside / MANIFEST).is_file() else None
        if not scores.is_file() and not predictions.is_file():
            raise DataError(f"{path} is no run: it has neither {SCORES} nor {PREDICTIONS}.")
        read = read_scores(scores) if scores.is_file() else None
        dataset = _scored_dataset(path, read, data, own)
        return ScoredRun(name, path, read, predictions if predictions.is_file() else None, dataset, path)
    if not path.is_file():
        raise DataError(f"There is no run {path}: name a folder, a SCORES.json or a PREDICTIONS.jsonl.")
    if path.suffix == ".jsonl":
        if data is None:
            raise DataError(f"{path} holds answers: name their dataset with --data.")
        return ScoredRun(name, path, None, path, data)
    read = read_scores(path)
    return ScoredRun(name, path, read, None, _scored_dataset(path, read, data))


def _scored_dataset(path: Path, scores: Scores | None, *known: Dataset | None) -> Dataset | None:
    """Return the first of the datasets that the scores, where there are any, belong to."""
    there = [dataset for dataset in known if dataset is not None]
    wanted = None if scores is None else scores.get("dataset")
    if wanted is None or not there:
        return next(iter(there), None)
    found = next((dataset for dataset in there if dataset.hash() == wanted), None)
    if found is None:
        raise DataError(f"{path} was scored on another dataset than {there[0].path}: name that one with --data.")
    return found


def with_distinct_names(one: ScoredRun, other: ScoredRun) -> tuple[ScoredRun, ScoredRun]:
    """Return two runs with names of their own: where two are named scores, as much of their paths as differs."""
    if one.name != other.name:
        return one, other
    parts = one.path.resolve().parts, other.path.resolve().parts
    tails = (["/".join(path[-most:]) for path in parts] for most in range(2, max(map(len, parts)) + 1))
    names = next((tail for tail in tails if tail[0] != tail[1]), [f"{one.name} (old)", f"{one.name} (new)"])
    return replace(one, name=names[0]), replace(other, name=names[1])


def read_runs(texts: Sequence[str], data: Dataset | None = None) -> list[ScoredRun]:
    """Return several runs; raises DataError as `read_run` does, and where two have the same name."""
    runs = [read_run(text, data) for text in texts]
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"Two runs are named {twice!r}: name them apart, as NAME=PATH.")
    return runs


def _usage_line(place: Place, row: dict[str, object]) -> UsageLine:
    with place:
        if fault := json_fault(row, UsageLine):
            raise DataError(f"{fault}.")
    return cast(UsageLine, row)


def read_scores(path: Path) -> Scores:
    """Return the content of a SCORES.json; raises DataError where it is none."""
    read = read_json(path)
    rows = read.get("scores")
    needed = {"task", "setting", "scoring", "metric", "main", "value", "low", "high", "n"}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
        raise DataError(f"{path} has no scores: write it with `ecellm evaluate`.")
    fault = json_fault(read.get("not_scored", []), list[NotScored], where="not_scored")
    if fault := fault or json_fault(read, Scores, may_lack=LATER):
        raise DataError(f"{path}: {fault}. Write it with `ecellm evaluate`.")
    return cast(Scores, read)


def main_rows(scores: Sequence[ScoreRow], scoring: str = "strict") -> dict[tuple[str, str], ScoreRow]:
    """Return the score rows of the main metrics under one scoring, by (task, setting)."""
    return {(row["task"], row["setting"]): row for row in scores if row["main"] and row["scoring"] == scoring}


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if equals and name and not Path(text).exists():
        return name, Path(path)
    whole = Path(text)
    return whole.resolve().name.removesuffix(".json").removesuffix(".jsonl"), whole
