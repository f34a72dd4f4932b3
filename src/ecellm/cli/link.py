"""`ecellm link` and `ecellm dedupe`: find the records of two catalogues, or of one, that are the same product."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ecellm.cli.options import Calibration, Overwrite, Precision
from ecellm.errors import ConfigError
from ecellm.io.files import refuse_overwriting
from ecellm.linking.options import LinkOptions, Mode, Search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ecellm.linking.records import Catalogue
    from ecellm.linking.run import Linked
    from ecellm.linking.truth import Truth
    from ecellm.tasks import Task


Model = Annotated[str, typer.Option(help="A model that answers PM with probabilities: a MODEL folder or a base.")]
Out = Annotated[Path, typer.Option(help="The table of pairs: .csv, .tsv, .jsonl or .parquet.")]
Columns = Annotated[str | None, typer.Option(help="What columns are called, such as id=sku,title=name,brand=maker.")]
RightColumns = Annotated[str | None, typer.Option(help="The same of RIGHT, where it differs from LEFT's.")]
Fields = Annotated[
    str | None,
    typer.Option(help="All fields that a record shows, such as title,brand,modelno,price, as in tuning."),
]
K = Annotated[int, typer.Option("--k", min=1, help="Candidates that the model is asked about, for each record.")]
Searched = Annotated[
    Search, typer.Option("--search", help="Find candidates by words and embeddings, or by words alone (faster).")
]
Partners = Annotated[Mode, typer.Option(help="How many partners a record may have.")]
Threshold = Annotated[
    float | None, typer.Option(min=0, max=1, help="The lowest probability of a pair; .5 unless given.")
]
TargetPrecision = Annotated[
    float | None, typer.Option(min=0, max=1, help="Choose the threshold by --truth, for this precision.")
]
TruthTable = Annotated[
    Path | None, typer.Option("--truth", help="A table of left_id and right_id, all true pairs: report the quality.")
]


def link(
    left: Annotated[Path, typer.Argument(help="A table with id, title and other fields.", metavar="LEFT")],
    right: Annotated[Path, typer.Argument(help="The table in which its products are found.", metavar="RIGHT")],
    model: Model,
    out: Out,
    columns: Columns = None,
    right_columns: RightColumns = None,
    fields: Fields = None,
    k: K = 10,
    search: Searched = Search.BOTH,
    mode: Partners = Mode.ONE_TO_ONE,
    threshold: Threshold = None,
    target_precision: TargetPrecision = None,
    truth: TruthTable = None,
    calibration: Calibration = None,
    precision: Precision = "fp32",
    overwrite: Overwrite = False,
) -> None:
    """Find the records of two tables that are the same product; an interrupted run is resumed."""
    from ecellm.linking.records import column_names, read_catalogue

    options = _options(k, search, mode, threshold, target_precision, truth)
    task, shown = _task(fields)
    _check_output(out, overwrite, left, right, truth)
    mine = column_names(columns)
    others = mine if right_columns is None else column_names(right_columns)
    catalogues = read_catalogue(left, mine, shown), read_catalogue(right, others, shown)
    _check_fields(fields, shown, *catalogues)
    _run(task, *catalogues, model, out, options, truth, calibration, precision)


def dedupe(
    table: Annotated[Path, typer.Argument(help="A table with id, title and other fields.", metavar="TABLE")],
    model: Model,
    out: Out,
    columns: Columns = None,
    fields: Fields = None,
    k: K = 10,
    search: Searched = Search.BOTH,
    threshold: Threshold = None,
    target_precision: TargetPrecision = None,
    truth: TruthTable = None,
    calibration: Calibration = None,
    precision: Precision = "fp32",
    overwrite: Overwrite = False,
) -> None:
    """Find the records of one table that are the same product; an interrupted run is resumed."""
    from ecellm.linking.records import column_names, read_catalogue

    options = _options(k, search, Mode.MANY_TO_MANY, threshold, target_precision, truth)
    task, shown = _task(fields)
    _check_output(out, overwrite, table, truth)
    catalogue = read_catalogue(table, column_names(columns), shown)
    _check_fields(fields, shown, catalogue)
    _run(task, catalogue, None, model, out, options, truth, calibration, precision)


def _options(
    k: int,
    search: Search,
    mode: Mode,
    threshold: float | None,
    target_precision: float | None,
    truth: Path | None,
) -> LinkOptions:
    if target_precision is not None and truth is None:
        raise ConfigError("--target-precision needs --truth, the true pairs that the threshold is chosen by.")
    if target_precision is not None and threshold is not None:
        raise ConfigError("--target-precision chooses the threshold: leave --threshold out.")
    chosen = 0.5 if threshold is None else threshold
    return LinkOptions(k, search, mode, chosen, target_precision)


def _task(fields: str | None) -> "tuple[Task, list[str]]":
    """Return the task that compares two records, and the fields of a record."""
    from ecellm.tasks import TASKS

    task = next(task for task in TASKS.values() if task.form.of_fields is not None)
    names = [] if fields is None else [field.strip() for field in fields.split(",")]
    if "id" in names:
        raise ConfigError("The id is not shown to the model: leave it out of --fields.")
    if fields is not None:
        task = task.with_fields(names)
    return task, [column.name.removesuffix("_1") for column in task.form.columns if column.name.endswith("_1")]


def _check_fields(named: str | None, shown: "Sequence[str]", *catalogues: "Catalogue") -> None:
    """Raise ConfigError where no table has a field that was named."""
    absent = [field for field in shown if not any(field in one.fields for one in catalogues)]
    if named is not None and absent:
        raise ConfigError(f"No table has a column {absent[0]}, which --fields names: map one with --columns.")


def _check_model(model: str) -> None:
    from ecellm.models.load import check_is_there, engine_of

    check_is_there(model)
    engine, _ = engine_of(model)
    if engine is not None and engine.connect is not None:
        raise ConfigError(f"{model} is behind a server, which link does not use: name a model that runs here.")


def _check_output(out: Path, overwrite: bool, *inputs: Path | None) -> None:
    from ecellm.io.tables.header import file_format
    from ecellm.linking.run import beside

    file_format(out)
    refuse_overwriting([out, *beside(out)], True, inputs)
    refuse_overwriting([out], overwrite)


def _run(
    task: "Task",
    left: "Catalogue",
    right: "Catalogue | None",
    model: str,
    out: Path,
    options: LinkOptions,
    truth: Path | None,
    calibration: Path | None,
    precision: Precision,
) -> None:
    from ecellm.io.progress import StageProgress
    from ecellm.linking.run import link as run
    from ecellm.linking.truth import read_truth
    from ecellm.models.base import Decoding
    from ecellm.models.load import identity, load_generator

    others = right or left
    _check_model(model)
    known = None if truth is None else read_truth(truth, left, others, right is None)
    for catalogue in (left, others) if right is not None else (left,):
        _say_read(catalogue)
    decoding = Decoding(precision=precision)
    whose = identity(model, decoding, None, None, calibration)
    generator = load_generator(model, decoding, None, None, calibration)
    with StageProgress() as stage:
        linked = run(generator, task, left, right, out, whose, options, known, stage)
    _say_found(linked, known, out)


def _say_read(catalogue: "Catalogue") -> None:
    fields = ", ".join(catalogue.fields)
    text = f"{catalogue.path}: {len(catalogue.records):,} records ({fields}) of {catalogue.rows:,} rows"
    text += f", {catalogue.repeated:,} repeated" if catalogue.repeated else ""
    text += f", {len(catalogue.rejects):,} rejected" if catalogue.rejects else ""
    typer.echo(text + ".")


def _say_found(linked: "Linked", truth: "Truth | None", out: Path) -> None:
    from ecellm.linking.run import curve_file, evidence_file
    from ecellm.reports.threshold_curve import draw_thresholds

    if linked.evidence is not None and truth is not None:
        found = linked.evidence
        if truth.unknown:
            typer.echo(
                f"{truth.unknown:,} true pairs, such as {truth.example}, name a record that is not there, and do not "
                "count."
            )
        if truth.rejected:
            typer.echo(f"{truth.rejected:,} true pairs are of rejected records, and count as missing.")
        recall = ", ".join(f"{value:.3f} at {rank}" for rank, value in found.candidate_recall.items())
        typer.echo(f"Candidates: recall {recall} of {found.true_pairs:,} true pairs.")
        figures = {"precision": found.precision, "recall": found.recall, "F1": found.f1}
        values = ", ".join(f"{name} {one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for name, one in figures.items())
        draw_thresholds(found, curve_file(out))
        typer.echo(
            f"Pairs from {found.threshold:.12g}: {values}. By threshold: {evidence_file(out)} and "
            f"{curve_file(out).name}."
        )
    if linked.without:
        typer.echo(f"{linked.without:,} records have no candidate.")
    typer.echo(f"{linked.pairs:,} pairs of {linked.candidates:,} candidates. Written to {out}.")
