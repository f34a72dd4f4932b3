"""Texts that others write, at random: predictions, completions and recipes are read, or refused in one sentence."""

import json
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecellm.errors import EcellmError
from ecellm.evaluation.predictions import read_predictions
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
@given(st.sampled_from(EXAMPLES), DAMAGE)
def test_a_completion_is_an_answer_or_none(example: object, damage: Damage) -> None:
    assert example in EXAMPLES
    for each in EXAMPLES:
        answer = TASKS[each.task].answer
        text = damaged(each.output, damage)
        answer.parse(text, each)
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
