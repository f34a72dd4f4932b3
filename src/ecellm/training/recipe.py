"""A recipe: which model to tune and how, as a TOML file.

Shipped recipes lie in `ecellm/recipes`; a user's own is named by its path.
"""

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ecellm.errors import ConfigError
from ecellm.models.families import find_family, tuned_families

#: Keys of which the first, set by hand, lifts the second.
EPOCHS, MIN_STEPS = "optimisation.epochs", "optimisation.min_steps"


class Section(BaseModel):
    """A section whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Optimisation(Section):
    """How the weights are moved."""

    epochs: float = Field(default=3, gt=0)
    min_steps: int = Field(default=0, ge=0)
    """Where the epochs make fewer steps, there are more of them; `--set optimisation.epochs=N` alone makes N."""
    learning_rate: float = Field(default=1e-4, gt=0)
    head_learning_rate: float | None = Field(default=None, gt=0)
    """Of the parts that are freshly drawn; the learning rate above where None."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.05, ge=0, lt=1)
    """Share of the steps over which the learning rate rises."""
    weight_decay: float = Field(default=0.0, ge=0)
    clip: float = Field(default=1.0, gt=0)
    """Largest gradient norm."""
    batch_tokens: int = Field(default=4096, gt=0)
    """Tokens in one micro-batch, padding included."""
    examples: int = Field(default=128, gt=0)
    """Examples to a step, over all devices; causal and encoder-decoder models."""
    accumulate: int = Field(default=1, gt=0)
    """Micro-batches to a step; XS."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    """Of XS; other models keep their own, and LoRA has one of its own."""
    word_dropout: float = Field(default=0.0, ge=0, lt=1)
    """XS: the probability that a word of an example's own texts is dropped, drawn anew in each epoch."""
    exchange: bool = False
    """XS: whether examples that compare two records are seen in both orders."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the device is faster in it, else fp32."""
    attention: Literal["auto", "eager", "sdpa", "flex_attention", "flash_attention_2"] = "auto"
    """Of causal models. auto: example by example on a CPU; elsewhere FlashAttention where it is installed, else
    torch's own with a mask."""
    freeze_embeddings: bool = False
    """XS and causal models. Where the output head shares the embeddings' weights, it is frozen with them."""
    freeze_layers: int = Field(default=0, ge=0)
    """Causal models: so many of the lower layers are not tuned. With the embeddings frozen too, no gradient passes
    through them, which saves two thirds of their share of a step."""
    bf16_weights: bool = False
    """Causal models on a CPU that computes in bf16: the weights, norms included, are in bf16, and the optimiser keeps
    an fp32 master copy of those it tunes. Otherwise weights are in fp32 and cast for every product."""
    checkpoint_steps: int = Field(default=100, gt=0)
    """Steps from one checkpoint to the next; each check on validation rows leaves one too."""
    seed: int = 42


class Lora(Section):
    """Low-rank adapters instead of whole weights (paper, section 4.1 and appendix)."""

    rank: int = Field(default=16, gt=0)
    alpha: int = Field(default=16, gt=0)
    dropout: float = Field(default=0.1, ge=0, lt=1)
    modules: tuple[str, ...] = Field(min_length=1)
    """Names of the linear layers to adapt, such as q_proj; each must be there. lm_head is the output head."""
    quantised: bool = False
    """QLoRA: the base in 4 bits (NF4), through bitsandbytes."""


class Mixing(Section):
    """How tasks and classes are weighted against each other."""

    balance_tasks: float = Field(default=0.5, ge=0, le=1)
    """0: every example weighs the same; 1: every task does."""
    balance_classes: float = Field(default=0.5, ge=0, le=1)
    """The same for the classes of a yes/no or fixed-letter task."""
    task_rows: int | None = Field(default=None, gt=0)
    """XS: rows of one task in an epoch, at most; a larger task shows other rows in each. None: all."""
    loss_by: Literal["token", "sample"] = "token"
    """Causal and encoder-decoder models. token: every response token of a step weighs the same, as in the paper;
    sample: every example does, so that long responses do not drown those of a word."""


