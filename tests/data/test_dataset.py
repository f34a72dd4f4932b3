"""A DATASET folder as others read it: settings, views, one-shot examples, limits, and folders that are none."""

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecellm.data.dataset import Dataset, read_dataset, split_setting, spread, write_split
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS
from ecellm.types import SETTINGS, SPLITS, Domain, Example, Question, Split

DIVERSE, UNSEEN, ONE_SHOT = "IND_Diverse_Instruction", "IND_Unseen_Instruction", "IND_Diverse_Instruction_1-shot"


def example(task: str, number: int, split: Split, domain: Domain = "IND") -> Example:
    output = "A" if task == "SA" else "yes"
    return Example(f"{task}-{domain}-{split}-{number}", task, domain, split, f"{split} {number}", None, output)


def write(folder: Path, *examples: Example, manifest: str = '{"seed": 7}') -> Dataset:
    folder.mkdir(exist_ok=True)
    for split in SPLITS:
        write_split([one for one in examples if one.split == split], folder / f"{split}.parquet")
    (folder / "manifest.json").write_text(manifest)
    return read_dataset(folder)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    train = [example(task, number, "train") for task in ("PM", "SA") for number in range(40)]
    test = [example(task, number, "test") for task in ("PM", "SA") for number in range(60)]
    abroad = [example("SA", number, "test", "OOD") for number in range(5)]
    return write(tmp_path / "data", *train, *test, *abroad)


def test_every_field_of_a_sample_survives_the_folder(tmp_path: Path) -> None:
    facts = ("judgement|mug|red mug",)
    full = Example(
        "QPR-1", "QPR", "IND", "test", "in\u2028put", "['A: x']", "B,A", "Home", ("S", "E"), facts, ("esci|1",)
    )
    bare = Example("PM-1", "PM", "OOD", "test", "", None, "no")
    dataset = write(tmp_path / "data", full, bare)
    assert dataset.examples("test") == [full]
    assert dataset.examples("test", "OOD") == [bare]
    assert dataset.examples("train") == []


def test_a_folder_with_the_contracts_columns_alone_is_a_dataset(tmp_path: Path) -> None:
    row = {"id": "PM-1", "task": "PM", "domain": "IND", "input": "{}", "options": None, "output": "no"}
    for split in SPLITS:
        pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{split}.parquet")
    (tmp_path / "manifest.json").write_text("{}")
    dataset = read_dataset(tmp_path)
    assert dataset.examples("validation") == [Example("PM-1", "PM", "IND", "validation", "{}", None, "no")]
    assert dataset.settings() == list(SETTINGS[:4])


def test_the_settings_are_those_of_the_domains_that_are_tested(dataset: Dataset, tmp_path: Path) -> None:
    assert dataset.settings() == list(SETTINGS)
    assert write(tmp_path / "in", example("PM", 1, "test")).settings() == list(SETTINGS[:4])
    assert write(tmp_path / "none", example("PM", 1, "train")).settings() == []


def test_single_unseen_and_diverse_settings_give_their_instructions(dataset: Dataset) -> None:
    task = TASKS["PM"]
    single = {asked.instruction for asked in dataset.view("IND_Single_Instruction", tasks=["PM"])}
    unseen = {asked.instruction for asked in dataset.view(UNSEEN, tasks=["PM"])}
    diverse = Counter(asked.instruction for asked in dataset.view(DIVERSE, tasks=["PM"]))
    assert single == {task.seed_instruction}
    assert unseen == {task.unseen_instruction}
    assert set(diverse) == set(task.seen_instructions)
    assert max(diverse.values()) < 30


def test_training_rows_never_show_the_unseen_instruction_or_their_own_answer(dataset: Dataset) -> None:
    shown = {asked.instruction for asked in dataset.view(DIVERSE, "train")}
    assert shown.isdisjoint(task.unseen_instruction for task in TASKS.values())
    for setting in (UNSEEN, ONE_SHOT):
        with pytest.raises(EcellmError, match=f"{setting} has test rows only"):
            dataset.view(setting, "train")


def test_test_row_i_carries_its_tasks_train_row_i_and_counts_round(dataset: Dataset) -> None:
    shots = [asked.shot for asked in dataset.view(ONE_SHOT) if asked.example.task == "SA"]
    assert [shot.id for shot in shots if shot] == [f"SA-IND-train-{number % 40}" for number in range(60)]
    abroad = dataset.view("OOD_Diverse_Instruction_1-shot")
    assert [asked.shot.id for asked in abroad if asked.shot] == [f"SA-IND-train-{number}" for number in range(5)]
    assert all(asked.shot is None for asked in dataset.view(DIVERSE))


def test_naming_tasks_changes_no_rows_instruction_or_example(dataset: Dataset) -> None:
    everything = [asked for asked in dataset.view(ONE_SHOT) if asked.example.task == "SA"]
    assert dataset.view(ONE_SHOT, tasks=["SA"]) == everything


