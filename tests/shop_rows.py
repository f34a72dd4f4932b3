"""Hand-made samples of every answer type, enough to tune a tiny model on."""

import json
from pathlib import Path

from ecellm.data.dataset import MANIFEST, write_split
from ecellm.io.hashing import keyed_choice
from ecellm.tasks.sa import OPTIONS
from ecellm.tasks.sr import ordinal
from ecellm.types import SPLITS, Example, Split, sample_id

COLOURS = ("red", "blue", "green", "black")
THINGS = ("mug", "lamp", "tent", "drill", "sofa")


def _sample(task: str, split: Split, input: str, output: str, options: str | None = None, **more: object) -> Example:
    return Example(sample_id(task, "IND", input, options), task, "IND", split, input, options, output, **more)  # type: ignore[arg-type]


def rows(split: Split, count: int) -> list[Example]:
    """`count` samples each of PM, SA, SR, QPR, AVE and AG."""
    made = []
    for number in range(count):

        def pick(size: int, name: str, n: int = number) -> int:
            return keyed_choice(size, "rows", split, n, name)

        thing, colour = THINGS[pick(5, "thing")], COLOURS[pick(4, "colour")]
        title = f"{colour} {thing} {split} {number}"
        same = pick(2, "same") == 0
        other = title if same else f"{COLOURS[pick(4, 'c2')]} {THINGS[pick(5, 't2')]} {number + 500}"
        record = {"description": f"a {colour} {thing} for the home", "manufacturer": "nan", "price": "5"}
        pair = {"product 1": {"title": title, **record}, "product 2": {"title": other, **record}}
        made.append(_sample("PM", split, json.dumps(pair), "yes" if same else "no"))
        star = pick(5, "star")
        words = ("terrible", "poor", "fair", "good", "great")[star]
        text = f"this {thing} is {words} and I will tell all my friends about number {number} {split}"
        made.append(_sample("SA", split, text, OPTIONS[4 - star], json.dumps(OPTIONS)))
        history = [f"{ordinal(place + 1)}: {colour} {thing} {place}. Home." for place in range(5)]
        letters = "ABCDEFGHIJKLMNOPQRST"
        target = pick(20, "target")
        options = [
            f"{letter}: {colour if place == target else 'plain'} item {place} {number} {split}."
            for place, letter in enumerate(letters)
        ]
        made.append(_sample("SR", split, repr(history), letters[target], repr(options)))
        query = {
            "query": f"{colour} {thing} {number} {split}",
            "product list": [f"A: {title}", "B: grey rug", "C: pen"],
        }
        made.append(_sample("QPR", split, json.dumps(query), "A,B,C", labels=("E", "S", "I")))
        asked = {"product title": f"Nice {colour} {thing} {split} {number}", "target attributes": "Color and Weight"}
        values = [
            {"attribute": "color", "value": colour, "source": "product title"},
            {"attribute": "weight", "value": "None", "source": "None"},
        ]
        made.append(_sample("AVE", split, json.dumps(asked), json.dumps(values)))
        question = {"question": f"what color is {split} {number}?", "document": [f"it is {colour}", "fast shipping"]}
        made.append(_sample("AG", split, json.dumps(question), f"It is {colour}."))
    return made


def write_dataset(folder: Path, train: int = 6, held_out: int = 3) -> Path:
    """Write a dataset folder of these rows."""
    folder.mkdir(parents=True)
    for split in SPLITS:
        write_split(rows(split, train if split == "train" else held_out), folder / f"{split}.parquet")
    (folder / MANIFEST).write_text(json.dumps({"seed": 1}))
    return folder
