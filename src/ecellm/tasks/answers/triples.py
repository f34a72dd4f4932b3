"""Attribute values: a list of {attribute, value, source}."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from ecellm.tasks.answers.base import AnswerDetails, Answers, AnswerType, Schema, TripleFigures, input_part
from ecellm.tasks.metrics import TRIPLE_EPSILON, triple_figures
from ecellm.tasks.scored import PairScorer, RowScorer, Scored, Scoring, bad_label
from ecellm.types import Example

Triple = dict[str, str]
TRIPLE_KEYS = ("attribute", "value", "source")
VALUE = TRIPLE_KEYS.index("value")
#: What a triple says where the text gives no value.
NONE = "None"
#: The key under which AVE's input names the target attributes, and what joins them.
TARGETS, JOINER = "target attributes", " and "
DIGITS = 6


class Triples(AnswerType[list[Triple]]):
    """A list of {attribute, value, source} (AVE); value and source are "None" where the text has none."""

    name = "triples"
    kind = "spans"
    column = pa.list_(pa.struct([(name, pa.string()) for name in TRIPLE_KEYS]))

    def attributes(self, example: Example) -> list[str]:
        """Return the attributes that the example asks for, in order; raises DataError where it names none."""
        return str(input_part(example, TARGETS)).split(JOINER)

    def sources(self, example: Example) -> list[str]:
        """Return the fields that a value may stand in, in lower case; raises DataError as `attributes`."""
        input_part(example, TARGETS)
        return [key.lower() for key in json.loads(example.input) if key != TARGETS]

    def print(self, answer: list[Triple], example: Example) -> str:
        """Return the JSON text with Python's defaults."""
        return json.dumps(answer)

    def written(self, value: object) -> str | None:
        """Take a list of triples, too, as the JSON text that `parse` takes."""
        return json.dumps(value) if isinstance(value, list) else super().written(value)

    def parse(self, text: str, example: Example) -> list[Triple] | None:
        """Take a JSON list of objects that each have the three keys with text values; nothing else."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(read, list):
            return None
        for item in read:
            if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in TRIPLE_KEYS):
                return None
        return [{key: item[key] for key in TRIPLE_KEYS} for item in read]

    def parse_published(self, text: str) -> list[Triple] | None:
        """Return the JSON list as it is, whatever its items are; [] for JSON that is no list; None where it is not
        JSON (invalid)."""
        try:
            read = json.loads(text)
        except (ValueError, RecursionError):
            return None
        return read if isinstance(read, list) else []

    def candidates(self, example: Example) -> None:
        """Return None: values are spans of the text."""

    def schema(self, example: Example) -> Schema:
        """Return an array of objects with the three keys."""
        texts = {key: {"type": "string"} for key in TRIPLE_KEYS}
        item = {
            "type": "object",
            "properties": texts,
            "required": list(TRIPLE_KEYS),
            "additionalProperties": False,
        }
        return {"type": "array", "items": item}

    def row_scorer(
        self, scoring: Scoring, examples: Sequence[Example], pairs: PairScorer | None
    ) -> RowScorer[list[Triple]]:
        """Count hits, predicted and label triples of each row.

        Strict counts distinct triples, equal in attribute, value and source; "None" for an attribute that the
        text lacks is a triple like others. Published compares every label with every predicted item, so that
        duplicates hit again.
        """
        count = self._strict_counts if scoring == "strict" else self._published_counts
        epsilon = 0.0 if scoring == "strict" else TRIPLE_EPSILON

        def score(answers: Answers[list[Triple]]) -> Scored:
            stats = [count(example, answer or []) for example, answer in zip(examples, answers, strict=True)]
            figures = partial(triple_figures, epsilon=epsilon)
            return Scored(np.array(stats, dtype=np.float64).reshape(-1, 3), figures)

        return score

    def trivial_answers(self, scoring: Scoring, examples: Sequence[Example]) -> dict[str, Answers[list[Triple]]]:
        """Return None for every attribute."""

        def none_for_all(example: Example) -> list[Triple]:
            names = dict.fromkeys(name.lower() for name in self.attributes(example))
            return [{"attribute": name, "value": NONE, "source": NONE} for name in names]

        return {"None for all": [none_for_all(example) for example in examples]}

    def slice_of(self, example: Example) -> str:
        """Return whether the text gives a value of any attribute."""
        triples = self.parse(example.output, example) or []
        return "with a value" if any(triple["value"] != NONE for triple in triples) else "without a value"

    def details(
        self, examples: Sequence[Example], texts: Sequence[str], answers: Answers[list[Triple]]
    ) -> AnswerDetails:
        """Return figures of the triples that have a value, and of those that say the text has none."""
        return {
            "value_triples": self._figures(examples, answers, none=False),
            "none_triples": self._figures(examples, answers, none=True),
        }

    def _figures(self, examples: Sequence[Example], answers: Answers[list[Triple]], none: bool) -> TripleFigures:
        counts = [self._counts_of(example, answer, none) for example, answer in zip(examples, answers, strict=True)]
        sums = np.array(counts, dtype=np.float64).sum(0)
        hits, answered, labelled = (int(value) for value in sums)
        figures = {name: round(float(value), DIGITS) for name, value in triple_figures(sums).items()}
        return TripleFigures(
            precision=figures["precision"],
            recall=figures["recall"],
            f1=figures["f1"],
            hits=hits,
            answered=answered,
            labelled=labelled,
        )

    def _counts_of(self, example: Example, answer: list[Triple] | None, none: bool) -> tuple[int, int, int]:
        """Return a row's distinct hits, predicted and label triples that say "None" (`none`) or have a value."""
        labels, answered = (
            {triple for triple in _distinct(triples) if (triple[VALUE] == NONE) == none}
            for triples in (self._labels(example), answer or [])
        )
        return len(labels & answered), len(answered), len(labels)

    def _strict_counts(self, example: Example, answer: list[Triple]) -> tuple[int, int, int]:
        labels, answered = _distinct(self._labels(example)), _distinct(answer)
        return len(labels & answered), len(answered), len(labels)

    def _published_counts(self, example: Example, answer: Sequence[object]) -> tuple[int, int, int]:
        labels = self._labels(example)
        # The script fails on items that are not objects; here they do not count.
        items = [item for item in answer if isinstance(item, dict)]
        lenient = example.domain == "OOD"
        hits = sum(_same(label, item) or (lenient and _contained(label, item)) for label in labels for item in items)
        return hits, sum("attribute" in item for item in items), len(labels)

    def _labels(self, example: Example) -> list[Triple]:
        labels = self.parse(example.output, example)
        if labels is None:
            raise bad_label(example, "no list of attribute, value and source")
        return labels


def _distinct(triples: Iterable[Triple]) -> set[tuple[str, ...]]:
    return {tuple(item[key] for key in TRIPLE_KEYS) for item in triples}


def _same(label: Triple, item: Mapping[str, object]) -> bool:
    return all(item.get(key) == label[key] for key in TRIPLE_KEYS)


def _contained(label: Triple, item: Mapping[str, object]) -> bool:
    """Return whether value and source (as texts) each contain the other's, either way; an empty text always does."""
    if item.get("attribute") != label["attribute"]:
        return False
    for key in ("value", "source"):
        if item.get(key) is None:
            return False
        answered, wanted = str(item[key]), label[key]
        if answered not in wanted and wanted not in answered:
            return False
    return True
