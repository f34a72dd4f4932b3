"""Gather the pages of the documentation site in one folder: the guides, and a reference made of the program itself.

    python docs/generate.py build/docs

Commands are typer's own help, keys come from the pydantic models of the build config and the recipe, columns from the
tasks and the Store, the Python API from signatures and docstrings. The reference is made whenever the site is built
and is not stored, so it cannot be out of date.
"""

import ast
import inspect
import re
import shutil
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from pathlib import Path

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

import ecellm
from ecellm.cli.app import app
from ecellm.data.config import BuildConfig, OwnTables, TaskPlan
from ecellm.data.schema import TABLES
from ecellm.tasks import TASKS
from ecellm.training.recipe import Recipe, recipe_names, recipe_text

HERE = Path(__file__).resolve().parent


def cli_page() -> str:
    """Return the help of every command."""
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    parts = ["# Commands", "", "As `ecellm COMMAND --help` prints them.", ""]
    for name, command in group.commands.items():
        context = typer.Context(command, info_name=f"ecellm {name}", terminal_width=100, max_content_width=100)
        parts += [f"## {name}", "", "```text", command.get_help(context).strip(), "```", ""]
    return "\n".join(parts)


def build_config_page() -> str:
    """Return the keys of a build config."""
    parts = ["# Keys of a build config", "", "A TOML file for `ecellm build --config`. Unknown keys are errors.", ""]
    parts += section("", BuildConfig)
    parts += ["## [tasks.NAME]", "", "One section for each task to build, such as `[tasks.PM]`.", "", *keys(TaskPlan)]
    parts += ["## [sources.tables.NAME]", "", f"NAME is one of {', '.join(OwnTables.model_fields)}.", ""]
    parts += keys(next(iter(models_in(OwnTables.model_fields["products"]))))
    return "\n".join(parts)


def recipe_page() -> str:
    """Return the keys of a recipe and the first lines of those that come with the package."""
    parts = [
        "# Keys of a recipe",
        "",
        "A TOML file for `ecellm tune`; `--set optimisation.epochs=1` changes one key.",
        "",
    ]
    parts += section("", Recipe)
    parts += ["## Recipes that come with ecellm", ""]
    for name in recipe_names():
        head = re.match(r"(#[^\n]*\n)+", recipe_text(name))
        assert head, name
        parts += [f"### {name}", "", "```text", re.sub(r"^# ?", "", head[0], flags=re.MULTILINE).strip(), "```", ""]
    return "\n".join(parts)


def columns_page() -> str:
    """Return the columns that each task asks for, and those of the tables that a dataset is built from."""
    parts = ["# Columns", "", "## For `ecellm ask`", ""]
    for task in TASKS.values():
        parts += [f"### {task.name}: {task.title.replace('_', ' ').lower()}", ""]
        parts += ["| column | needed | holds |", "|---|---|---|"]
        for column in task.form.columns:
            kind = "a list: " if column.many else ""
            parts.append(f"| `{column.name}` | {'yes' if column.needed else 'no'} | {kind}{cell(column.says)} |")
        parts.append("")
    parts += [
        "## For `ecellm build`",
        "",
        "The tables that every source is read into, and that your own may stand for.",
        "",
    ]
    for table, columns in TABLES.items():
        parts += [f"### {table}", "", "| column | type | holds |", "|---|---|---|"]
        parts += [f"| `{name}` | {kind} | {cell(text)} |" for name, (kind, text) in columns.items()]
        parts.append("")
    return "\n".join(parts)


def api_page() -> str:
    """Return the public classes and functions with their docstrings."""
    parts = ["# Python API", "", inspect.getdoc(ecellm) or "", ""]
    for name in ecellm.__all__:
        found = getattr(ecellm, name)
        parts += entry(name, found, 2)
        if inspect.isclass(found):
            members = {name: value for kind in reversed(found.__mro__) for name, value in vars(kind).items()}
            for member, value in members.items():
                if not member.startswith("_") and inspect.isfunction(value):
                    parts += entry(f"{name}.{member}", value, 3)
    return "\n".join(parts)


