"""The build config: a TOML file that says which sources to read and how many rows to draw per task."""

import tomllib
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecellm.records import Domain, Split
from ecellm.tasks import TASKS, Task
from ecellm.tasks.task import Plan


class Strict(BaseModel):
    """A section whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OwnTable(Strict):
    """One table of the user's own: a file below --sources, or a table of a database that Ibis connects to."""

    file: str | None = None
    """.csv, .tsv, .jsonl (or .json, a row a line) or .parquet; text files also as .gz."""
    database: str | None = None
    """An SQLite file below --sources, an Ibis URL such as postgres://host/shop (its backend installed), or $NAME:
    the URL stands in the environment."""
    table: str | None = None
    """The database's table."""
    columns: dict[str, str] = {}
    """The Store's column to the table's own; columns of the Store's name need no mention."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.database is None) or (self.database is None) != (self.table is None):
            raise ValueError("name either a file, or a database and its table")
        return self


class OwnTables(Strict):
    """The user's own tables, by the Store's names."""

    products: OwnTable | None = None
    reviews: OwnTable | None = None
    purchases: OwnTable | None = None
    relations: OwnTable | None = None
    matches: OwnTable | None = None
    judgements: OwnTable | None = None
    attributes: OwnTable | None = None
    questions: OwnTable | None = None

    def named(self) -> dict[str, OwnTable]:
        """Return the tables that there are."""
        return {name: table for name, table in self if table is not None}


class Sources(Strict):
    """Folders below --sources. A source that is left out is not read; one that is named must be there."""

    amazon_reviews: str | None = None
    """Amazon Review 2018: review/, meta/ and rating/ below it."""
    amazon_reviews_2014: str | None = None
    """Amazon Review 2014 metadata, which fills gaps of 2018's for SR."""
    amazon_google: str | None = None
    esci: str | None = None
    mave: str | None = None
    amazon_qa: str | None = None
    tables: OwnTables = OwnTables()
    """Tables of the user's own."""


class TaskPlan(Strict):
    """One task's quotas and categories."""

    train: int = Field(default=10_000, ge=0)
    validation: int = Field(default=1_000, ge=0)
    test: int = Field(default=1_000, ge=0)
    out_of_domain_test: int = Field(default=1_000, ge=0)
    in_domain: tuple[str, ...] = ()
    """Categories of the in-domain rows."""
    out_of_domain: tuple[str, ...] = ()
    """Categories of the out-of-domain rows; for AVE, the attributes held out (left out: drawn by key)."""
    negatives: str = ""
    """How wrong answers are drawn, harder than the paper's way: PM near; SR popular or same_category."""
    users_apart: bool = False
    """SR alone: no shopper in two splits; in the paper the shoppers that are tested are also trained on."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        both = sorted({*self.in_domain} & {*self.out_of_domain})
        if both:
            raise ValueError(f"{', '.join(both)} cannot be both in_domain and out_of_domain")
        return self


class BuildConfig(Strict):
    """A whole build config."""

    seed: int = 42
    sources: Sources = Sources()
    tasks: dict[str, TaskPlan] = {}

    def plan(self, task: Task, seed: int) -> Plan:
        """Return what the builder asks of a task."""
        chosen = self.tasks.get(task.name, TaskPlan())
        quotas: dict[tuple[Split, Domain], int] = {
            ("train", "IND"): chosen.train,
            ("validation", "IND"): chosen.validation,
            ("test", "IND"): chosen.test,
        }
        if task.out_of_domain:
            quotas["test", "OOD"] = chosen.out_of_domain_test
        return Plan(seed, quotas, chosen.in_domain, chosen.out_of_domain, chosen.negatives, chosen.users_apart)


def read_config(path: Path) -> BuildConfig:
    """Read a build config; raises ValueError with one sentence for a missing file, bad TOML, an unknown
    key or task, or a value of the wrong kind."""
    try:
        config = BuildConfig.model_validate(read_toml(path))
    except ValidationError as error:
        raise ValueError(f"{path}: {first_problem(error)}") from error
    unknown = set(config.tasks) - set(TASKS)
    if unknown:
        raise ValueError(f"{path}: unknown task {', '.join(sorted(unknown))}; choose from {', '.join(TASKS)}.")
    for name, plan in config.tasks.items():
        ways = TASKS[name].negatives
        if plan.negatives and plan.negatives not in ways:
            known = f"choose from {', '.join(ways)}, or leave it out" if ways else "leave it out"
            raise ValueError(f"{path}: tasks.{name}.negatives cannot be {plan.negatives!r}: {known}.")
        if plan.users_apart and name != "SR":
            raise ValueError(f"{path}: tasks.{name}.users_apart: only SR has shoppers; leave it out.")
    return config


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises ValueError with one sentence where that cannot be done."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid TOML: {error}.") from error


def first_problem(error: ValidationError) -> str:
    """Return pydantic's first finding as one sentence."""
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown key {where!r}; remove it or check its spelling."
    said = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {said[:1].lower()}{said[1:]}."
