"""Joining the answers of a run's parts, such as its shards, into one file."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecellm.errors import DataError
from ecellm.inference.predict import SHARD, record_file
from ecellm.inference.run import failed_file
from ecellm.inference.usage import UsageLine, took_file
from ecellm.io.files import all_or_none, atomic_write, check_is_file, refuse_existing, write_text
from ecellm.io.journal import read_record
from ecellm.io.json_types import json_fault
from ecellm.io.tables.json_objects import JsonFaultError, json_value


@dataclass(frozen=True)
class Joined:
    """What was joined."""

    answers: int
    twice: int
    """Answers that occur again with the same text; they are kept once."""
    failed: int
    """Questions that the parts' last runs got no answer to."""
    short: tuple[str, ...] = ()
    """A message for each part that has fewer answers than its notes count, or none."""


def join(parts: Sequence[Path], out: Path) -> Joined:
    """Write the answers of all parts, part after part, the record that they share, and what each took.

    Raises DataError where a part has no record or another's, is incomplete, is named twice, or holds another answer
    to a question than an earlier part; where the parts are shards and not each is there once; where a part is empty
    whose notes count answers; and where `out` exists.
    """
    refuse_existing(out)
    records = [_record(part) for part in parts]
    shards = [record.pop(SHARD, None) for record in records]
    _check_shards(parts, shards)
    for part, record in zip(parts[1:], records[1:], strict=True):
        different = [name for name in {**records[0], **record} if records[0].get(name) != record.get(name)]
        if different:
            raise DataError(f"{parts[0]} and {part} are not of one run: another {' and '.join(different)}.")
    first: dict[tuple[str, str], tuple[str, Path]] = {}
    lines: list[str] = []
    twice = 0
    short: list[str] = []
    for part, shard in zip(parts, shards, strict=True):
        answers = _answers(part)
        short += _short(part, shard, len(answers))
        for line, key, text in answers:
            if key not in first:
                first[key] = text, part
                lines.append(line)
                continue
            twice += 1
            if first[key][0] != text:
                raise DataError(
                    f"{key[0]} under {key[1]} has one answer in {first[key][1]} and another in {part}: keep one."
                )
    took = "".join(took_file(part).read_text(encoding="utf-8") for part in parts if took_file(part).is_file())
    with all_or_none([record_file(out), took_file(out)]):
        write_text(json.dumps(records[0], indent=2) + "\n", record_file(out))
        if took:
            write_text(took, took_file(out))
        with atomic_write(out) as path:
            path.write_text("".join(lines), encoding="utf-8", newline="\n")
    failed = sum(_count(failed_file(part)) for part in parts)
    return Joined(len(lines), twice, failed, tuple(short))


def _check_shards(parts: Sequence[Path], shards: Sequence[object]) -> None:
    """Raise DataError where a part is named twice, or parts are shards, such as 1/4, and not each is there once."""
    first: dict[object, Path] = {}
    for part, shard in zip(parts, shards, strict=True):
        for known in (part.resolve(), *([shard] if shard else [])):
            if known in first:
                raise DataError(f"{first[known]} and {part} are the same part of the run: name each part once.")
            first[known] = part
    named = [str(shard) for shard in shards if shard]
    of = {shard.rpartition("/")[2] for shard in named}
    if len(of) > 1:
        raise DataError(f"The parts are shards of different divisions ({', '.join(named)}): join those of one.")
    wanted = [f"{number}/{count}" for count in map(int, of) for number in range(1, count + 1)]
    if missing := [shard for shard in wanted if shard not in named]:
        raise DataError(
            f"No part is shard {', '.join(missing)}: answer it with `ecellm predict --shard {missing[0]}`, and name "
            "its file too."
        )


def _record(part: Path) -> dict[str, object]:
    check_is_file(part)
    record = read_record(record_file(part))
    if record is None:
        raise DataError(
            f"{part} has no {record_file(part).name} beside it, which names the model and data of its answers."
        )
    return record


def _answers(part: Path) -> list[tuple[str, tuple[str, str], str]]:
    """Return a part's lines, each with its question and text."""
    found = []
    with part.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                raise DataError(f"{part} ends within an answer: run its `ecellm predict` again to the end.")
            try:
                row: Any = json_value(line)
                found.append((line, (str(row["id"]), str(row["setting"])), str(row["text"])))
            except (ValueError, TypeError, KeyError, JsonFaultError) as error:
                raise DataError(f"{part}, line {number} is no answer: remove that line.") from error
    return found


def _short(part: Path, shard: object, answers: int) -> list[str]:
    """Return the messages on a part that has fewer answers than its runs counted, or none at all; raises
    DataError where all of those that were counted are gone."""
    counted = _counted(took_file(part))
    name = f"{part} (shard {shard})" if shard else str(part)
    if not answers and counted:
        again = f"`ecellm predict --shard {shard}`" if shard else "its `ecellm predict`"
        raise DataError(f"{name} is empty, but {took_file(part).name} counts {counted:,} answers: run {again} again.")
    if not answers:
        return [f"{name} has no answers."]
    if answers < counted:
        return [f"{name} has {answers:,} answers, {counted - answers:,} fewer than {took_file(part).name} counts."]
    return []


def _counted(file: Path) -> int:
    """Return how many answers the runs of a part counted; lines that cannot be read count none."""
    total = 0
    for line in file.read_bytes().splitlines() if file.is_file() else ():
        with suppress(ValueError, JsonFaultError):
            row: Any = json_value(line.decode("utf-8"))
            total += 0 if json_fault(row, UsageLine) else row["answered"]
    return total


def _count(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.is_file() else 0
