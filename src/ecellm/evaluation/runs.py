"""What belongs to a run: a folder such as `ecellm demo` leaves, or a file of scores or answers by itself.

    RUN/scores.json         SCORES.json
    RUN/predictions.jsonl   the answers; beside them .meta.json (what they depend on) and .took.jsonl (time, cost)
    RUN/dataset/            the DATASET that was asked, or only its manifest.json in RUN
    RUN/model/              ecellm.json (recipe, versions) and log.jsonl, or only log.jsonl in RUN
    RUN/run.json            machine, commands, seconds (`results_page.RunFacts`)
    RUN/cheap_scores.json   (or cheap.json) the cheap model's scores on the same rows, and cheap.jsonl, its answers

Everything but the scores or the answers may be missing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ecellm.dataset.dataset import MANIFEST, Dataset, read_dataset
from ecellm.evaluation.predictions import json_lines
from ecellm.models.folder import FACTS

SCORES, PREDICTIONS, RUN_FACTS, LOG = "scores.json", "predictions.jsonl", "run.json", "log.jsonl"
CHEAP_SCORES, CHEAP = ("cheap_scores.json", "cheap.json"), "cheap.jsonl"


@dataclass(frozen=True)
class Run:
    """A run, as far as it is there."""

    name: str
    path: Path
    scores: dict[str, Any] | None = None
    """The content of SCORES.json."""
    predictions: Path | None = None
    dataset: Dataset | None = None
    folder: Path | None = None
    """Where the rest lies, for runs that are folders."""

    def rows(self) -> list[dict[str, Any]]:
        """Return the score rows; raises ValueError where there are none."""
        if self.scores is None:
            raise ValueError(f"{self.path} has no {SCORES}: write it with `ecellm evaluate`.")
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
        """Return the hash of the dataset that was asked, where it is known."""
        if self.dataset is not None:
            return self.dataset.hash()
        return None if self.scores is None else self.scores.get("dataset")

    def manifest(self) -> dict[str, Any]:
        """Return the dataset's manifest, or what a copy of it says; empty where there is none."""
        if self.dataset is not None:
            return self.dataset.manifest
        return self._json(MANIFEST)

    def model_facts(self) -> dict[str, Any]:
        """Return what the model's folder says of it; empty where there is none."""
        return self._json(Path("model") / FACTS)

    def answer_facts(self) -> dict[str, Any]:
        """Return what was written down beside the answers; empty where nothing was."""
        if self.predictions is None:
            return {}
        record = self.predictions.with_name(self.predictions.name + ".meta.json")
        return read_json(record) if record.is_file() else {}

    def asking_took(self) -> list[dict[str, Any]]:
        """Return what each run of asking took, as `ecellm.inference.took` wrote it; empty where nothing was."""
        if self.predictions is None:
            return []
        file = self.predictions.with_name(self.predictions.name + ".took.jsonl")
        return [row for _, row in json_lines(file)] if file.is_file() else []

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

    def cheap(self) -> "Run | None":
        """Return the cheap model's run on the same rows, where it was scored."""
        if self.folder is None:
            return None
        scores = next((self.folder / name for name in CHEAP_SCORES if (self.folder / name).is_file()), None)
        if scores is None:
            return None
        answers = self.folder / CHEAP
        predictions = answers if answers.is_file() else None
        return Run(f"{self.name}: cheap model", scores, read_scores(scores), predictions, self.dataset)

    def _json(self, name: str | Path) -> dict[str, Any]:
        file = None if self.folder is None else self.folder / name
        return read_json(file) if file is not None and file.is_file() else {}


def read_run(text: str, data: Dataset | None = None) -> Run:
    """Return a run named as PATH or NAME=PATH: a folder, a SCORES.json or a PREDICTIONS.jsonl.

    `data` is the dataset where the folder has none, or not the one that was asked. Raises ValueError where
    nothing there can be read, and where the scores are of another dataset.
    """
    name, path = _named(text)
    if path.is_dir():
        scores = path / SCORES
        predictions = path / PREDICTIONS
        inside = path / "dataset"
        own = read_dataset(inside) if (inside / MANIFEST).is_file() else None
        if not scores.is_file() and not predictions.is_file():
            raise ValueError(f"{path} is no run: it has neither {SCORES} nor {PREDICTIONS}.")
        read = read_scores(scores) if scores.is_file() else None
        dataset = _asked(path, read, data, own)
        return Run(name, path, read, predictions if predictions.is_file() else None, dataset, path)
    if not path.is_file():
        raise ValueError(f"There is no run {path}: name a folder, a SCORES.json or a PREDICTIONS.jsonl.")
    if path.suffix == ".jsonl":
        if data is None:
            raise ValueError(f"{path} holds answers: say with --data which dataset was asked.")
        return Run(name, path, None, path, data)
    read = read_scores(path)
    return Run(name, path, read, None, _asked(path, read, data))


def _asked(path: Path, scores: Mapping[str, Any] | None, *known: Dataset | None) -> Dataset | None:
    """Return the first of the datasets that the scores, where there are any, were made on."""
    there = [dataset for dataset in known if dataset is not None]
    wanted = None if scores is None else scores.get("dataset")
    if wanted is None or not there:
        return next(iter(there), None)
    found = next((dataset for dataset in there if dataset.hash() == wanted), None)
    if found is None:
        raise ValueError(f"{path} was scored on another dataset than {there[0].path}: name that one with --data.")
    return found


def told_apart(one: Run, other: Run) -> tuple[Run, Run]:
    """Return two runs with names of their own: where two are named scores, as much of their paths as differs."""
    if one.name != other.name:
        return one, other
    parts = one.path.resolve().parts, other.path.resolve().parts
    tails = (["/".join(path[-most:]) for path in parts] for most in range(2, max(map(len, parts)) + 1))
    names = next((tail for tail in tails if tail[0] != tail[1]), [f"{one.name} (old)", f"{one.name} (new)"])
    return replace(one, name=names[0]), replace(other, name=names[1])


def read_runs(texts: Sequence[str], data: Dataset | None = None) -> list[Run]:
    """Return several runs; raises ValueError as `read_run` does, and where two have the same name."""
    runs = [read_run(text, data) for text in texts]
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"Two runs are named {twice!r}: name them apart, as NAME=PATH.")
    return runs


def read_scores(path: Path) -> dict[str, Any]:
    """Return the content of a SCORES.json; raises ValueError where it is none."""
    read = read_json(path)
    rows = read.get("scores")
    needed = {"task", "setting", "scoring", "metric", "main", "value", "low", "high", "n"}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and needed <= row.keys() for row in rows):
        raise ValueError(f"{path} has no scores: write it with `ecellm evaluate`.")
    return read


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; raises ValueError naming the file where there is none."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(read, dict):
        raise ValueError(f"{path} is not a JSON object.")
    return read


def main_rows(scores: Sequence[Mapping[str, Any]], scoring: str = "strict") -> dict[tuple[str, str], dict[str, Any]]:
    """Return the score rows of the main metrics under one scoring, by (task, setting)."""
    return {(row["task"], row["setting"]): dict(row) for row in scores if row["main"] and row["scoring"] == scoring}


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if equals and name and not Path(text).exists():
        return name, Path(path)
    whole = Path(text)
    return whole.resolve().name.removesuffix(".json").removesuffix(".jsonl"), whole
