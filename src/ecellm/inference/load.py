"""From a model's name to the generator that asks it.

A name is a MODEL folder; a base that was not tuned, as a folder, a GGUF file, `smollm2-135m` or at the hub; `vllm:`
and one of these; or `openai:` and a model of an OpenAI-compatible server.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecellm.inference.calibration_file import named, read_calibration
from ecellm.inference.generator import Decoding, Generator
from ecellm.keys import keyed_hash
from ecellm.models.bases import base_location, is_gguf
from ecellm.models.device import best_device
from ecellm.models.folder import FACTS, is_finished, model_hash, read_facts, write_facts
from ecellm.models.precision import FP32
from ecellm.prompts import CHAT, Template, template_for

if TYPE_CHECKING:
    from ecellm.inference.openai_ import Server

OPENAI, VLLM = "openai:", "vllm:"
CONFIG = "config.json"
#: Prompt tokens of a base that was not tuned, at most; the paper's limit.
BASE_TOKENS = 2048
#: What is fetched of a base at the hub: no pickles, no code.
FETCHED, LEFT = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"), ("consolidated*", "*/*")


@dataclass(frozen=True)
class Opened:
    """A model's folder, with all that asking needs."""

    folder: Path
    family: str
    hashed: str
    """The file whose hash, with the weights', tells it from others."""
    layout: str
    """How its prompts are laid out."""


def load_generator(
    model: str | Path,
    decoding: Decoding | None = None,
    template: str | None = None,
    server: "Server | None" = None,
    calibration: Path | None = None,
) -> Generator:
    """Return the generator for a model, on the accelerator where there is one.

    `template` (a name or a JSON file) lays out the prompts of a base or of a server's model; without it a base has
    its own chat template. `server` says how an `openai:` model is reached. `calibration` is the file of what was
    fitted for a base or a server's model; a MODEL folder has its own.

    Raises ValueError where there is no such model, its family is not known or cannot be asked so, a package that
    it needs is not installed, or the calibration is not this model's.
    """
    decoding = decoding or Decoding()
    if decoding.precision != FP32 and str(model).startswith((OPENAI, VLLM)):
        raise ValueError(f"{model} has the precision that its server or engine gives it: leave --precision out.")
    if str(model).startswith(OPENAI):
        from ecellm.inference.openai_ import OpenAIGenerator

        return OpenAIGenerator(str(model).removeprefix(OPENAI), server, decoding, template, calibration)
    if decoding.precision != FP32 and best_device() != "cpu":
        raise ValueError("--precision is for CPUs; on this accelerator a model has the precision of its weights.")
    with opened(model, template, calibration) as found:
        if str(model).startswith(VLLM):
            from ecellm.inference.vllm_ import VLLMGenerator

            return VLLMGenerator(found.folder, found.family, decoding)
        if found.family == "prefix":
            from ecellm.inference.prefix import PrefixGenerator

            return PrefixGenerator.from_folder(found.folder, best_device(), decoding)
        if found.family in ("causal", "encoder-decoder"):
            from ecellm.inference.transformers_ import TransformersGenerator

            return TransformersGenerator.from_folder(found.folder, best_device(), decoding)
        if found.family == "baseline":
            from ecellm.baselines.generator import BaselineGenerator

            if decoding.free or decoding.temperature:
                raise ValueError(f"{model} writes no text: ask it without --decoding free and --temperature.")
            if decoding.precision != FP32:
                raise ValueError(f"{model} is a baseline, which predicts in fp32: leave --precision out.")
            return BaselineGenerator(found.folder, best_device())
        raise ValueError(f"{model} is of the family {found.family!r}, which this version cannot ask.")


