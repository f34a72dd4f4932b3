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

from ecellm.inference.generator import Decoding, Generator
from ecellm.keys import keyed_hash
from ecellm.models.bases import base_location, is_gguf
from ecellm.models.device import best_device
from ecellm.models.folder import FACTS, is_finished, model_hash, read_facts, write_facts
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
) -> Generator:
    """Return the generator for a model, on the accelerator where there is one.

    `template` (a name or a JSON file) lays out the prompts of a base or of a server's model; without it a base has
    its own chat template. `server` says how an `openai:` model is reached.

    Raises ValueError where there is no such model, its family is not known or cannot be asked so, or a package that
    it needs is not installed.
    """
    decoding = decoding or Decoding()
    if str(model).startswith(OPENAI):
        from ecellm.inference.openai_ import OpenAIGenerator

        return OpenAIGenerator(str(model).removeprefix(OPENAI), server, decoding, template)
    with opened(model, template) as found:
        if str(model).startswith(VLLM):
            from ecellm.inference.vllm_ import VLLMGenerator

            return VLLMGenerator(found.folder, found.family, decoding)
        if found.family == "prefix":
            from ecellm.inference.prefix import PrefixGenerator

            return PrefixGenerator(found.folder, best_device(), decoding)
        if found.family in ("causal", "encoder-decoder"):
            from ecellm.inference.transformers_ import TransformersGenerator

            return TransformersGenerator(found.folder, best_device(), decoding)
        if found.family == "baseline":
            from ecellm.baselines.generator import BaselineGenerator

            if decoding.free or decoding.temperature:
                raise ValueError(f"{model} writes no text: ask it without --decoding free and --temperature.")
            return BaselineGenerator(found.folder, best_device())
        raise ValueError(f"{model} is of the family {found.family!r}, which this version cannot ask.")


def identity(
    model: str | Path,
    decoding: Decoding | None = None,
    template: str | None = None,
    server: "Server | None" = None,
) -> dict[str, str]:
    """Return what a model's answers depend on, for the record of a run: weights or server, prompt, decoding."""
    decoding = decoding or Decoding()
    if str(model).startswith(OPENAI):
        from ecellm.inference.openai_ import OpenAIGenerator

        return OpenAIGenerator(str(model).removeprefix(OPENAI), server, decoding, template).identity()
    with opened(model, template) as found:
        return {
            "model": model_hash(found.folder, found.hashed),
            "engine": "vllm" if str(model).startswith(VLLM) else "transformers",
            "prompt": keyed_hash("prompt", found.layout),
            "decoding": str(decoding),
        }


@contextmanager
def opened(model: str | Path, template: str | None) -> Iterator[Opened]:
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
        yield Opened(folder, facts["recipe"]["family"], FACTS, json.dumps(facts.get("template"), sort_keys=True))
        return
    with tempfile.TemporaryDirectory(prefix="ecellm-base-") as made:
        facts = _as_model(folder, Path(made), template)
        yield Opened(Path(made), facts["recipe"]["family"], CONFIG, json.dumps(facts, sort_keys=True))


def _as_model(base: Path, folder: Path, template: str | None) -> dict[str, Any]:
    """Fill a folder with links to a base's files and the facts that a tuned model would have; return these."""
    from transformers import AutoConfig, AutoTokenizer

    for file in base.iterdir():
        if file.is_file():
            (folder / file.name).symlink_to(file.resolve())
    try:
        config: Any = AutoConfig.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"{base} is no model that transformers reads: {str(error).splitlines()[0]}") from error
    layout: Template = template_for(template or CHAT, tokenizer)
    window = getattr(config, "max_position_embeddings", None) or BASE_TOKENS
    facts: dict[str, Any] = {
        "recipe": {
            "family": "encoder-decoder" if config.is_encoder_decoder else "causal",
            "max_tokens": min(BASE_TOKENS, window - Decoding().most_tokens),
        },
        "template": layout.model_dump(),
        "offsets": {},
    }
    write_facts(folder, facts)
    return facts


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
