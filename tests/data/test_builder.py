"""Building with injected samplers: what the builder asks of a task, selects, counts, writes and refuses."""

import errno
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from ecellm.data.builder import Say, build
from ecellm.data.config import BuildConfig
from ecellm.data.dataset import read_dataset
from ecellm.data.samplers import SAMPLERS, Draw, Plan, Sampler
from ecellm.data.schema import Store
from ecellm.errors import EcellmError
from ecellm.tasks import TASKS, Task
from ecellm.types import Domain, Example, Split


def example(task: str, number: int, split: Split = "train", domain: Domain = "IND", **more: Any) -> Example:
    output = "A" if task in ("SA", "MPC") else "yes"
    return Example(
        f"{task}-{number}", task, domain, split, more.pop("text", f"{task} {number}"), None, output, **more
    )


class Drawing(NamedTuple):
    """A task whose sampler needs no tables."""

    task: Task
    draw: Callable[[Store, Plan], Draw]

    @property
    def sampler(self) -> Sampler:
        return replace(SAMPLERS[self.task.name], needs=(), draw=self.draw)


def drawing(name: str, *examples: Example, dropped: dict[str, int] | None = None) -> Drawing:
    """A task whose sampler draws these examples."""

    def draw(store: Store, plan: Plan) -> Draw:
        return Draw(list(examples), Counter(dropped or {}))

    return Drawing(replace(TASKS[name], out_of_domain=True), draw)


def built(
    folder: Path, drawings: Sequence[Drawing], /, seed: int | None = None, say: Say = lambda step: None, **config: Any
) -> dict[str, Any]:
    sources = folder / "sources"
    sources.mkdir(exist_ok=True)
    tasks = [drawing.task for drawing in drawings]
    with patch.dict(SAMPLERS, {drawing.task.name: drawing.sampler for drawing in drawings}):
        return build(sources, BuildConfig.model_validate(config), folder / "out", tasks, seed, say)


def built_as_it_is(folder: Path, task: str, **config: Any) -> None:
    (folder / "sources").mkdir(exist_ok=True)
    build(
        folder / "sources",
        BuildConfig.model_validate(config),
        folder / "out",
        [TASKS[task]],
        None,
        lambda step: None,
    )


def test_rows_stand_task_by_task_in_drawing_order_within_their_quotas(tmp_path: Path) -> None:
    rows = [example("SA", number) for number in (5, 3, 4)]
    tests = [example("SA", 7, "test", "OOD"), example("SA", 6, "test")]
    others = [example("PM", number) for number in (2, 1)]
    built(tmp_path, [drawing("PM", *others), drawing("SA", *rows, *tests)], tasks={"SA": {"train": 2}})
    dataset = read_dataset(tmp_path / "out")
    assert [one.id for one in dataset.examples("train")] == ["PM-2", "PM-1", "SA-5", "SA-3"]
    assert dataset.examples("test") == [tests[1]]
    assert dataset.examples("test", "OOD") == [tests[0]]


def test_no_fact_or_input_crosses_from_one_tasks_tests_to_anothers_training(tmp_path: Path) -> None:
    judged = ("judgement|mug|red mug",)
    tasks = [
        drawing("PSI", example("PSI", 1, facts=judged), example("PSI", 2)),
        drawing("MPC", example("MPC", 1, "test", facts=judged)),
        drawing("AP", example("AP", 1, text="loud?")),
        drawing("AG", example("AG", 1, "test", text="loud?")),
    ]
    manifest = built(tmp_path, tasks)
    assert [one.id for one in read_dataset(tmp_path / "out").examples("train")] == ["PSI-2"]
    assert manifest["dropped"]["PSI"] == {"judgement or question labels a test row": 1}
    assert manifest["dropped"]["AP"] == {"input stands in another split": 1}


def test_only_open_questions_may_have_two_answers(tmp_path: Path) -> None:
    def answered(task: str) -> Drawing:
        return drawing(task, *(replace(example(task, 1), id=text, output=text) for text in ("yes", "no")))

    manifest = built(tmp_path, [answered("PM"), answered("AG")])
    assert [one.output for one in read_dataset(tmp_path / "out").examples("train")] == ["yes"]
    assert manifest["dropped"] == {
        "PM": {"equal inputs have different answers": 2},
        "AG": {"input stands there already": 1},
    }