def entry(name: str, found: Callable[..., object], level: int) -> list[str]:
    """Return a heading, the signature and the docstring of a class or function."""
    doc = inspect.getdoc(found)
    assert doc, f"{name} has no docstring"
    lines = [f"{'#' * level} {name}", ""]
    if inspect.isfunction(found):
        forms = typing.get_overloads(found) or [found]
        awaited = "await " if inspect.iscoroutinefunction(found) else ""
        lines += ["```python", *(f"{awaited}{name}{signature(form)}" for form in forms), "```", ""]
    elif "__init__" in vars(found) and not is_dataclass(found):
        made = signature(vars(found)["__init__"]).removesuffix(" -> None")
        lines += ["```python", f"{name}{made}", "```", ""]
    return [*lines, doc, "", *attributes(found)]


def signature(found: Callable[..., object]) -> str:
    """Return a signature as its author would write it: names without their modules, no self."""
    text = re.sub(r"\b(?:[a-z_]+\.)+(?=[A-Z])", "", str(inspect.signature(found)).replace("'", ""))
    return text.replace("(self, ", "(").replace("(self)", "()")


def attributes(found: object) -> list[str]:
    """Return the documented fields of a class as a list."""
    if not inspect.isclass(found):
        return []
    return [*(f"- `{name}`: {text}" for name, text in field_docs(found).items()), ""]


def section(prefix: str, model: type[BaseModel]) -> list[str]:
    """Return a model's keys, then those of the sections within it, such as [optimisation]."""
    parts = [f"## [{prefix}]" if prefix else "## At the top", "", inspect.getdoc(model) or "", "", *keys(model)]
    for name, info in model.model_fields.items():
        if info.annotation is OwnTables:
            continue  # a section of its own on the page
        for inner in models_in(info):
            if "dict" not in str(info.annotation):
                parts += section(f"{prefix}.{name}".lstrip("."), inner)
    return parts


def keys(model: type[BaseModel]) -> list[str]:
    """Return a table of a section's own keys: type, default, meaning."""
    docs = field_docs(model)
    rows = [
        f"| `{name}` | {cell(kind_of(info))} | {cell(default_of(info))} | {cell(docs.get(name, ''))} |"
        for name, info in model.model_fields.items()
        if not any(models_in(info))
    ]
    return ["| key | type | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []


def models_in(info: FieldInfo) -> Iterator[type[BaseModel]]:
    """Yield the models that a key's type names."""
    for found in (info.annotation, *getattr(info.annotation, "__args__", ())):
        if inspect.isclass(found) and issubclass(found, BaseModel):
            yield found


def kind_of(info: FieldInfo) -> str:
    """Return a key's type as text, with its bounds."""
    kind = inspect.formatannotation(info.annotation).replace("typing.", "").replace("Literal", "one of ")
    bounds = ", ".join(str(bound).partition("(")[2].rstrip(")") for bound in info.metadata)
    return f"{kind}; {bounds}" if bounds else kind


def default_of(info: FieldInfo) -> str:
    """Return a key's default in TOML's terms."""
    if info.default is PydanticUndefined:
        return "none: must be given"
    if info.default is None:
        return "left out"
    if isinstance(info.default, bool):
        return str(info.default).lower()
    return repr(list(info.default) if isinstance(info.default, tuple) else info.default).replace("'", '"')


def field_docs(found: type) -> dict[str, str]:
    """Return the docstrings below a class's fields, by field."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docs[name] = inspect.cleandoc(text)
    return docs


def cell(text: str) -> str:
    """Return a text as it may stand in a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


#: The generated pages by their path below the site.
PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli_page,
    "reference/build-config.md": build_config_page,
    "reference/recipe.md": recipe_page,
    "reference/columns.md": columns_page,
    "reference/api.md": api_page,
}


def moved(text: str) -> str:
    """Return a page of the repository's root with its links as they lead from the site."""
    text = re.sub(r"\]\(docs/", "](", text).replace("](CONTRIBUTING.md)", "](contributing.md)")
    return text


def main(folder: Path) -> None:
    """Write the whole source of the site into a folder, replacing what was there."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "results"))
    for source, page in (("README.md", "index.md"), ("CONTRIBUTING.md", "contributing.md")):
        (folder / page).write_text(moved((HERE.parent / source).read_text(encoding="utf-8")), encoding="utf-8")
    for name, made in PAGES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made().rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