def test_without_training_rows_there_is_no_example(tmp_path: Path) -> None:
    [asked] = write(tmp_path / "data", example("PM", 1, "test")).view(ONE_SHOT)
    assert asked.shot is None


def test_another_seed_draws_other_instructions_for_the_same_rows(tmp_path: Path) -> None:
    rows = [example("PM", number, "test") for number in range(60)]
    one = write(tmp_path / "one", *rows, manifest='{"seed": 1}').view(DIVERSE)
    two = write(tmp_path / "two", *rows, manifest='{"seed": 2}').view(DIVERSE)
    assert [asked.example for asked in one] == [asked.example for asked in two]
    assert [asked.instruction for asked in one] != [asked.instruction for asked in two]


def test_the_hash_tells_rows_apart_and_nothing_else(tmp_path: Path) -> None:
    rows = [example("PM", number, "train") for number in range(3)]
    same = [write(tmp_path / name, *rows).hash() for name in ("one", "two")]
    assert same[0] == same[1]
    assert write(tmp_path / "three", *rows, manifest='{"seed": 8}').hash() == same[0]
    assert write(tmp_path / "four", *rows[::-1]).hash() != same[0]


def test_an_unknown_setting_is_named_with_the_known_ones() -> None:
    with pytest.raises(EcellmError, match=r"Unknown setting 'IND_Diverse': choose from IND_Single_Instruction, "):
        split_setting("IND_Diverse")


def test_a_folder_that_is_no_dataset_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match=r"is not a dataset: it has no manifest\.json"):
        read_dataset(tmp_path)
    for broken, said in (("[]", "is not a JSON object"), ("{", "is not valid JSON")):
        with pytest.raises(EcellmError, match=said):
            write(tmp_path / "data", manifest=broken)
    (tmp_path / "data" / "manifest.json").write_text("{}")
    pq.write_table(pa.table({"id": ["1"], "task": ["PM"]}), tmp_path / "data" / "train.parquet")
    with pytest.raises(EcellmError, match="has no column domain, input, options, output"):
        read_dataset(tmp_path / "data")
    (tmp_path / "data" / "train.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(EcellmError, match="cannot be read as Parquet"):
        read_dataset(tmp_path / "data")
    (tmp_path / "data" / "train.parquet").unlink()
    with pytest.raises(EcellmError, match=r"has no train\.parquet"):
        read_dataset(tmp_path / "data")


@given(st.dictionaries(st.sampled_from(sorted(TASKS)), st.integers(1, 30)), st.integers(1, 100), st.integers(0, 3))
def test_a_limit_is_met_evenly_over_tasks_in_file_order(sizes: dict[str, int], limit: int, seed: int) -> None:
    rows = [Question(example(task, number, "test"), "?") for task, size in sizes.items() for number in range(size)]
    kept = spread(rows, limit, seed)
    shares = Counter(asked.example.task for asked in kept)
    assert len(kept) == min(limit, len(rows))
    assert [rows.index(asked) for asked in kept] == sorted(rows.index(asked) for asked in kept)
    for task, size in sizes.items():  # a task that gave less than another gave all it had, or one row less
        assert shares[task] == size or shares[task] >= max(shares.values(), default=0) - 1


def test_a_limit_draws_the_same_rows_whatever_their_order() -> None:
    rows = [Question(example("PM", number, "test"), "?") for number in range(50)]
    one = {asked.example.id for asked in spread(rows, 10, seed=3)}
    assert one == {asked.example.id for asked in spread(rows[::-1], 10, seed=3)}
    assert one != {asked.example.id for asked in rows[:10]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"config": None}, "config is no object"),
        ({"inputs": 7}, "inputs is no list"),
        ({"inputs": [None]}, r"inputs\[0\] is no object"),
        ({"versions": ["3.12"]}, "versions is no object"),
        ({"deviations": [{"tasks": ["PM"]}]}, r"deviations\[0\]\.text is missing"),
        ({"counts": {"PM": {"train IND": "7"}}}, r"counts\.PM\.train IND is not a whole number"),
        ({"seed": True}, "seed is not a whole number"),
    ],
)
def test_an_edited_manifest_is_refused_with_the_place(tmp_path: Path, change: dict[str, object], said: str) -> None:
    with pytest.raises(EcellmError, match=rf"manifest\.json: {said}\. Build the dataset again"):
        write(tmp_path / "data", manifest=json.dumps(change))


def test_the_manifest_is_kept_as_it_stands(tmp_path: Path) -> None:
    dataset = write(tmp_path / "data", manifest=json.dumps({"seed": 3, "counts": {"PM": {}}}))
    assert dataset.seed == 3
    assert dataset.manifest["counts"] == {"PM": {}}
