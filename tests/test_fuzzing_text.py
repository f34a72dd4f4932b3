"""Texts that others write, at random: completions, predictions, tables to ask, recipes and templates are read, or
refused in one sentence."""

import csv
import io
import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.errors import EcellmError
from ecellm.evaluation.predictions import read_predictions
from ecellm.io.tables.formats import open_table
from ecellm.prompts.templates import TEMPLATES, named_template
from ecellm.tasks import TASKS
from ecellm.training.recipe import read_recipe, recipe_names, recipe_text
from shop_rows import rows

pytestmark = pytest.mark.slow

EXAMPLES = rows("test", 3)
PIECES = st.sampled_from(
    ["", '"', "'", "[", "]", "{", "}", ",", "\n", "\r", "\\", "\0", "\ud83d", "é", "=", "1e999", "A", "yes"]
)
DAMAGE = st.lists(st.tuples(st.floats(0, 1), PIECES, st.integers(0, 6)), max_size=4)
Damage = list[tuple[float, str, int]]
#: Of a table's cells: letters that nothing but the cells has, and texts with them.
LETTERS = "abé{[\\"
CELLS = st.text(st.sampled_from('ab, \t"\né{'))
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.lists(st.integers(), max_size=2)
)


def damaged(text: str, damage: Damage) -> str:
    for share, more, gone in damage:
        place = int(share * len(text))
        text = text[:place] + more + text[place + gone :]
    return text


@settings(max_examples=500)
@given(DAMAGE)
def test_a_completion_is_an_answer_or_none(damage: Damage) -> None:
    for example in EXAMPLES:
        answer = TASKS[example.task].answer
        text = damaged(example.output, damage)
        answer.parse(text, example)
        answer.parse_published(text)


@settings(max_examples=300)
@given(
    st.lists(st.dictionaries(st.sampled_from(["id", "task", "setting", "text", "probability"]), VALUES), max_size=2),
    DAMAGE,
)
def test_predictions_are_all_there_or_refused(changes: list[dict[str, object]], damage: Damage) -> None:
    tests = {example.id: example for example in EXAMPLES}
    good = [
        {"id": name, "task": example.task, "setting": "IND_Diverse_Instruction", "text": example.output}
        for name, example in tests.items()
    ]
    changed = [{**row, **change} for row, change in zip(good, changes, strict=False)] + good[len(changes) :]
    text = damaged("".join(json.dumps(row) + "\n" for row in changed), damage)
    with TemporaryDirectory() as folder, suppress(EcellmError):
        (Path(folder) / "p.jsonl").write_bytes(text.encode("utf-8", "surrogatepass"))
        found = read_predictions(Path(folder) / "p.jsonl", tests)
        assert sum(map(len, found.values())) == sum(bool(line.strip()) for line in text.split("\n"))


@settings(max_examples=300)
@given(st.sampled_from(recipe_names()), DAMAGE)
def test_recipes_are_read_or_refused(name: str, damage: Damage) -> None:
    with TemporaryDirectory() as folder, suppress(EcellmError):
        file = Path(folder) / "recipe.toml"
        file.write_bytes(damaged(recipe_text(name), damage).encode("utf-8", "surrogatepass"))
        read_recipe(str(file))


@settings(max_examples=300)
@given(st.sampled_from(sorted(TEMPLATES)), DAMAGE)
def test_templates_are_read_or_refused(name: str, damage: Damage) -> None:
    with TemporaryDirectory() as folder, suppress(EcellmError):
        file = Path(folder) / "template.json"
        file.write_bytes(damaged(TEMPLATES[name].model_dump_json(), damage).encode("utf-8", "surrogatepass"))
        assert named_template(str(file)).answer("yes")


@settings(max_examples=500)
@given(st.sampled_from([".csv", ".tsv", ".jsonl"]), st.lists(CELLS, min_size=1, max_size=5), DAMAGE)
def test_every_line_of_a_table_to_ask_is_written_again_or_rejected(
    ending: str, texts: list[str], damage: Damage
) -> None:
    header, body = _table(ending, texts)
    data = (header + damaged(body, damage)).encode("utf-8", "surrogatepass")
    with TemporaryDirectory() as folder, suppress(EcellmError):
        file, out = Path(folder) / f"t{ending}", Path(folder) / f"o{ending}"
        file.write_bytes(data)
        table = open_table(file)
        chunks = list(table.chunks())
        values = [[None if row.fault else {"1": ""} for row in rows] for rows in chunks]
        table.write(out, {"1": pa.string()}, values)
        rejected = [str(row.values["line"]) for rows in chunks for row in rows if row.fault]
        found = out.read_bytes().decode("utf-8", "surrogateescape") + "".join(rejected)
        text = data.decode("utf-8", "surrogateescape")
        assert [found.count(letter) for letter in LETTERS] == [text.count(letter) for letter in LETTERS]


def _table(ending: str, texts: list[str]) -> tuple[str, str]:
    if ending == ".jsonl":
        return "", "".join(json.dumps({"sku": str(number), "text": text}) + "\n" for number, text in enumerate(texts))
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter="," if ending == ".csv" else "\t", lineterminator="\n")
    writer.writerows([["sku", "text"], *([number, text] for number, text in enumerate(texts))])
    header, _, body = file.getvalue().partition("\n")
    return header + "\n", body
