"""The plain records that pass between rooms: Example (dataset), Question (prompts), Prediction (inference).

Nothing here imports an engine or a model library, so every room can use it.
"""

from dataclasses import dataclass, field
from typing import Literal

from ecellm.io.hashing import keyed_hash

Split = Literal["train", "validation", "test"]
Domain = Literal["IND", "OOD"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
DOMAINS: tuple[Domain, ...] = ("IND", "OOD")

#: The instruction part of the published setting names; a setting is `{domain}_{part}`.
SINGLE = "Single_Instruction"
DIVERSE = "Diverse_Instruction"
UNSEEN = "Unseen_Instruction"
ONE_SHOT = "Diverse_Instruction_1-shot"
SETTINGS: tuple[str, ...] = tuple(
    f"{domain}_{part}" for domain in DOMAINS for part in (SINGLE, DIVERSE, UNSEEN, ONE_SHOT)
)


@dataclass(frozen=True)
class Example:
    """One question with its reference answer, stored once; instructions come from a setting."""

    id: str
    """Stable: made from task, domain, input and options, the same on every engine and row order."""
    task: str
    """The paper's abbreviation: AVE PRP PM SA SR MPC PSI QPR AP AG."""
    domain: Domain
    split: Split
    input: str
    """The published input field, exact form per task."""
    options: str | None
    """The published options text (JSON list; for SR a Python list's repr); None where there are none."""
    output: str
    """The published output field."""
    category: str | None = None
    """The product category the row was drawn from, where the source has one."""
    labels: tuple[str, ...] | None = None
    """Of a ranking: the label of the k-th letter's item, such as ESCI's E, S, C or I."""
    facts: tuple[str, ...] = ()
    """Keys of the judgements or questions this row's answer gives away, such as
    `judgement|query|title`. No fact may label a train row of any task and a test row of any task."""
    products: tuple[str, ...] = ()
    """Product keys (`catalogue|product_id`) the row shows; out-of-domain ones never occur in that
    task's training rows."""


def sample_id(task: str, domain: Domain, input: str, options: str | None, occurrence: int = 0) -> str:
    """Return the stable id of an example; `occurrence` tells equal imported rows apart."""
    digest = keyed_hash(task, domain, input, options or "", occurrence)
    return f"{task}-{domain}-{digest[:16]}"


def new_example(
    task: str,
    domain: Domain,
    split: Split,
    input: str,
    options: str | None,
    output: str,
    category: str | None = None,
    labels: tuple[str, ...] | None = None,
    facts: tuple[str, ...] = (),
    products: tuple[str, ...] = (),
) -> Example:
    """Return an example with its id; the other fields as in `Example`."""
    identity = sample_id(task, domain, input, options)
    return Example(identity, task, domain, split, input, options, output, category, labels, facts, products)


@dataclass(frozen=True)
class Question:
    """An example as a setting asks it."""

    example: Example
    instruction: str
    shot: Example | None = None
    """The worked example of the 1-shot settings: a train row of the same task."""


@dataclass(frozen=True)
class Prediction:
    """One answer of one model to one example under one setting: a line of PREDICTIONS.jsonl."""

    id: str
    task: str
    setting: str
    text: str
    """The model's completion, unchanged."""
    answer: object = None
    """The strictly parsed answer, or None where the text cannot be parsed."""
    probability: float | None = None
    """The model's probability of this answer among its candidates, where there are candidates."""
    extra: dict[str, object] = field(default_factory=dict)
    """Anything else worth keeping on the line, such as `scores` of the candidates."""

    def to_entry(self) -> dict[str, object]:
        """Return what the line holds."""
        row: dict[str, object] = {"id": self.id, "task": self.task, "setting": self.setting, "text": self.text}
        row["answer"] = self.answer
        if self.probability is not None:
            row["probability"] = self.probability
        return {**row, **self.extra}
