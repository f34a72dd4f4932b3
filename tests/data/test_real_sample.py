"""The real sample through the whole build: every task has rows, nothing leaks."""

from collections import defaultdict
from pathlib import Path

import pytest

from ecellm.data.builder import build
from ecellm.data.config import read_config
from ecellm.data.dataset import Dataset, read_dataset
from ecellm.tasks import TASKS
from ecellm.types import DOMAINS, SPLITS, Example, Split

EXAMPLE = Path(__file__).parents[2] / "examples" / "real-sample.toml"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("real") / "dataset"
    build(real_data, read_config(EXAMPLE), out, list(TASKS.values()), None, lambda step: None)
    return read_dataset(out)


@pytest.fixture(scope="module")
def rows(dataset: Dataset) -> dict[Split, list[Example]]:
    return {split: [row for domain in DOMAINS for row in dataset.examples(split, domain)] for split in SPLITS}


def test_every_task_has_rows_in_every_split_and_domain_that_it_has(dataset: Dataset) -> None:
    for name, counts in dataset.manifest["counts"].items():
        assert all(counts.values()), (name, counts)
    assert list(dataset.manifest["counts"]) == list(TASKS)


def test_no_input_stands_in_two_splits_and_no_row_twice(rows: dict[Split, list[Example]]) -> None:
    splits = defaultdict(set)
    for split, examples in rows.items():
        for example in examples:
            splits[example.input].add(split)
    assert all(len(found) == 1 for found in splits.values())
    everything = [example for examples in rows.values() for example in examples]
    assert len({example.id for example in everything}) == len(everything)
    assert len({(example.task, example.input, example.options) for example in everything}) == len(everything)


def test_no_judgement_or_question_labels_a_test_row_and_a_training_row(rows: dict[Split, list[Example]]) -> None:
    facts = {split: {fact for example in examples for fact in example.facts} for split, examples in rows.items()}
    assert facts["test"] and facts["test"].isdisjoint(facts["train"] | facts["validation"])


def test_out_of_domain_products_are_not_trained_on(rows: dict[Split, list[Example]]) -> None:
    trained, abroad = defaultdict(set), defaultdict(set)
    for example in [*rows["train"], *rows["validation"]]:
        trained[example.task].update(example.products)
    for example in rows["test"]:
        if example.domain == "OOD":
            abroad[example.task].update(example.products)
    assert len(abroad) == 6
    assert all(trained[task].isdisjoint(products) for task, products in abroad.items())


def test_every_reference_answer_is_read_and_printed_back(rows: dict[Split, list[Example]]) -> None:
    for example in (example for examples in rows.values() for example in examples):
        answer = TASKS[example.task].answer
        parsed = answer.parse(example.output, example)
        assert parsed is not None, example
        assert answer.parse(answer.print(parsed, example), example) == parsed, example
