"""Catalogues for tests, and a generator whose probability of yes is the part of the words that two titles share."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from ecellm.models.base import Reply, Request
from ecellm.tasks import TASKS
from ecellm.tasks.task import Task
from scripted import ScriptedGenerator

PM: Task = TASKS["PM"]
FIELDS = ("title", "description", "brand", "price")
LEFT = [
    ("a1", "acorn photo studio 7"),
    ("a2", "typing tutor family edition"),
    ("a3", "route planner usa 2006"),
    ("a4", "chess master 9000"),
    ("a5", "unrelated thing"),
]
RIGHT = [
    ("b1", "acorn photo studio 7.0"),
    ("b2", "acorn photo studio 8"),
    ("b3", "typing tutor school edition"),
    ("b4", "route planner usa 2006 dvd"),
    ("b5", "grand chess master 9000"),
    ("b6", "lawn mower"),
]
TRUE = [("a1", "b1"), ("a3", "b4"), ("a4", "b5")]


class Overlap(ScriptedGenerator):
    """Answers PM by the words that two titles share, and counts the questions."""

    def __init__(self) -> None:
        super().__init__({})
        self.answered = 0

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        """Return yes with the Jaccard index of both titles' words as its probability."""
        self.answered += len(requests)
        found = []
        for request in requests:
            read = json.loads(request.question.example.input)
            one, other = (set(read[f"product {number}"]["title"].split()) for number in (1, 2))
            yes = len(one & other) / len(one | other)
            text = "yes" if yes > 0.5 else "no"
            found.append(Reply(text, max(yes, 1 - yes), {"yes": yes, "no": 1 - yes}))
        return found


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Write a table."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read one."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
