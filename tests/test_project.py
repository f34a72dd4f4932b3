"""The project itself: what may be imported where, what may stand in files, and that documents are true."""

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ecellm import __version__
from repository import REPOSITORY

MODULES = sorted((REPOSITORY / "src" / "ecellm").rglob("*.py"))
TEXT_ENDINGS = {".py", ".toml", ".md", ".txt", ".json", ".csv", ".cfg", ""}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    names = listed.stdout.split()
    if not names:
        pytest.skip("not a git checkout")
    return [REPOSITORY / name for name in names if (REPOSITORY / name).suffix in TEXT_ENDINGS]


@pytest.mark.parametrize(
    "room", ["training.tune", "inference.predict", "models.load", "models.xs.generator", "prompts", "serving.app"]
)
def test_tuning_and_inference_import_no_database(room: str) -> None:
    code = (
        f"import ecellm.{room}, sys; print([name for name in ('duckdb', 'ibis', 'pyspark') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_every_module_begins_with_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), path


def test_files_of_tests_differ_in_name() -> None:
    """Pytest imports them by name alone, and collects only one of two."""
    names = Counter(path.name for path in (REPOSITORY / "tests").rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []


def test_no_tracked_file_names_a_registrys_host_or_a_path_of_some_machine() -> None:
    hosts = ["pythonhosted" + ".org", "pypi" + ".org", "npmjs" + ".org"]
    places = ["/work" + "/", "/root" + "/", "/home" + "/"]
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="replace")
        found = [word for word in (*hosts, *places) if word in text]
        assert not found, (path, found)


def test_the_changelog_has_this_version() -> None:
    assert f"## {__version__}" in (REPOSITORY / "CHANGELOG.md").read_text()


def test_nothing_unpickles_or_executes_what_comes_from_a_file() -> None:
    unsafe = re.compile(r"(?<![.\w])eval\(|pickle\.load|trust_remote_code\s*=\s*True|torch\.load\(")
    for path in MODULES:
        assert not unsafe.search(path.read_text()), path