def identity(
    model: str | Path,
    decoding: Decoding | None = None,
    template: str | None = None,
    server: "Server | None" = None,
    calibration: Path | None = None,
) -> dict[str, str]:
    """Return what a model's answers depend on, for the record of a run: weights or server, prompt, decoding."""
    decoding = decoding or Decoding()
    if str(model).startswith(OPENAI):
        from ecellm.inference.openai_ import OpenAIGenerator

        return OpenAIGenerator(str(model).removeprefix(OPENAI), server, decoding, template, calibration).identity()
    with opened(model, template, calibration) as found:
        return {
            "model": model_hash(found.folder, found.hashed),
            "engine": "vllm" if str(model).startswith(VLLM) else "transformers",
            "prompt": keyed_hash("prompt", found.layout),
            "decoding": f"{decoding}{named(calibration)}",
        }


@contextmanager
def opened(model: str | Path, template: str | None, calibration: Path | None = None) -> Iterator[Opened]:
    """Open a MODEL folder, or a base in the form of one; raises ValueError where it is neither."""
    from ecellm.tuning.checkpoints import CHECKPOINTS

    name = str(model).removeprefix(VLLM)
    folder = Path(name)
    if not folder.is_dir() and is_gguf(name):
        folder = Path(base_location(name))
    elif not folder.is_dir() and name.count("/") == 1 and not name.startswith((".", "/")):
        folder = _fetched(name)
    # A folder with checkpoints is a run of tuning that has not ended.
    if is_finished(folder) or not (folder / CONFIG).is_file() or (folder / CHECKPOINTS).is_dir():
        facts = read_facts(folder)
        if template is not None:
            raise ValueError(f"{model} is asked in the template that it was tuned in: leave --template out.")
        if calibration is not None:
            raise ValueError(f"{model} keeps what was fitted for it in its folder: leave --calibration out.")
        yield Opened(folder, facts["recipe"]["family"], FACTS, json.dumps(facts.get("template"), sort_keys=True))
        return
    facts = _base_facts(folder, template)
    fitted: dict[str, Any] = {}
    if calibration is not None:
        read = read_calibration(calibration, model_hash(folder, CONFIG))
        fitted = {"temperatures": read.temperatures, "offsets": read.offsets}
    with with_facts(folder, {**facts, **fitted}) as made:
        yield Opened(made, facts["recipe"]["family"], CONFIG, json.dumps(facts, sort_keys=True))


@contextmanager
def with_facts(files: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """Give a MODEL folder of these facts with links to a folder's files, for as long as the block lasts: to ask a
    base, a model that is not finished yet, or one as it is without what was fitted for it."""
    with tempfile.TemporaryDirectory(prefix="ecellm-model-") as made:
        for file in files.iterdir():
            if file.is_file() and file.name != FACTS:
                (Path(made) / file.name).symlink_to(file.resolve())
        write_facts(Path(made), facts)
        yield Path(made)


def is_tuned(model: str) -> bool:
    """Say whether a name is that of a finished MODEL folder, and not of a base or a server's model."""
    return not model.startswith(OPENAI) and is_finished(Path(model.removeprefix(VLLM)))


def tasks_of(model: str) -> list[str] | None:
    """Return the tasks that a baseline was fitted on; None for models that answer all."""
    return read_facts(Path(model.removeprefix(VLLM))).get("tasks") if is_tuned(model) else None


def _base_facts(base: Path, template: str | None) -> dict[str, Any]:
    """Return the facts that a base would have if it were tuned; raises ValueError where it is no model."""
    from transformers import AutoConfig, AutoTokenizer

    try:
        config: Any = AutoConfig.from_pretrained(base)
        tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{base} is no model that transformers reads: {str(error).splitlines()[0]}") from error
    layout: Template = template_for(template or CHAT, tokenizer)
    window = getattr(config, "max_position_embeddings", None) or BASE_TOKENS
    return {
        "recipe": {
            "family": "encoder-decoder" if config.is_encoder_decoder else "causal",
            "max_tokens": min(BASE_TOKENS, window - Decoding().most_tokens),
        },
        "template": layout.model_dump(),
        "offsets": {},
    }


def _fetched(name: str) -> Path:
    """Return the folder of a base at the hub, fetched unless it was before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED), ignore_patterns=list(LEFT)))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise ValueError(
            f"{name} is no model's folder, and cannot be had from the hub ({type(error).__name__}): look for a "
            "slip in the name, or whether the hub can be reached."
        ) from error
