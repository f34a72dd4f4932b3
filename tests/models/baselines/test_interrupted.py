"""A fitting that was interrupted goes on, and ends as one that was not."""

from collections.abc import Callable
from pathlib import Path

import pytest
from test_tfidf import made, save

from ecellm.data.dataset import Dataset
from ecellm.errors import EcellmError
from ecellm.models.baselines.base import Choices, FitProgress
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.folder import is_finished, model_hash

STEPS = 9
CHOICES = Choices(epochs=3)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    counts = {"train": 90, "validation": 30, "test": 20}
    rows = [
        made(task, split, n)  # type: ignore[arg-type]
        for task in ("SR", "PM")
        for split, count in counts.items()
        for n in range(count)
    ]
    return save(tmp_path_factory.mktemp("interrupted") / "data", rows)


@pytest.fixture(scope="module")
def whole(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("whole") / "model"
    fit_baseline("gsasrec", data, out, choices=CHOICES)
    return model_hash(out)


def interrupting(at: int) -> Callable[[str], FitProgress]:
    """Return progress that raises KeyboardInterrupt, as control and C does, once so many steps are done."""

    def progress(done: int, total: int, remark: str) -> None:
        assert total == STEPS
        if done == at:
            raise KeyboardInterrupt

    return lambda task: progress


@pytest.mark.parametrize("at", range(1, STEPS + 1))
def test_it_ends_as_if_nothing_had_happened(data: Dataset, whole: str, tmp_path: Path, at: int) -> None:
    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        fit_baseline("gsasrec", data, out, choices=CHOICES, fitting=interrupting(at))
    seen: list[int] = []
    fit_baseline("gsasrec", data, out, choices=CHOICES, fitting=lambda task: lambda done, *_: seen.append(done))
    assert model_hash(out) == whole
    assert seen[0] > (at - 1) // 3 * 3, "the passes that were done are not done again"
    assert sorted(path.name for path in out.iterdir()) == ["SR.json", "SR.safetensors", "ecellm.json"]


def test_it_ends_the_same_however_often_it_is_interrupted(data: Dataset, whole: str, tmp_path: Path) -> None:
    for at in (2, 4, 8):
        with pytest.raises(KeyboardInterrupt):
            fit_baseline("gsasrec", data, tmp_path / "model", choices=CHOICES, fitting=interrupting(at))
    fit_baseline("gsasrec", data, tmp_path / "model", choices=CHOICES)
    assert model_hash(tmp_path / "model") == whole


def test_tasks_that_are_done_are_not_fitted_again(data: Dataset, tmp_path: Path) -> None:
    def until_sr(task: str) -> FitProgress:
        if task == "SR":
            raise KeyboardInterrupt
        return lambda done, total, remark: None

    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        fit_baseline("tfidf", data, out, fitting=until_sr)
    weights = (out / "PM.safetensors").stat().st_mtime_ns
    assert fit_baseline("tfidf", data, out) == ["PM", "SR"]
    assert (out / "PM.safetensors").stat().st_mtime_ns == weights
    fit_baseline("tfidf", data, tmp_path / "at once")
    assert model_hash(out) == model_hash(tmp_path / "at once")


def test_nothing_is_lost_at_the_last_moment(data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The moment when all is written and only the name of the model's facts is missing."""
    out, within = tmp_path / "model", Path.replace

    def press(path: Path, target: Path) -> Path:
        if target.name == "ecellm.json":
            raise KeyboardInterrupt
        return within(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", press)
        with pytest.raises(KeyboardInterrupt):
            fit_baseline("tfidf", data, out)
    assert not is_finished(out)
    begun: list[str] = []
    fit_baseline("tfidf", data, out, fitting=lambda task: begun.append(task) or (lambda done, total, remark: None))
    assert is_finished(out) and begun == []


def test_nothing_is_left_where_nothing_was_done(data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit_baseline("gsasrec", data, tmp_path / "model", choices=CHOICES, fitting=interrupting(2))
    assert list(tmp_path.iterdir()) == []


def test_another_command_does_not_go_on_with_it(data: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "model"
    with pytest.raises(KeyboardInterrupt):
        fit_baseline("gsasrec", data, out, choices=CHOICES, fitting=interrupting(4))
    with pytest.raises(EcellmError, match="was begun with another recipe: repeat the command"):
        fit_baseline("gsasrec", data, out, choices=Choices(epochs=4))
    with pytest.raises(EcellmError, match="was begun with another recipe, tasks"):
        fit_baseline("tfidf", data, out)
    with pytest.raises(EcellmError, match="exists already"):
        fit_baseline("gsasrec", data, out.parent)
    for text, message in (("{", "is not valid JSON"), ("{}", "parts is no object: name another output")):
        (out / "begun.json").write_text(text)
        with pytest.raises(EcellmError, match=message):
            fit_baseline("gsasrec", data, out, choices=CHOICES)
