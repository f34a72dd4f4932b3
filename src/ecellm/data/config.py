"""The build config: a TOML file that says which sources to read and how many rows to draw per task."""

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ecellm.data.filters.language import LANGUAGES
from ecellm.data.samplers import SAMPLERS, Plan, Sampler
from ecellm.data.samplers.base import BRAND, CATEGORY, NATURAL, TIME
from ecellm.errors import ConfigError, EcellmError
from ecellm.io.config_files import first_problem, read_toml
from ecellm.tasks import Task
from ecellm.tasks.pm import checked_fields
from ecellm.types import Domain, Split


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
    fields: tuple[str, ...] | None = None
    """Of products and pairs: all fields that PM's records show, in this order, such as title, brand, modelno; left
    out: the published ones. Each is a column of products, or two (left_ and right_) of pairs of whole records."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.file is None) == (self.database is None) or (self.database is None) != (self.table is None):
            raise ValueError("name either a file, or a database and its table")
        return self

    @field_validator("fields")
    @classmethod
    def _are_names(cls, fields: tuple[str, ...] | None) -> tuple[str, ...] | None:
        try:
            return None if fields is None else checked_fields(fields)
        except EcellmError as error:
            raise ValueError(str(error).removesuffix(".")) from error


class OwnTables(Strict):
    """The user's own tables, by the Store's names."""

    products: OwnTable | None = None
    reviews: OwnTable | None = None
    purchases: OwnTable | None = None
    relations: OwnTable | None = None
    matches: OwnTable | None = None
    pairs: OwnTable | None = None
    judgements: OwnTable | None = None
    attributes: OwnTable | None = None
    questions: OwnTable | None = None

    def named(self) -> dict[str, OwnTable]:
        """Return the tables that there are."""
        return {name: table for name, table in self if table is not None}

    @model_validator(mode="after")
    def _records_have_fields(self) -> Self:
        for name, table in self.named().items():
            if table.fields is not None and name not in ("products", "pairs"):
                raise ValueError(f"{name} shows no records: fields are of products, or of pairs")
        return self


class Sources(Strict):
    """Folders below --sources. A source that is omitted is not read; one that is named must be there."""

    amazon_reviews: str | None = None
    """Amazon Review 2018: review/, meta/ and rating/ below it."""
    amazon_reviews_2014: str | None = None
    """Amazon Review 2014 metadata, which fills gaps of 2018's for SR."""
    amazon_google: str | None = None
    amazon_google_encoding: Literal["latin-1", "utf-8"] = "latin-1"
    """How its files are read. utf-8 is the authors' way, by which what is not UTF-8 becomes U+FFFD."""
    esci: str | None = None
    mave: str | None = None
    amazon_qa: str | None = None
    tables: OwnTables = OwnTables()
    """Tables of the user's own."""

    @model_validator(mode="after")
    def _one_source_of_pairs(self) -> Self:
        if self.tables.pairs is not None:
            for other, there in (("amazon_google", self.amazon_google), ("tables.matches", self.tables.matches)):
                if there is not None:
                    raise ValueError(f"tables.pairs and {other} both say what PM is made of; leave one out")
        return self


