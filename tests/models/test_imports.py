"""What asking XS imports: starting the process takes far longer than answering, and imports are all of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ecellm.data.dataset import Dataset
from ecellm.training.recipe import Recipe
from ecellm.training.tune import tune

#: Packages beside Python's own that our modules may import: what they bring along is theirs to answer for.
OURS = {"numpy", "pyarrow", "pydantic", "rich", "safetensors", "tokenizers", "torch", "typer"}
OURS |= {"filelock", "httpx2", "isal", "tenacity"}
#: Top-level packages that must not be there at all, whoever would import them, and parts of others.
REFUSED = {"duckdb", "ibis", "matplotlib", "openai", "pandas", "peft", "pyspark", "sklearn", "transformers"}
REFUSED_PARTS: tuple[str, ...] = ("torch._dynamo", "ecellm.training", "ecellm.reports")
REFUSED_PARTS += ("ecellm.data.builder", "ecellm.data.engines", "ecellm.data.readers", "ecellm.data.samplers")

#: Asks one question as `ecellm ask` does, and writes the modules that were imported, and what ours imported.
SCRIPT = """
import builtins, json, sys

before, ours, plain = set(sys.modules), set(), builtins.__import__

def importing(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and globals and str(globals.get("__name__", "")).partition(".")[0] == "ecellm":
        ours.add(name.partition(".")[0])
    return plain(name, globals, locals, fromlist, level)

builtins.__import__ = importing
from ecellm.cli.app import app
from ecellm.cli.main import guarded
sys.argv = ["ecellm", "ask", "PM", sys.argv[1], "--set", "title_1=a mug", "--set", "title_2=a pot"]
code = guarded(app)
print(json.dumps({"code": code, "ours": sorted(ours - set(sys.stdlib_module_names)), "all": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, tiny_data: Dataset) -> dict[str, list[str]]:
    """What a process imports that asks a tuned XS one question, its linear models and free answers included."""
    from ecellm.training.recipe import read_recipe

    changes = [f"base={tiny_base}", "max_tokens=200", "optimisation.epochs=1", "optimisation.batch_tokens=1024"]
    changes += ["optimisation.precision=fp32", "validation.per_epoch=1", "validation.calibrate=false"]
    recipe: Recipe = read_recipe("xs", [*changes, "validation.fit_thresholds=false"])
    model = tmp_path_factory.mktemp("imports") / "model"
    tune(recipe, tiny_data, model, limit=24)
    line = [sys.executable, "-c", SCRIPT, str(model)]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("code") == 0, done.stderr
    return found


def test_asking_xs_imports_only_what_it_needs(imported: dict[str, list[str]]) -> None:
    assert set(imported["ours"]) - {"ecellm"} <= OURS


def test_asking_xs_imports_nothing_of_what_tunes_builds_or_draws(imported: dict[str, list[str]]) -> None:
    names = imported["all"]
    assert not REFUSED & {name.partition(".")[0] for name in names}
    assert [name for name in names if name.startswith(REFUSED_PARTS)] == []
    assert "ecellm.models.xs.lexical.classes" in names and "ecellm.models.xs.lexical.fitting" not in names
