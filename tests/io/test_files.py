"""Files appear whole or not at all, and a full disk is reported with the name of the output."""

import errno
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ecellm.errors import EcellmError
from ecellm.io.files import (
    append_or_roll_back,
    atomic_folder,
    atomic_write,
    check_is_file,
    refuse_overwriting,
    reporting_disk_full,
)

Limit = Callable[[int], AbstractContextManager[None]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_all_went_well(tmp_path: Path) -> None:
    out = tmp_path / "deeper" / "out.txt"
    with atomic_write(out) as temporary:
        temporary.write_text("whole")
        assert not out.exists()
    assert out.read_text() == "whole" and names(out.parent) == ["out.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_what_fails_leaves_the_old_file_and_no_folder(error: type[BaseException], tmp_path: Path) -> None:
    (tmp_path / "out.txt").write_text("old")
    with pytest.raises(error), atomic_write(tmp_path / "out.txt") as temporary:
        temporary.write_text("half")
        raise error
    with pytest.raises(error), atomic_folder(tmp_path / "folder") as filling:
        (filling / "half").write_text("half")
        raise error
    assert names(tmp_path) == ["out.txt"] and (tmp_path / "out.txt").read_text() == "old"


def test_a_folder_that_holds_something_is_refused_and_an_empty_one_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with atomic_folder(tmp_path / "out") as filling:
        (filling / "row").touch()
    assert names(tmp_path / "out") == ["row"] and names(tmp_path) == ["out"]
    with pytest.raises(EcellmError, match="out exists already"), atomic_folder(tmp_path / "out"):
        pass


def test_a_symbolic_link_stays_one_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "folder").mkdir(parents=True)
    file, folder = tmp_path / "out.txt", tmp_path / "folder"
    file.symlink_to("elsewhere/out.txt")  # of a file that is not there yet
    folder.symlink_to("elsewhere/folder")
    for text in ("first", "second"):
        with atomic_write(file) as temporary:
            temporary.write_text(text)
    with atomic_folder(folder) as filling:
        (filling / "a").write_text("a")
    assert file.is_symlink() and (tmp_path / "elsewhere" / "out.txt").read_text() == "second"
    assert folder.is_symlink() and names(tmp_path / "elsewhere" / "folder") == ["a"]
    assert names(tmp_path) == ["elsewhere", "folder", "out.txt"]


def test_a_pipe_or_a_device_is_neither_read_nor_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(EcellmError, match="is a pipe or a device, and input is read more than once"):
        check_is_file(pipe)
    with pytest.raises(EcellmError, match="is a pipe or a device, and output is a file"):
        refuse_overwriting([pipe], overwrite=True)
    with pytest.raises(EcellmError, match="is a pipe or a device"), atomic_write(pipe):
        pass
    with pytest.raises(EcellmError, match="is a folder: name a file"):
        check_is_file(tmp_path)
    with pytest.raises(EcellmError, match=r"There is no file .*none\.csv: look elsewhere\.$"):
        check_is_file(tmp_path / "none.csv", "look elsewhere")
    assert pipe.is_fifo() and names(tmp_path) == ["pipe.csv"]


def test_a_full_disk_names_the_output_and_keeps_what_was_there(tmp_path: Path, file_limit: Limit) -> None:
    answers = tmp_path / "answers.jsonl"
    append_or_roll_back(answers, "first\n")
    with file_limit(100):
        for write in (
            lambda: append_or_roll_back(answers, "x" * 200),
            lambda: write_file(answers),
            lambda: fill(tmp_path / "folder"),
        ):
            with pytest.raises(OSError, match="No space left") as caught:
                write()
            assert caught.value.filename in (str(answers), str(tmp_path / "folder"))
    assert answers.read_text() == "first\n" and names(tmp_path) == ["answers.jsonl"]


def write_file(path: Path) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("x" * 200)


def fill(folder: Path) -> None:
    with atomic_folder(folder) as filling:
        (filling / "rows").write_text("x" * 200)


def test_libraries_that_hide_the_number_of_the_error_are_understood(tmp_path: Path, file_limit: Limit) -> None:
    import torch
    from safetensors.torch import save_file

    weights = {"weight": torch.zeros(10_000)}
    saves: tuple[Callable[[Path], None], ...] = (
        lambda path: save_file(weights, path),
        lambda path: torch.save(weights, path),
    )
    for save in saves:
        with (
            file_limit(5_000),
            pytest.raises(OSError, match="No space left") as caught,
            reporting_disk_full(tmp_path / "model"),
        ):
            save(tmp_path / "weights")
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "model"))


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "elsewhere")
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", "elsewhere")
    for error in (full, missing):
        with pytest.raises(type(error)) as caught, atomic_write(tmp_path / "out"):
            raise error
        assert caught.value is error


def test_a_lone_half_of_a_surrogate_pair_is_appended_as_an_escape(tmp_path: Path) -> None:
    append_or_roll_back(tmp_path / "out", "\ud83d\n")
    append_or_roll_back(tmp_path / "out", "é\n")
    assert (tmp_path / "out").read_bytes() == "\\ud83d\né\n".encode()