def test_the_manifest_counts_all_that_was_drawn(tmp_path: Path) -> None:
    rows = [*(example("PM", number) for number in range(6)), example("PM", 9, text="PM 0"), example("PM", 7, "test")]
    task = drawing("PM", *rows, dropped={"title is markup": 4})
    manifest = built(tmp_path, [task], seed=3, tasks={"PM": {"train": 4}})
    assert json.loads((tmp_path / "out" / "manifest.json").read_text()) == manifest
    assert manifest["seed"] == 3
    assert manifest["counts"]["PM"] == {"train IND": 4, "validation IND": 0, "test IND": 1, "test OOD": 0}
    assert manifest["quotas"]["PM"]["train IND"] == 4
    assert manifest["dropped"]["PM"] == {"input stands there already": 1, "title is markup": 4}
    assert (manifest["drawn"]["PM"], manifest["spare"]["PM"]) == (8, 2)
    assert manifest["config"]["seed"] == 42
    assert set(manifest["versions"]) == {"python", "ecellm", "duckdb", "ibis-framework", "pyarrow"}
    assert manifest["rejected"] == {} and not (tmp_path / "out" / "rejects.jsonl").exists()


def test_a_task_is_asked_with_the_configs_quotas_and_categories_and_the_given_seed(tmp_path: Path) -> None:
    plans: list[Plan] = []

    def draw(store: Store, plan: Plan) -> Draw:
        plans.append(plan)
        return Draw([example("SA", 1)])

    chosen = {"train": 5, "in_domain": ["Home"], "out_of_domain": ["Tools"]}
    built(tmp_path, [drawing("SA")._replace(draw=draw)], seed=9, tasks={"SA": chosen})
    [plan] = plans
    assert (plan.seed, plan.in_domain, plan.out_of_domain) == (9, ("Home",), ("Tools",))
    assert plan.quotas["train", "IND"] == 5 and plan.quotas["test", "OOD"] == 1000


@pytest.mark.parametrize(
    ("task", "config", "said"),
    [
        ("PM", {}, r"Task PM needs the source amazon_google: name its folder in the config's \[sources\]"),
        ("MPC", {}, "Task MPC needs the source esci"),
        ("SR", {"amazon_reviews": "a"}, r"Task SR needs categories: set in_domain in the config's \[tasks\.SR\]"),
        ("AP", {"amazon_qa": "a"}, "Task AP needs categories: set in_domain"),
        ("PM", {"amazon_google": "a"}, r"There is no folder .*sources/a"),
    ],
)
def test_a_task_whose_source_or_categories_are_not_named_is_refused(
    tmp_path: Path, task: str, config: dict[str, str], said: str
) -> None:
    with pytest.raises(EcellmError, match=said):
        built_as_it_is(tmp_path, task, sources=config)
    assert not (tmp_path / "out").exists()


def test_out_of_domain_rows_need_categories_or_a_quota_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "sources" / "qa").mkdir(parents=True)
    plan: dict[str, Any] = {"in_domain": ["Home"]}
    config: dict[str, Any] = {"sources": {"amazon_qa": "qa"}, "tasks": {"AP": plan}}
    with pytest.raises(EcellmError, match="set out_of_domain, or out_of_domain_test = 0"):
        built_as_it_is(tmp_path, "AP", **config)
    plan["out_of_domain_test"] = 0
    with pytest.raises(EcellmError, match=r"There is no file .*train-qar\.jsonl"):
        built_as_it_is(tmp_path, "AP", **config)


def test_a_dataset_without_any_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EcellmError, match="No task has a row: check that"):
        built(tmp_path, [drawing("PM")])
    assert not (tmp_path / "out").exists()


def test_a_missing_sources_folder_and_an_output_that_exists_are_refused(tmp_path: Path) -> None:
    drawn = drawing("PM")
    with (
        patch.dict(SAMPLERS, {"PM": drawn.sampler}),
        pytest.raises(EcellmError, match="There is no sources folder"),
    ):
        build(tmp_path / "nowhere", BuildConfig(), tmp_path / "out", [drawn.task], None, lambda step: None)
    built(tmp_path, [drawing("PM", example("PM", 1))])
    before = (tmp_path / "out" / "train.parquet").read_bytes()
    with pytest.raises(EcellmError, match="exists already"):
        built(tmp_path, [drawing("PM", example("PM", 2))])
    assert (tmp_path / "out" / "train.parquet").read_bytes() == before


@pytest.mark.parametrize("step", ["reading sources", "drawing PM", "selecting rows", "writing"])
def test_ctrl_c_at_any_step_leaves_nothing(tmp_path: Path, step: str) -> None:
    def stop(now: str) -> None:
        if now == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(tmp_path, [drawing("PM", example("PM", 1))], say=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]


def test_a_full_disk_while_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    def fill(table: Any, file: Path, **more: Any) -> None:
        written.append(file.name)
        file.write_bytes(b"half")
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr("ecellm.data.dataset.pq.write_table", fill)
    with pytest.raises(OSError, match="No space left"):
        built(tmp_path, [drawing("PM", example("PM", 1))])
    assert len(written) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["sources"]
