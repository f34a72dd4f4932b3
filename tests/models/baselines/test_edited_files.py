"""A baseline's folder that was edited, or whose files were exchanged, is refused in one sentence."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from ecellm.data.dataset import read_dataset
from ecellm.errors import ModelError
from ecellm.models.baselines.fit import fit_baseline
from ecellm.models.load import load_generator
from shop_rows import write_dataset


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("baseline")
    fit_baseline("tfidf", read_dataset(write_dataset(folder / "data")), folder / "model", ["PM", "SA"])
    load_generator(folder / "model")
    return folder / "model"


def negated(folder: Path) -> None:
    arrays = load_file(folder / "PM.safetensors")
    save_file({name: -array for name, array in arrays.items()}, folder / "PM.safetensors")


def of_the_older_version(folder: Path) -> None:
    notes = hashlib.sha256((folder / "PM.json").read_bytes()).hexdigest()
    describe(folder, {"parts": {"PM": notes}})


def describe(folder: Path, facts: dict[str, object]) -> None:
    info = json.loads((folder / "ecellm.json").read_text())
    (folder / "ecellm.json").write_text(json.dumps(info | facts))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (negated, "PM in {folder} are not those that were fitted: fit it again"),
        (
            lambda folder: shutil.copy(folder / "SA.safetensors", folder / "PM.safetensors"),
            "not those that were fitted",
        ),
        (of_the_older_version, "{folder} was fitted by an older version of ecellm: fit it again"),
        (lambda folder: describe(folder, {"parts": {}}), "names no task that it was fitted on: fit"),
        (lambda folder: describe(folder, {"parts": {"XX": "0"}}), r"names unknown tasks \(XX\): fit"),
        (
            lambda folder: describe(folder, {"temperatures": {"PM": 1e-320}}),
            "temperatures.PM: input should be greater",
        ),
    ],
)
def test_a_folder_that_was_edited_is_refused(
    fitted: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    shutil.copytree(fitted, tmp_path / "model")
    spoil(tmp_path / "model")
    with pytest.raises(ModelError, match=message.format(folder=tmp_path / "model")):
        load_generator(tmp_path / "model")
