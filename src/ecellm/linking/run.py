"""The run of `ecellm link` and `ecellm dedupe`: candidates, the model's probabilities, and the pairs that are chosen.

Candidates are kept in OUT.candidates.parquet and probabilities in OUT.part.jsonl until OUT is written, so that a
killed run is resumed by the same command.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ecellm.errors import DataError
from ecellm.io.files import atomic_write, write_text
from ecellm.io.journal import append_entries
from ecellm.io.tables.new_table import write_new_table
from ecellm.linking.assignment import Pairs, assign, clusters
from ecellm.linking.candidates import Candidates, Texts, find_candidates
from ecellm.linking.embeddings import Embeddings
from ecellm.linking.options import LinkOptions, Search
from ecellm.linking.reasons import REASONS, reasons
from ecellm.linking.records import Catalogue, Record
from ecellm.linking.scoring import journal_file, score_candidates
from ecellm.linking.truth import LEFT, RIGHT, Evidence, Truth, above, evidence, threshold_for
from ecellm.models.base import Generator, Progress
from ecellm.tasks import Task

PROBABILITY, CLUSTER = "probability", "cluster"
#: Of a candidates file.
COLUMNS = ("left", "right", "score", "rank")
#: The key of a candidates file's identity, in its metadata.
IDENTITY = b"ecellm"


@dataclass(frozen=True)
class Linked:
    """What a run found."""

    candidates: int
    without: int
    """Left records that have no candidate."""
    pairs: int
    threshold: float
    evidence: Evidence | None


#: By stage, the callback(done, total).
Stage = Callable[[str], Progress]


def candidates_file(out: Path) -> Path:
    """Return the file that holds the candidates of an unfinished run."""
    return out.with_name(out.name + ".candidates.parquet")


def rejects_file(out: Path) -> Path:
    """Return the file of the rows that are no record."""
    return out.with_name(out.name + ".rejected.jsonl")


def evidence_file(out: Path) -> Path:
    """Return the file of the quality of a run's pairs."""
    return out.with_name(out.name + ".evidence.json")


def curve_file(out: Path) -> Path:
    """Return the picture of that quality by the threshold."""
    return out.with_name(out.name + ".curve.png")


def beside(out: Path) -> list[Path]:
    """Return the files that a run writes beside `out`."""
    return [of(out) for of in (rejects_file, evidence_file, curve_file, candidates_file, journal_file)]


def link(
    generator: Generator,
    task: Task,
    left: Catalogue,
    right: Catalogue | None,
    out: Path,
    model: Mapping[str, object],
    options: LinkOptions,
    truth: Truth | None = None,
    stage: Stage = lambda name: lambda done, total: None,
) -> Linked:
    """Find the pairs of two catalogues, or without `right` within one, and write them; `model` identifies the model.

    Raises DataError where an earlier run's files are of other input, ModelError where the model gives no
    probabilities, EcellmError where too many pairs fail, and ConfigError where no threshold has the target precision.
    """
    mine, others = left.records, (right or left).records
    searched = _digest([options.k, options.search, right is None, *map(_listed, (mine, others))])
    candidates = _candidates(mine, None if right is None else others, out, searched, options, stage)
    identity = {**model, "task": task.name, "candidates": searched}
    scored = score_candidates(generator, task, mine, others, candidates, out, identity, stage("scoring"))

    assigned = assign(scored, options.mode)
    threshold = options.threshold
    if options.target_precision is not None and truth is not None:
        threshold = threshold_for(options.target_precision, assigned, truth)
    pairs = above(assigned, threshold)
    found = None if truth is None else evidence(candidates, truth, threshold, assigned, len(mine))
    rejects = [*left.rejects, *(right.rejects if right is not None else ())]
    _write_beside(out, rejects, found)
    _write_pairs(pairs, mine, others, out, within=right is None)
    for file in (journal_file(out), candidates_file(out)):
        file.unlink(missing_ok=True)
    alone = len(mine) - len(np.union1d(candidates.left, candidates.right if right is None else candidates.left))
    return Linked(len(candidates.left), alone, len(pairs), threshold, found)


def _candidates(
    left: Sequence[Record],
    right: Sequence[Record] | None,
    out: Path,
    identity: str,
    options: LinkOptions,
    stage: Stage,
) -> Candidates:
    """Search the candidates, unless an earlier run has; raises DataError where those are of another input."""
    file = candidates_file(out)
    if file.exists():
        return _read_candidates(file, identity)
    found = find_candidates(
        _texts(left),
        None if right is None else _texts(right),
        options.k,
        Embeddings(stage("embedding")) if options.search is Search.BOTH else None,
        stage("searching"),
    )
    table = pa.table({name: getattr(found, name) for name in COLUMNS})
    with atomic_write(file) as path:
        pq.write_table(table.replace_schema_metadata({IDENTITY: identity}), path)
    return found


def _read_candidates(file: Path, identity: str) -> Candidates:
    try:
        table = pq.read_table(file)
        columns = [table.column(name).to_numpy() for name in COLUMNS]
    except (pa.ArrowException, KeyError, OSError) as error:
        raise DataError(f"{file} is damaged: remove it, and the candidates are searched again.") from error
    if (table.schema.metadata or {}).get(IDENTITY, b"").decode() != identity:
        raise DataError(
            f"{file} holds candidates of other input or options: name another output, or remove it and "
            f"{journal_file(file.with_name(file.name.removesuffix('.candidates.parquet'))).name}."
        )
    return Candidates(*columns)


def _texts(records: Sequence[Record]) -> Texts:
    return Texts([record.title for record in records], [record.others for record in records])


def _listed(records: Sequence[Record]) -> list[object]:
    return [[record.key, sorted(record.fields.items())] for record in records]


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _write_beside(out: Path, rejects: Sequence[Mapping[str, object]], found: Evidence | None) -> None:
    for file in (rejects_file(out), evidence_file(out), curve_file(out)):  # of an earlier run
        file.unlink(missing_ok=True)
    if rejects:
        append_entries(rejects_file(out), rejects)
    if found is not None:
        write_text(json.dumps(found.as_json(), indent=1) + "\n", evidence_file(out))


def _write_pairs(pairs: Pairs, left: Sequence[Record], right: Sequence[Record], out: Path, within: bool) -> None:
    """Write the pairs, the likeliest first; within one catalogue with the cluster that both are in."""
    columns: dict[str, list[object]] = {LEFT: [left[place].key for place in pairs.left.tolist()]}
    columns[RIGHT] = [right[place].key for place in pairs.right.tolist()]
    columns[PROBABILITY] = pairs.probability.tolist()
    if within:
        columns[CLUSTER] = [left[first].key for first in clusters(pairs, len(left))[pairs.left]]
    why = [reasons(left[one], right[other]) for one, other in zip(pairs.left, pairs.right, strict=True)]
    columns |= {name: [reason[name] for reason in why] for name in REASONS}
    kinds = {PROBABILITY: pa.float64()}
    write_new_table(
        pa.table({name: pa.array(own, kinds.get(name, pa.string())) for name, own in columns.items()}), out
    )
