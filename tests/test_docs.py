"""The documentation: its links, and a reference that is made of the program."""

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import typer
from pydantic import BaseModel

from ecellm.cli.app import app
from ecellm.tasks import TASKS
from ecellm.training.recipe import Lora, Optimisation, Recipe, recipe_names
from repository import REPOSITORY

DOCS = REPOSITORY / "docs"
#: Options of other programs.
OTHERS = {"--causal", "--examples", "--help"}
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The script that gathers the site's pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        yield importlib.import_module("generate")
    del sys.modules["generate"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_a_file_or_a_generated_page(page: Path, generate: ModuleType) -> None:
    made = {DOCS / name for name in generate.PAGES}
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        path = page.parent / target
        assert path.exists() or path in made, target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    for name in re.findall(r"\b(?:src/ecellm|benchmarks|tests|examples)/[\w./-]+\.(?:py|toml)\b", page.read_text()):
        assert (REPOSITORY / name).exists(), name


def shown_commands() -> list[tuple[str, str]]:
    """Return every line of a page's code that calls ecellm, with the page's name."""
    return [
        (page.name, line.strip())
        for page in PAGES
        for line in page.read_text().splitlines()
        if re.match(r"( {4})?ecellm [a-z]", line)
    ]


@pytest.mark.parametrize(("page", "line"), shown_commands())
def test_commands_have_the_options_that_they_are_shown_with(page: str, line: str, generate: ModuleType) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    verb = line.split()[1]
    assert verb in group.commands, (page, line)
    known = {name for parameter in group.commands[verb].params for name in parameter.opts}
    assert set(re.findall(r"(?<=\s)--[a-z-]+", line)) <= known, (page, line)


def test_options_in_the_text_are_some_commands() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    parameters = [parameter for command in group.commands.values() for parameter in command.params]
    known = {name for parameter in parameters for name in (*parameter.opts, *parameter.secondary_opts)}
    for page in PAGES:
        for option in re.findall(r"`(--[a-z-]+)[ `]", page.read_text()):
            assert option in known or option in OTHERS, (page.name, option)


def test_recipe_keys_in_the_text_exist() -> None:
    sections = {
        name: type(value) for name, value in Recipe(name="", family="xs", base="") if isinstance(value, BaseModel)
    }
    sections["lora"] = Lora
    for page in PAGES:
        for section, key in re.findall(rf"\b({'|'.join(sections)})\.([a-z_]+)\b(?!\.py)", page.read_text()):
            assert key in sections[section].model_fields, (page.name, section, key)


def test_every_guide_stands_in_the_sites_menu(generate: ModuleType) -> None:
    """A page that is not there is an error of `make docs`; one that is missing from the menu is found here first."""
    menu = (REPOSITORY / "mkdocs.yml").read_text()
    for page in [*(path.name for path in DOCS.glob("*.md")), *generate.PAGES]:
        assert f": {page}\n" in menu, page


def test_the_reference_names_every_command_key_and_column(generate: ModuleType) -> None:
    made = {name: page() for name, page in generate.PAGES.items()}
    for command in app.registered_commands:
        name = command.name or (command.callback.__name__ if command.callback else "")
        assert f"\n## {name}\n" in made["reference/cli.md"] and f"Usage: ecellm {name}" in made["reference/cli.md"]
    recipe = made["reference/recipe.md"]
    for key in [*Recipe.model_fields, *Optimisation.model_fields]:
        assert f"| `{key}` |" in recipe or f"\n## [{key}]\n" in recipe, key
    assert "Where the epochs make fewer steps" in recipe, "the docstring below a field"
    assert all(f"\n### {name}\n" in recipe for name in recipe_names())
    for task in TASKS.values():
        assert all(f"| `{column.name}` |" in made["reference/columns.md"] for column in task.form.columns)
    assert "| `ood_by` |" in made["reference/build-config.md"]
    assert "\n### Model.match\n" in made["reference/api.md"]


def test_the_sites_pages_are_gathered_with_their_links_mended(tmp_path: Path, generate: ModuleType) -> None:
    generate.main(tmp_path / "site")
    start = (tmp_path / "site" / "index.md").read_text()
    assert "](building.md)" in start and "](docs/" not in start and "](contributing.md)" in start
    assert (tmp_path / "site" / "reference" / "cli.md").is_file() and not list((tmp_path / "site").rglob("*.py"))
