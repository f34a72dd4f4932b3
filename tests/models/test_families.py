"""A family is added in one file: registered by its name, it goes through tune, predict, ask and evaluate."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest.mock import patch

import pytest
from rich.console import Console

from ecellm.data.dataset import Dataset
from ecellm.errors import ModelError
from ecellm.models.base import Decoding, Family, Generator, Reply, Request
from ecellm.models.calibration.applying import candidate_reply
from ecellm.models.decoding.candidates import candidates_of
from ecellm.models.families import FAMILIES, find_family, tuned_families, tuning_of
from ecellm.models.folder import ModelInfo, RecipeInfo, read_info
from ecellm.models.training.rows import Rows
from ecellm.prompts import named_template
from ecellm.training.monitoring import Monitoring
from ecellm.training.recipe import Recipe
from scripted import ScriptedGenerator

Run = Callable[..., tuple[int, str, str]]

COUNTS = "counts.json"


class Majority(ScriptedGenerator):
    """Answers a closed question by how often each candidate was right in training rows."""

    def __init__(self, folder: Path):
        super().__init__({})
        self.info = read_info(folder)
        self.counts: dict[str, dict[str, int]] = json.loads((folder / COUNTS).read_text())

    def reply(self, requests: Sequence[Request]) -> list[Reply]:
        examples = [request.question.example for request in requests]
        logs = [
            [math.log(1 + self.counts[example.task].get(text, 0)) for text in candidates_of(example) or ()]
            for example in examples
        ]
        fitted = self.info.offsets, self.info.temperatures
        return [candidate_reply(example, row, *fitted) for example, row in zip(examples, logs, strict=True)]


class MajorityTuning:
    """Counts answers; there is no base, no tokenizer and no trainer."""

    def load_tokenizer(self, recipe: Recipe) -> None:
        raise ModelError(f"Recipe {recipe.name} has no tokenizer.")

    def trainer_for(self, recipe: Recipe, rows: Rows, out: Path, console: Console) -> None:
        raise ModelError(f"Recipe {recipe.name} has no trainer.")

    def tune(
        self, recipe: Recipe, rows: Rows, out: Path, checkpoint: str | None, monitoring: Monitoring
    ) -> ModelInfo:
        counts: dict[str, Counter[str]] = {}
        for row in rows.train:
            counts.setdefault(row.example.task, Counter())[row.example.output] += 1
        (out / COUNTS).write_text(json.dumps(counts))
        described = RecipeInfo.model_validate(recipe.model_dump(mode="json"))
        return ModelInfo(recipe=described, template=named_template(recipe.template), steps=1)


def load(folder: Path, device: str, decoding: Decoding) -> Generator:
    return Majority(folder)


def refusal(model: str, decoding: Decoding) -> str | None:
    return f"{model} counts and does not write." if decoding.free else None


MAJORITY = Family(
    name="majority",
    load=load,
    refusal=refusal,
    tuning=MajorityTuning,  # type: ignore[arg-type]  # it has no trainer to return
    foreign_keys={"optimisation.exchange": "XS"},
    one_process=True,
    library="ecellm",
)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    with patch.dict(FAMILIES, {MAJORITY.name: MAJORITY}):
        yield


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "majority.toml"
    path.write_text('name = "counting"\nfamily = "majority"\nbase = "none"\n')
    return path


def test_a_family_in_one_file_is_tuned_and_asked(run: Run, recipe: Path, tiny_data: Dataset, tmp_path: Path) -> None:
    model, predictions, scores = tmp_path / "model", tmp_path / "predictions.jsonl", tmp_path / "scores.json"

    def done(*arguments: object) -> str:
        code, out, err = run(*arguments)
        assert code == 0, (arguments, out, err)
        return out

    done("tune", recipe, "--data", tiny_data.path, "--out", model, "--tasks", "PM,SA")
    info = read_info(model)
    assert (info.recipe.family, info.recipe.name, set(info.rows)) == ("majority", "counting", {"PM", "SA"})
    assert "library_name: ecellm" in (model / "README.md").read_text()

    done("predict", model, "--data", tiny_data.path, "--out", predictions, "--tasks", "PM,SA")
    rows = [json.loads(line) for line in predictions.read_text().splitlines()]
    assert {row["task"] for row in rows} == {"PM", "SA"} and all(0 < row["probability"] < 1 for row in rows)

    answer = done("ask", "PM", model, "--set", "title_1=a mug", "--set", "title_2=a pot").split()[0]
    assert {answer} == {row["answer"] for row in rows if row["task"] == "PM"}

    done("evaluate", predictions, "--data", tiny_data.path, "--out", scores)
    found = json.loads(scores.read_text())["scores"]
    assert {row["task"] for row in found} >= {"PM", "SA"}


def test_what_a_family_refuses_is_one_sentence(run: Run, recipe: Path, tiny_data: Dataset, tmp_path: Path) -> None:
    data, out = ("--data", tiny_data.path), tmp_path / "model"
    given = ("tune", recipe, *data, "--out", out, "--set", "optimisation.exchange=true")
    assert "optimisation.exchange is for XS" in run(*given)[2]
    assert run("tune", recipe, *data, "--out", out, "--tasks", "PM")[0] == 0
    failed = run("predict", out, *data, "--out", tmp_path / "answers.jsonl", "--decoding", "free")
    assert failed[0] == 1 and "counts and does not write" in failed[2]


def test_an_unknown_family_is_named_with_those_that_there_are(run: Run, recipe: Path, tiny_data: Dataset) -> None:
    with pytest.raises(ModelError, match=r"no family 'oracle': this version knows xs, causal, encoder-decoder, base"):
        find_family("oracle")
    with pytest.raises(ModelError, match="'baseline' are not tuned by a recipe"):
        tuning_of("baseline")
    assert tuned_families() == ["xs", "causal", "encoder-decoder", "majority"]
    recipe.write_text(recipe.read_text().replace("majority", "baseline"))
    error = run("tune", recipe, "--data", tiny_data.path, "--out", "never")[2]
    assert "family: 'baseline' is none of xs, causal, encoder-decoder, majority." in error
