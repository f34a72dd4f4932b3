"""Records of a user's own fields: the same text from labelled pairs, from products by id, and from a question."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from source_files import SPARK

from ecellm.data.builder import build
from ecellm.data.config import BuildConfig, read_config
from ecellm.data.dataset import read_dataset
from ecellm.data.sources import EngineChoice
from ecellm.errors import EcellmError
from ecellm.inference.model import Model
from ecellm.inference.row_questions import row_question
from ecellm.models.lexical.text_pairs import text_pair, weighted_pair
from ecellm.tasks import TASKS
from ecellm.types import SPLITS, Example
from scored import ScoredGenerator

Row = dict[str, Any]
#: Python talks to Spark's Java through a socket of this machine.
ON_SPARK = [pytest.mark.slow, pytest.mark.allow_hosts(["127.0.0.1", "localhost"])]
FIELDS = ["title", "category", "brand", "modelno", "price"]
PRINTER = {"title": "black ink", "category": "printers", "brand": "hp", "modelno": "c6656an", "price": "23.97"}
INK = {"title": "56 ink, black", "category": "", "brand": "hp", "modelno": "c6656an", "price": None}
CABLE = {"title": "cable", "category": "cables", "brand": None, "modelno": "  ", "price": "5"}
SHOWN = {
    "black ink": {
        "title": "black ink",
        "category": "printers",
        "manufacturer": "hp",
        "modelno": "c6656an",
        "price": "23.97",
    },
    "56 ink, black": {"title": "56 ink, black", "manufacturer": "hp", "modelno": "c6656an"},
    "cable": {"title": "cable", "category": "cables", "price": "5"},
}
PAIRS = [(PRINTER, INK, "yes"), (PRINTER, CABLE, "no"), (INK, CABLE, "no")]


def whole(left: Row, right: Row, label: str) -> Row:
    """A pair of whole records."""
    records = {"left": left, "right": right}
    columns = {f"{side}_{name}": value for side, record in records.items() for name, value in record.items()}
    return {**columns, "label": label, "split": "test"}


def built(root: Path, engine: EngineChoice | None = None, **tables: tuple[list[Row], Row]) -> list[Example]:
    """Build PM of these tables (rows, and more of their section), and return its test rows."""
    shop = root / "shop"
    shop.mkdir(parents=True)
    for name, (rows, _) in tables.items():
        (shop / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {name: {"file": f"{name}.jsonl", **more} for name, (_, more) in tables.items()}
    config = BuildConfig.model_validate({"sources": {"tables": given}})
    build(shop, config, root / "data", [TASKS["PM"]], None, lambda step: None, engine)
    return [one for split in SPLITS for one in read_dataset(root / "data").examples(split, "IND")]


def shown(examples: list[Example]) -> list[tuple[Any, Any, str]]:
    found = []
    for one in examples:
        read = json.loads(one.input)
        assert list(read) == ["product 1", "product 2"]
        found.append((*(list(record.items()) for record in read.values()), one.output))
    return sorted(found)


def expected() -> list[tuple[Any, Any, str]]:
    """The records as they should be shown, keys in the order of the fields."""
    return sorted(
        (list(SHOWN[left["title"]].items()), list(SHOWN[right["title"]].items()), label)
        for left, right, label in PAIRS
    )


@pytest.mark.parametrize("engine_name", ["duckdb", pytest.param("spark", marks=ON_SPARK)])
def test_pairs_of_whole_records_show_the_fields_that_are_named_and_no_others(
    engine_name: str, tmp_path: Path
) -> None:
    rows = [{**whole(*pair), "left_note": "never shown"} for pair in PAIRS]
    engine = SPARK if engine_name == "spark" else None
    examples = built(tmp_path, engine, pairs=(rows, {"fields": FIELDS}))
    assert shown(examples) == expected()


@pytest.mark.parametrize("engine_name", ["duckdb", pytest.param("spark", marks=ON_SPARK)])
def test_products_by_id_show_them_too(engine_name: str, tmp_path: Path) -> None:
    records = [PRINTER, INK, CABLE]
    products = [{"product_id": record["title"], **record} for record in records]
    pairs = [
        {"left_id": left["title"], "right_id": right["title"], "label": label, "split": "test"}
        for left, right, label in PAIRS
    ]
    engine = SPARK if engine_name == "spark" else None
    examples = built(tmp_path, engine, products=(products, {"fields": FIELDS}), pairs=(pairs, {}))
    assert shown(examples) == expected()


def test_records_that_differ_in_a_field_of_their_own_are_two_products(tmp_path: Path) -> None:
    other = {**PRINTER, "modelno": "another"}
    rows = [whole(PRINTER, INK, "yes"), whole(other, INK, "no")]
    examples = built(tmp_path / "named", pairs=(rows, {"fields": FIELDS}))
    assert len({one.products[0] for one in examples}) == len({one.input for one in examples}) == 2
    examples = built(tmp_path / "published", pairs=(rows, {}))
    assert len({one.products[0] for one in examples}) == len({one.input for one in examples}) == 1


def test_without_fields_the_published_form_stays_as_it_is(tmp_path: Path) -> None:
    (example,) = built(tmp_path, pairs=([whole(PRINTER, INK, "yes")], {}))
    assert example.input == (
        '{"product 1": {"title": "black ink", "description": NaN, "manufacturer": "hp", "price": "23.97"}, '
        '"product 2": {"title": "56 ink, black", "description": NaN, "manufacturer": "hp", "price": "nan"}}'
    )


def test_a_field_may_have_another_name_in_the_table(tmp_path: Path) -> None:
    row = {"left_title": "ink", "right_title": "the ink", "left_mpn": "c1", "right_mpn": "c2", "label": "no"}
    more = {
        "fields": ["title", "modelno"],
        "columns": {"left_modelno": "left_mpn", "right_modelno": "right_mpn"},
    }
    (example,) = built(tmp_path, pairs=([row], more))
    assert json.loads(example.input)["product 2"] == {"title": "the ink", "modelno": "c2"}


def test_a_question_reads_as_the_rows_that_a_model_was_tuned_on(tmp_path: Path) -> None:
    (example,) = built(tmp_path, pairs=([whole(PRINTER, INK, "yes")], {"fields": FIELDS}))
    task = TASKS["PM"].with_fields(FIELDS)
    flat = {f"{name}_1": value for name, value in PRINTER.items()}
    question = row_question(task, {**flat, "note_1": "never shown", "product_2": INK}, "1").question
    assert question.example.input == example.input

    class Noting(ScoredGenerator):
        inputs: list[str] = []  # noqa: RUF012

        def prompts(self, questions: Any) -> Any:
            self.inputs += [one.example.input for one in questions]
            return super().prompts(questions)

    generator = Noting()
    Model(generator).match(PRINTER, INK, FIELDS)
    Model(generator).match([PRINTER], [INK], FIELDS)
    assert generator.inputs == [example.input] * 2


def test_descriptions_and_fields_of_ones_own_are_cut_before_titles() -> None:
    task = TASKS["PM"].with_fields(["title", "brand", "modelno", "description", "price"])
    row = {f"{name}_{n}": "some words" for n in (1, 2) for name in task.form.fields or ()}
    example = row_question(task, row, "1").question.example
    pieces = task.pieces(example).input
    assert "".join(piece.text for piece in pieces) == example.input
    # Title, model number and description of each; maker and price stay whole.
    assert [piece.rank for piece in pieces if piece.rank is not None] == [2, 1, 1] * 2


def test_a_long_description_of_ones_own_fields_is_shortened_as_the_published_are() -> None:
    task = TASKS["PM"].with_fields(["title", "description"])
    row = {"title_1": "a", "title_2": "b", "description_1": "word " * 60, "description_2": "short"}
    read = json.loads(row_question(task, row, "1").question.example.input)
    assert read["product 1"]["description"] == " ".join(["word"] * 50) + "..."
    assert read["product 2"] == {"title": "b", "description": "short"}


def test_baselines_read_every_field(tmp_path: Path) -> None:
    (example,) = built(tmp_path, pairs=([whole(PRINTER, INK, "yes")], {"fields": FIELDS}))
    assert text_pair(example).left == "black ink | hp | printers | c6656an | 23.97"
    assert text_pair(example).right == "56 ink, black | hp | c6656an"
    assert weighted_pair(example).left == "black ink | black ink | hp | printers | c6656an | 23.97"


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('pairs]\nfields = ["modelno"]', "tables.pairs.fields: the fields should be all that a record shows"),
        ('pairs]\nfields = ["title", "model no"]', "'model no' is no field's name"),
        ('pairs]\nfields = ["title", "brand", "manufacturer"]', "the fields name manufacturer twice"),
        ('judgements]\nfields = ["title"]', "judgements shows no records: fields are of products, or of pairs"),
    ],
)
def test_fields_that_cannot_be_are_refused(section: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(f'[sources.tables.{section}\nfile = "a.csv"\n')
    with pytest.raises(EcellmError, match=said):
        read_config(tmp_path / "c.toml")


def test_a_column_that_fields_need_and_fields_in_the_wrong_table_are_said(tmp_path: Path) -> None:
    rows = [whole(PRINTER, INK, "yes")]
    with pytest.raises(EcellmError, match=r"tables\.pairs\]: there is no column left_colour, but fields name it"):
        built(tmp_path / "absent", pairs=(rows, {"fields": ["title", "colour"]}))
    by_id = [{"left_id": "a", "right_id": "b", "label": "no"}]
    products = [{"product_id": name, "title": name} for name in "ab"]
    with pytest.raises(
        EcellmError, match=r"name products by id, so give the fields in \[sources\.tables\.products\]"
    ):
        built(tmp_path / "by_id", pairs=(by_id, {"fields": ["title"]}), products=(products, {}))


def test_only_pm_shows_records_of_ones_own_fields(run: Callable[..., tuple[int, str, str]]) -> None:
    with pytest.raises(EcellmError, match="SA shows no records of your own fields"):
        TASKS["SA"].with_fields(["title"])
    code, _, error = run("ask", "SA", "MODEL", "--fields", "title", "--set", "text=a")
    assert code == 1 and error == "ecellm: error: SA shows no records of your own fields: omit the fields.\n"
    code, _, error = run("ask", "PM", "MODEL", "--fields", "title,size", "--set", "colour_1=a")
    assert code == 1 and "--set takes name=value with a name of title_1, [size_1], title_2, [size_2]" in error
