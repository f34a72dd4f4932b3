"""The real sample through the whole build: every task has rows, nothing leaks."""

from collections import defaultdict
from pathlib import Path

import pytest

from ecellm.dataset.build import build
from ecellm.dataset.config import read_config
from ecellm.dataset.dataset import Dataset, read_dataset
from ecellm.records import DOMAINS, SPLITS, Sample, Split
from ecellm.tasks import TASKS

EXAMPLE = Path(__file__).parents[2] / "examples" / "real-sample.toml"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("real") / "dataset"
    build(real_data, read_config(EXAMPLE), out, list(TASKS.values()), None, lambda step: None)
    return read_dataset(out)


@pytest.fixture(scope="module")
def rows(dataset: Dataset) -> dict[Split, list[Sample]]:
    return {split: [row for domain in DOMAINS for row in dataset.samples(split, domain)] for split in SPLITS}


def test_every_task_has_rows_in_every_split_and_domain_that_it_has(dataset: Dataset) -> None:
    for name, counts in dataset.manifest["counts"].items():
        assert all(counts.values()), (name, counts)
    assert list(dataset.manifest["counts"]) == list(TASKS)


def test_no_input_stands_in_two_splits_and_no_row_twice(rows: dict[Split, list[Sample]]) -> None:
    splits = defaultdict(set)
    for split, samples in rows.items():
        for sample in samples:
            splits[sample.input].add(split)
    assert all(len(found) == 1 for found in splits.values())
    everything = [sample for samples in rows.values() for sample in samples]
    assert len({sample.id for sample in everything}) == len(everything)
    assert len({(sample.task, sample.input, sample.options) for sample in everything}) == len(everything)


def test_no_judgement_or_question_labels_a_test_row_and_a_training_row(rows: dict[Split, list[Sample]]) -> None:
    facts = {split: {fact for sample in samples for fact in sample.facts} for split, samples in rows.items()}
    assert facts["test"] and facts["test"].isdisjoint(facts["train"] | facts["validation"])


def test_out_of_domain_products_are_not_trained_on(rows: dict[Split, list[Sample]]) -> None:
    trained, abroad = defaultdict(set), defaultdict(set)
    for sample in [*rows["train"], *rows["validation"]]:
        trained[sample.task].update(sample.products)
    for sample in rows["test"]:
        if sample.domain == "OOD":
            abroad[sample.task].update(sample.products)
    assert len(abroad) == 6
    assert all(trained[task].isdisjoint(products) for task, products in abroad.items())


def test_every_reference_answer_is_read_and_printed_back(rows: dict[Split, list[Sample]]) -> None:
    for sample in (sample for samples in rows.values() for sample in samples):
        answer = TASKS[sample.task].answer
        parsed = answer.parse(sample.output, sample)
        assert parsed is not None, sample
        assert answer.parse(answer.print(parsed, sample), sample) == parsed, sample