class TaskPlan(Strict):
    """One task's quotas and categories."""

    train: int = Field(default=10_000, ge=0)
    validation: int = Field(default=1_000, ge=0)
    test: int = Field(default=1_000, ge=0)
    out_of_domain_test: int = Field(default=1_000, ge=0)
    in_domain: tuple[str, ...] = ()
    """Categories of the in-domain rows."""
    out_of_domain: tuple[str, ...] = ()
    """What the out-of-domain rows are about: categories, or, as `ood_by` says, brands, or one day such as
    2018-01-31, from which on rows are out of domain; for AVE the attributes held out (omitted: drawn by key)."""
    ood_by: str = ""
    """category, attribute, brand or time, as the task allows; omitted: as in the paper."""
    negatives: str = ""
    """How wrong answers are drawn, harder than the paper's way: PM near; SR popular or same_category."""
    split_by_user: bool = False
    """SR alone: no shopper in two splits; in the paper the shoppers that are tested are also trained on."""
    first_reviews: int | None = Field(default=None, gt=0)
    """SA alone: only the first so many lines of each review file are read; 200,000 in the paper. Omitted: all."""
    labels: Literal["natural", "stratified", "balanced"] = "natural"
    """In which shares the classes' rows are drawn: as they come; in the source's shares, in every split; or in equal
    shares while they last."""
    language: str | None = None
    """The language that texts must be in (such as en); empty for any; omitted: as in the paper, English for MPC, PSI
    and QPR of the public source, any elsewhere."""
    near_duplicates: bool = True
    """Whether a training or validation row may nearly be a row of a later split, as in the paper."""
    max_words: int | None = Field(default=None, gt=0)
    """Longer rows, options included, are filtered out; in the paper they are truncated."""

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

    def is_own(self, task: Task) -> bool:
        """Say whether a task draws from the user's own tables."""
        own = self.sources.tables.named()
        return any(table in own for table in SAMPLERS[task.name].tables(own) if table != "products")

    def language(self, task: Task) -> str:
        """Return the language that a task's texts are filtered by: the config's, else the paper's for the public
        source; empty for none."""
        chosen = self.tasks.get(task.name, TaskPlan()).language
        papers = "" if self.is_own(task) else SAMPLERS[task.name].language
        return (papers if chosen is None else chosen) or ""

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
        return Plan(
            seed,
            quotas,
            chosen.in_domain,
            chosen.out_of_domain,
            chosen.negatives,
            chosen.split_by_user,
            chosen.ood_by or next(iter(SAMPLERS[task.name].domains), CATEGORY),
            chosen.labels,
        )


def read_config(path: Path) -> BuildConfig:
    """Read a build config; raises ConfigError with one sentence for a missing file, bad TOML, an unknown
    key or task, or a value of the wrong kind."""
    try:
        config = BuildConfig.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_problem(error)}") from error
    unknown = set(config.tasks) - set(SAMPLERS)
    if unknown:
        raise ConfigError(f"{path}: unknown task {', '.join(sorted(unknown))}; choose from {', '.join(SAMPLERS)}.")
    for name, plan in config.tasks.items():
        problem = _problem(name, SAMPLERS[name], plan, config.sources.tables)
        if problem:
            raise ConfigError(f"{path}: tasks.{name}.{problem}.")
    return config


def _problem(task: str, sampler: Sampler, plan: TaskPlan, own: OwnTables) -> str | None:
    """Return what a task cannot do of its plan: the key and why."""
    for table in sampler.alternatives.values():
        if plan.negatives and table in own.named():
            return f"negatives: {task} draws none where sources.tables.{table} labels its pairs; leave it out"
    for key, given, known in (
        ("negatives", plan.negatives, sampler.negatives),
        ("ood_by", plan.ood_by, sampler.domains),
        ("language", plan.language or "", LANGUAGES),
    ):
        if given and given not in known:
            choice = f"choose from {', '.join(known)}, or leave it out" if known else "leave it out"
            return f"{key} cannot be {given!r}: {choice}"
    if plan.first_reviews and "reviews" not in sampler.needs:
        return f"first_reviews: {_only(lambda other: 'reviews' in other.needs)} reads reviews; leave it out"
    if plan.split_by_user and not sampler.has_users:
        return f"split_by_user: {_only(lambda other: other.has_users)} has shoppers; remove it"
    if plan.labels != NATURAL and not sampler.has_classes:
        return f"labels: {task} has no classes to choose the shares of; leave it out"
    if plan.ood_by == TIME and not _is_day(plan.out_of_domain):
        return "out_of_domain: give the one day from which on rows are out of domain, such as ['2018-01-31']"
    if plan.ood_by == BRAND and plan.out_of_domain_test and not plan.out_of_domain:
        return "out_of_domain: name the brands to hold out"
    return None


def _only(can: Callable[[Sampler], bool]) -> str:
    """Name the tasks, of all those that are drawn, whose sampler can do something."""
    return "only " + ", ".join(name for name, sampler in SAMPLERS.items() if can(sampler))


def _is_day(given: Sequence[str]) -> bool:
    try:
        return [date.fromisoformat(day).isoformat() for day in given] == list(given) and len(given) == 1
    except ValueError:
        return False
