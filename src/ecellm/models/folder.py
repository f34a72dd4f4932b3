"""A MODEL folder: weights, tokenizer, and `ecellm.json` with all else that prediction needs.

`ecellm.json` is written last: a folder without it is an unfinished run.
"""

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_serializer

from ecellm.errors import ModelError
from ecellm.io.files import write_text
from ecellm.io.hashing import file_hash
from ecellm.models.calibration.file import Temperature
from ecellm.prompts import Template

INFO = "ecellm.json"
#: The trainer's own checkpoints, below a MODEL folder while it is being made.
CHECKPOINTS = "checkpoints"


class LoraInfo(BaseModel):
    """The adapter of a model, as its card shows it; all other keys are kept."""

    model_config = ConfigDict(extra="allow", frozen=True)

    rank: int
    modules: list[str]


class RecipeInfo(BaseModel):
    """The recipe of a model: the keys that are read again, and all others as they were."""

    # Families have recipe keys of their own, which cards and reports show.
    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = ""
    family: str
    """By which the model is loaded (`families.py`)."""
    base: str = ""
    revision: str | None = None
    template: str = ""
    max_tokens: int = Field(default=2048, gt=0)
    """The prompt's token budget."""
    max_response_tokens: int = Field(default=100, gt=0)
    lora: LoraInfo | None = None
    """None where all weights were tuned."""


class MergedFrom(BaseModel):
    """The base and its revision that an adapter was merged into."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    revision: str | None


class ModelInfo(BaseModel):
    """The contents of `ecellm.json`. Values that were never set are not written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: RecipeInfo
    template: Template | None = None
    """The prompts' layout; baselines read no prompt."""
    tasks: list[str] | None = None
    """The tasks that a baseline was fitted on; None for models that answer all tasks."""
    dataset: str | None = None
    """The hash of the dataset that it was tuned on."""
    versions: dict[str, str] = {}
    """Of the packages that it was tuned with."""
    rows: dict[str, int] = {}
    """Training rows by task."""
    device: str | None = None
    """The device that it was tuned on."""
    validation_score: float | None = None
    """XS: the best one, of the checkpoint that was kept."""
    validation_loss: float | None = None
    """Other tuned models: the same."""
    best_step: int | None = None
    steps: int | None = None
    lexical: dict[str, str] = {}
    """XS: the hash of the files of each task's linear model."""
    pools: dict[str, tuple[float, ...]] = {}
    """XS: by task, the weights of the stack's scores and of the linear model's, and an offset a class, if any."""
    parts: dict[str, str] = {}
    """Baselines: the hash of each task's files."""
    offsets: dict[str, list[FiniteFloat]] = {}
    """Decision thresholds by task: one offset a class, added to log-probabilities."""
    temperatures: dict[str, Temperature] = {}
    """By task: the divisor of its log-probabilities."""
    base_hash: str | None = None
    """Adapters: what identifies the base that it was tuned on."""
    merged_from: MergedFrom | None = None
    """Where an adapter was merged."""

    @field_serializer("template")
    def _whole(self, template: Template | None) -> dict[str, object] | None:
        """Write defaults too: they might change."""
        return None if template is None else template.model_dump(mode="json")


def is_finished(model: Path) -> bool:
    """Return whether the folder holds a finished model."""
    return (model / INFO).is_file()


def read_info(model: Path) -> ModelInfo:
    """Read `ecellm.json`; raises ModelError where the folder is not a finished model of this version."""
    if not model.is_dir():
        raise ModelError(f"There is no folder {model}: name that of a model.")
    if not is_finished(model):
        raise ModelError(f"{model} is not a finished model: it has no {INFO}. Make one with `ecellm tune`.")
    try:
        return ModelInfo.model_validate_json((model / INFO).read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        if problem["type"] == "json_invalid":
            raise ModelError(f"{model / INFO} is not valid JSON: tune the model again.") from error
        where = ".".join(map(str, problem["loc"]))
        raise ModelError(f"{model / INFO}: {where}: {problem['msg'].lower()}. Tune the model again.") from error


def write_info(model: Path, info: ModelInfo) -> None:
    """Write `ecellm.json` atomically, which marks the model as finished."""
    write_text(info.model_dump_json(indent=2, exclude_unset=True) + "\n", model / INFO)


def model_hash(model: Path, described: str = INFO) -> str:
    """Return a sha256 over the description (a base's: its config.json) and the weights: what answers depend on."""
    digest = hashlib.sha256((model / described).read_bytes())
    for weights in sorted(model.glob("*.safetensors")):
        digest.update(bytes.fromhex(file_hash(weights)))
    return digest.hexdigest()
