"""Small test rows of the ten tasks in the published forms, and folders and files made of them."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ecellm.data.dataset import Dataset, read_dataset, write_split
from ecellm.types import Domain, Example, Split

STARS = '["A: very positive", "B: positive", "C: neutral", "D: negative", "E: very negative"]'
RELATIONS = '["A: bought by the same", "B: seen by the same", "C: similar"]'
IND = "IND_Diverse_Instruction"
OOD = "OOD_Diverse_Instruction"


def row(
    task: str,
    number: int,
    output: str,
    input: str = "",
    options: str | None = None,
    labels: Sequence[str] | None = None,
    domain: Domain = "IND",
    split: Split = "test",
) -> Example:
    id = f"{task}-{domain}-{split}-{number:04}"
    return Example(id, task, domain, split, input, options, output, labels=tuple(labels) if labels else None)


def yes_no(outputs: Iterable[str], task: str = "PM") -> list[Example]:
    return [row(task, number, output, "{}") for number, output in enumerate(outputs)]


def stars(outputs: Iterable[str]) -> list[Example]:
    options = {option[0]: option for option in json.loads(STARS)}
    return [row("SA", number, options[letter], "text", STARS) for number, letter in enumerate(outputs)]


def relations(outputs: Iterable[str]) -> list[Example]:
    return [row("PRP", number, letter, "{}", RELATIONS) for number, letter in enumerate(outputs)]


def purchases(outputs: Iterable[str]) -> list[Example]:
    options = repr([f"{letter}: it's {letter}" for letter in "ABCDEFGHIJKLMNOPQRST"])
    return [row("SR", number, letter, "['1st: mug']", options) for number, letter in enumerate(outputs)]


def lists(labels: Iterable[str], titles: Sequence[str] = ()) -> list[Example]:
    rows = []
    for number, row_labels in enumerate(labels):
        shown = titles or [f"thing {place}" for place in range(len(row_labels))]
        products = [f"{'ABCD'[place]}: {title}" for place, title in enumerate(shown)]
        text = json.dumps({"query": "blue mug", "product list": products})
        order = sorted(range(len(row_labels)), key=lambda place: "ESCI".index(row_labels[place]))
        rows.append(row("QPR", number, ",".join("ABCD"[place] for place in order), text, labels=row_labels))
    return rows


def triple(attribute: str, value: str, source: str = "product title") -> dict[str, str]:
    return {"attribute": attribute, "value": value, "source": source if value != "None" else "None"}


def values(outputs: Iterable[Sequence[dict[str, str]]], domain: Domain = "IND") -> list[Example]:
    rows = []
    for number, triples in enumerate(outputs):
        targets = " and ".join(dict.fromkeys(item["attribute"].title() for item in triples))
        text = json.dumps({"product title": "Blue Mug", "target attributes": targets})
        rows.append(row("AVE", number, json.dumps(triples), text, domain=domain))
    return rows


def answers(outputs: Iterable[str]) -> list[Example]:
    text = json.dumps({"question": "Is the mug safe?", "document": ["It is blue.", "The mug is very safe."]})
    return [row("AG", number, output, text) for number, output in enumerate(outputs)]


def dataset(folder: Path, examples: Iterable[Example]) -> Dataset:
    examples = list(examples)
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        write_split([example for example in examples if example.split == split], folder / f"{split}.parquet")
    (folder / "manifest.json").write_text('{"seed": 7}')
    return read_dataset(folder)


def predictions(file: Path, examples: Iterable[Example], texts: Iterable[str], setting: str = IND) -> Path:
    lines = [
        {"id": example.id, "task": example.task, "setting": setting, "text": text}
        for example, text in zip(examples, texts, strict=True)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def scores(made: dict[str, Any], metric: str, scoring: str = "strict", task: str | None = None) -> dict[str, Any]:
    """Return the one score row of a metric and scoring."""
    found = [
        row
        for row in made["scores"]
        if row["metric"] == metric and row["scoring"] == scoring and task in (None, row["task"])
    ]
    assert len(found) == 1, found
    return found[0]