class Validation(Section):
    """When the validation loss is taken; the best checkpoint by it is kept."""

    per_epoch: int = Field(default=1, gt=0)
    rows: int = Field(default=800, gt=0)
    """Validation rows for the loss, spread evenly over tasks."""
    fit_thresholds: bool = True
    """Whether decision thresholds are fitted on validation rows once the model is tuned (`models/calibration`)."""
    calibrate: bool = True
    """Whether temperatures are."""


class Recipe(Section):
    """A whole recipe."""

    name: str
    family: str
    """xs: one stack, the prompt read both ways and the response causally; causal; or encoder-decoder."""
    base: str
    """`minilm` for the local all-MiniLM-L6-v2, `smollm2-135m` for the local SmolLM2-135M-Instruct, a .gguf file; else
    a model's folder or its name on the hub."""
    revision: str | None = None
    """The base's commit on the hub; the newest where None."""
    template: str = "compact"
    """The prompt's layout: `chat` for the base's own chat template, a name of `prompts.TEMPLATES`, or a JSON file."""
    max_tokens: int = Field(default=384, ge=32)
    """The prompt's token budget."""
    max_response_tokens: int = Field(default=64, ge=1)
    """Longer responses are truncated in training."""
    lexical: bool = True
    """XS: whether linear models of counted words are fitted first, to whose scores it adds its own."""
    packing: bool = True
    """Causal models: several examples a row, each attending to itself alone; the losses are the same without."""
    lora: Lora | None = None
    """None: all weights are tuned."""
    optimisation: Optimisation = Optimisation()
    mixing: Mixing = Mixing()
    validation: Validation = Validation()

    @model_validator(mode="after")
    def _family_and_its_keys(self) -> Self:
        """Raise ValueError for a family that is not tuned by recipes, and for keys that mean nothing for it."""
        if self.family not in tuned_families():
            raise ValueError(f"family: {self.family!r} is none of {', '.join(tuned_families())}")
        for key, whose in find_family(self.family).foreign_keys.items():
            name, inner = key.split(".")
            section = getattr(self, name)
            if getattr(section, inner) != type(section).model_fields[inner].default:
                raise ValueError(f"{key} is for {whose}")
        return self


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.name[:-5] for path in files("ecellm.recipes").iterdir() if path.name.endswith(".toml"))


def recipe_text(name: str) -> str:
    """Return a shipped recipe's or a file's text; raises ConfigError where there is none."""
    if name in recipe_names():
        return files("ecellm.recipes").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    path = Path(name)
    if path.suffix == ".toml" and path.is_file():
        return path.read_text(encoding="utf-8-sig")
    close = difflib.get_close_matches(name, recipe_names(), 1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"There is no recipe {name!r}: name a .toml file or one of {', '.join(recipe_names())}.{hint}")


def read_recipe(name: str, overrides: list[str] | None = None) -> Recipe:
    """Read a recipe by name or path and apply `a.b=value` overrides.

    Raises ConfigError with one sentence for a missing recipe, bad TOML, an unknown key (with a suggestion),
    or a value of the wrong kind.
    """
    try:
        values = tomllib.loads(recipe_text(name))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The recipe {name} is not valid TOML: {error}.") from error
    named = {override.partition("=")[0].strip() for override in overrides or []}
    if EPOCHS in named and MIN_STEPS not in named:
        overrides = [*(overrides or []), f"{MIN_STEPS}=0"]
    for override in overrides or []:
        _override(values, override)
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"Recipe {name}: {_problem(error)}") from error


def _override(values: dict[str, object], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes a.b=value, not {override!r}.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *path, last = key.strip().split(".")
    for part in path:
        inner = values.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {part!r} is a value, not a section.")
        values = inner
    values[last] = value


def _problem(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":
        return f"{problem['msg'].removeprefix('Value error, ')}."
    if problem["type"] != "extra_forbidden":
        return f"{where}: {problem['msg'][:1].lower()}{problem['msg'][1:]}."
    close = difflib.get_close_matches(where, _known_keys(Recipe), 1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(_known_keys(Recipe))}."
    return f"unknown key {where!r}; {hint}"


def _known_keys(section: type[BaseModel], prefix: str = "") -> list[str]:
    keys: list[str] = []
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            keys += _known_keys(info.annotation, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys
