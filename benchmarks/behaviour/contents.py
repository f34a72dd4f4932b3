"""What is recorded of the files that the program writes: hashes and figures by name, so that a difference has one.

Left out is what may change though the program does the same: times, versions, sentences for people (reasons, cards),
and the keys of configs and recipes, which the files repeat.
"""

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

Facts = dict[str, Any]

#: Probabilities are compared to so many digits.
DIGITS = 5
#: Longer values stand in the record as hashes.
LONGEST = 80
#: The notes of a MODEL folder, which are recorded value by value; of its other JSON files a hash is.
NOTES, LOG = "ecellm.json", "log.jsonl"
#: Of a MODEL folder: the command repeated, with its recipe.
REPEATED = ("run.json",)
#: Keys of JSON files whose values say nothing of what the program computes.
VOLATILE = {
    *("versions", "version", "transformers_version", "peft_version", "device", "recipe", "config"),
    *("tokens_per_second", "peak_memory_gib", "train_runtime", "train_samples_per_second", "train_steps_per_second"),
}
#: Keys of JSON files whose lists come in another order in every process: peft writes a set.
SETS = {"target_modules"}
#: Keys of the manifest that are sentences, and keys under which sentences are counted.
SENTENCES, REASONS = ("deviations",), ("dropped", "rejected")
#: What a row of SCORES.json says beside its place.
FIGURES = ("main", "value", "low", "high", "n", "unparsed", "missing", "floor")


def under(place: str, facts: Mapping[str, Any]) -> Facts:
    """Return facts whose names begin with a place."""
    return {f"{place}/{name}": value for name, value in facts.items()}


def file(path: Path) -> Facts:
    """Return the hash of a file."""
    return {path.name: _hash(path.read_bytes())}


def files(folder: Path) -> Facts:
    """Return the hash of every file below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash(path.read_bytes()) for path in paths}


def dataset(folder: Path) -> Facts:
    """Return what a DATASET folder holds: bytes, columns and tasks of each split, and what the manifest counts."""
    found: Facts = {}
    for split in ("train", "validation", "test"):
        found[f"{split}.parquet"] = _hash((folder / f"{split}.parquet").read_bytes())
        rows = pq.read_table(folder / f"{split}.parquet").to_pylist()
        by_task = _grouped((row["task"], row) for row in rows)
        found |= {f"{split} rows of {task}": _counted(some) for task, some in by_task.items()}
        columns = _grouped((name, value) for row in rows for name, value in row.items())
        found |= {f"{split} column {name}": _counted(values) for name, values in columns.items()}
    manifest = {name: value for name, value in _json(folder / "manifest.json").items() if name not in SENTENCES}
    for name in REASONS:
        reasons = manifest.pop(name, {})
        found |= {f"manifest {name} {of}": sorted(counts.values()) for of, counts in reasons.items()}
    return (
        found | {f"manifest {name}": value for name, value in _leaves(manifest)} | _rejects(folder / "rejects.jsonl")
    )


def model(folder: Path) -> Facts:
    """Return what a MODEL folder holds: every tensor, the notes, the losses of the tuning."""
    found: Facts = {}
    for file in sorted(folder.iterdir()):
        if file.suffix == ".safetensors":
            found |= {f"tensor {file.stem} {name}": value for name, value in _tensors(file).items()}
        elif file.name == NOTES:
            found |= {f"notes {name}": value for name, value in _leaves(_json(file))}
        elif file.name == LOG:
            found |= _losses(file)
        elif file.suffix == ".json" and file.name not in REPEATED:
            found[f"file {file.name}"] = _hashed(_steady(_json(file)))
    return found


def predictions(file: Path) -> Facts:
    """Return texts, answers and probabilities by task and setting, whatever the order of the lines."""
    lines = sorted(_json_lines(file), key=lambda line: str(line["id"]))
    found: Facts = {}
    for place, some in sorted(_grouped((f"{line['task']} {line['setting']}", line) for line in lines).items()):
        for name in ("text", "answer", "probability"):
            found[f"{name} {place}"] = _counted([line["id"], _rounded(line.get(name))] for line in some)
    return found


def scores(file: Path) -> Facts:
    """Return the figures of SCORES.json by task, setting, scoring and metric, and what stands behind them."""
    made, found = _json(file), Facts()
    for row in made["scores"]:
        place = " ".join(row[name] for name in ("task", "setting", "scoring", "metric"))
        found[place] = {name: row[name] for name in FIGURES if name in row}
    for row in made["details"]:
        place = f"{row.pop('task')} {row.pop('setting')}"
        found |= {f"{place} {name}": _short(value) for name, value in row.items()}
    return found


def table(file: Path) -> Facts:
    """Return the columns of a table, their probabilities rounded."""
    rows = _table_rows(file)
    columns = _grouped((name, _rounded(value)) for row in rows for name, value in row.items())
    return {"columns": list(columns), **{f"column {name}": _counted(values) for name, values in columns.items()}}


def _rejects(file: Path) -> Facts:
    if not file.is_file():  # of an imported dataset
        return {}
    by_source = _grouped((line["file"], line["line"]) for line in _json_lines(file))
    return {f"rejects {source}": _counted(lines) for source, lines in by_source.items()}


def _losses(file: Path) -> Facts:
    lines = ((line.pop("step"), line) for line in _json_lines(file))
    return {f"log step {step} {name}": value for step, line in lines for name, value in _leaves(line)}


def _tensors(file: Path) -> dict[str, str]:
    """Return kind, shape and hash of every tensor of a safetensors file."""
    data = file.read_bytes()
    begin = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8:begin])
    header.pop("__metadata__", None)
    found = {}
    for name, tensor in sorted(header.items()):
        first, last = tensor["data_offsets"]
        found[name] = f"{tensor['dtype']} {tensor['shape']} {_hash(data[begin + first : begin + last])}"
    return found


def _table_rows(file: Path) -> list[dict[str, Any]]:
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    if file.suffix == ".jsonl":
        return list(_json_lines(file))
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _leaves(value: Any, place: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the single values of nested ones by their path, but for volatile ones."""
    if isinstance(value, Mapping | list) and value:
        pairs = value.items() if isinstance(value, Mapping) else enumerate(value)
        for name, inner in pairs:
            if name not in VOLATILE:
                yield from _leaves(inner, f"{place}.{name}" if place else str(name))
    else:
        yield place, _short(value)


def _steady(value: Any) -> Any:
    return (
        {name: inner for name, inner in value.items() if name not in VOLATILE} if isinstance(value, dict) else value
    )


def _rounded(value: Any) -> Any:
    """Return a value whose fractions are rounded; a text of one, as CSV has, too."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, str) and value.startswith(("0.", "1.")):
        return _rounded(float(value)) if value.replace(".", "", 1).isdigit() else value
    return value


def _grouped(pairs: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    found = defaultdict(list)
    for name, value in pairs:
        found[name].append(value)
    return dict(found)


def _counted(values: Iterable[Any]) -> str:
    listed = list(values)
    return f"{len(listed)} rows {_hashed(listed)}"


def _short(value: Any) -> Any:
    return value if len(json.dumps(value)) <= LONGEST else _hashed(value)


def _hashed(value: Any) -> str:
    return _hash(json.dumps(value, sort_keys=True, ensure_ascii=False, default=str).encode())


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _json_lines(file: Path) -> Iterable[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)
