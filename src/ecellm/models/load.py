"""From a model's name to its generator.

A name is a MODEL folder; a base that was not tuned, as a folder, a GGUF file, `smollm2-135m` or at the hub; `vllm:`
and one of these; `openai:` and a model of an OpenAI-compatible server; or the address of an `ecellm serve`.
"""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ecellm.errors import ConfigError, EcellmError, ModelError
from ecellm.io.hashing import keyed_hash
from ecellm.models.base import Decoding, Engine, Family, Generator, ServedGenerator
from ecellm.models.calibration.file import named, read_calibration
from ecellm.models.families import ENGINES, find_family
from ecellm.models.folder import CHECKPOINTS, INFO, ModelInfo, is_finished, model_hash, read_info, write_info
from ecellm.models.precision import FP32
from ecellm.models.remote import engines
from ecellm.models.transformers.base_models import ADAPTER, CONFIG, adapter_base_hash, base_location, is_gguf

if TYPE_CHECKING:
    from ecellm.models.remote.client import Server

OPENAI = engines.OPENAI.prefix
#: What is fetched of a base at the hub: no pickles, no code.
FETCHED, LEFT = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"), ("consolidated*", "*/*")


@dataclass(frozen=True)
class Opened:
    """A model's folder, with all that inference needs."""

    folder: Path
    family: Family
    hashed: str
    """The file that is hashed with the weights to identify the model."""
    layout: str
    """How its prompts are laid out."""


def load_generator(
    model: str | Path,
    decoding: Decoding | None = None,
    template: str | None = None,
    server: "Server | None" = None,
    calibration: Path | None = None,
    device: str | None = None,
) -> Generator:
    """Return the generator for a model, on a device of torch's (None: the accelerator where there is one).

    `template` (a name or a JSON file) lays out the prompts of a base or of a server's model; without it a base has
    its own chat template. `server` describes how an `openai:` model is reached. `calibration` is the calibration
    file of a base or a server's model; a MODEL folder has its own.

    Raises ModelError where there is no such model, its family is not known or refuses the decoding, a package that
    it needs is not installed, or the calibration is not this model's, and ConfigError for a device that torch lacks.
    """
    decoding = decoding or Decoding()
    if not isinstance(decoding, Decoding):
        raise ConfigError(f"The decoding is {decoding!r}: make one with ecellm.Decoding.")
    engine, name = engine_of(model)
    if engine is not None and decoding.precision != FP32:
        raise ModelError(f"{model} has the precision that its server or engine gives it: omit --precision.")
    if engine is not None and device is not None:
        raise ModelError(f"{model} computes where its server or engine does: omit the device.")
    if engine is not None and engine.connect is not None:
        return engine.connect(name, server, decoding, template, calibration)
    if decoding.lenient:
        raise ModelError(f"{model} is no server's model: omit --parse lenient.")
    device = best_device() if device is None else _checked_device(device)
    if decoding.precision != FP32 and device != "cpu":
        raise ModelError("--precision is for CPUs; on this accelerator a model has the precision of its weights.")
    with opened(model, template, calibration) as found:
        if engine is not None and engine.load is not None:
            return engine.load(found.folder, found.family, decoding)
        refusal = found.family.refusal(str(model), decoding)
        if refusal is not None:
            raise ModelError(refusal)
        return found.family.load(found.folder, device, decoding)


def best_device() -> str:
    """Return torch's name of the accelerator, or of the CPU where there is none."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _checked_device(device: str) -> str:
    """Return a device's name; raises ConfigError where torch cannot compute on it."""
    import torch

    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        raise ConfigError(
            f"torch cannot compute on the device {device!r}: name another, such as cpu or cuda, or leave it out."
        ) from error
    return device


def engine_of(model: str | Path) -> tuple[Engine | None, str]:
    """Return the engine that a model's name begins with (None: it runs here), and the rest of the name."""
    engine = next((engine for engine in ENGINES if str(model).startswith(engine.prefix)), None)
    return engine, str(model) if engine is None else str(model).removeprefix(engine.prefix)


def identity(
    model: str | Path,
    decoding: Decoding | None = None,
    template: str | None = None,
    server: "Server | None" = None,
    calibration: Path | None = None,
) -> dict[str, str]:
    """Return what a model's answers depend on, for the record of a run: weights or server, prompt, decoding."""
    decoding = decoding or Decoding()
    engine, name = engine_of(model)
    if engine is not None and engine.connect is not None:
        return engine.connect(name, server, decoding, template, calibration).identity()
    with opened(model, template, calibration) as found:
        return {
            "model": _hash(found),
            "engine": "transformers" if engine is None else engine.name,
            "prompt": keyed_hash("prompt", found.layout),
            "decoding": f"{decoding}{named(calibration)}",
        }


def load_identified(
    model: str | Path,
    decoding: Decoding | None = None,
    template: str | None = None,
    server: "Server | None" = None,
    calibration: Path | None = None,
) -> tuple[Generator, dict[str, str]]:
    """Return the generator for a model with what its answers depend on, which for a model behind a server is of the
    same moment; raises as `load_generator`, and ServerError where a service cannot be reached."""
    engine, _ = engine_of(model)
    if engine is None or engine.connect is None:
        whose = identity(model, decoding, template, server, calibration)
        return load_generator(model, decoding, template, server, calibration), whose
    generator = load_generator(model, decoding, template, server, calibration)
    assert isinstance(generator, ServedGenerator)
    return generator, generator.identity()


def check_predicts(model: str | Path) -> None:
    """Raise ConfigError where a model answers rows only, and none of a dataset's questions."""
    engine, _ = engine_of(model)
    if engine is not None and engine.of_rows:
        raise ConfigError(
            f"{model} is a service, which answers questions that are made from rows, and none of a dataset: use "
            "ecellm ask, or name the model itself."
        )


def _hash(found: Opened) -> str:
    """Return the hash of a model's weights and description, of an adapter with its base."""
    hashed = model_hash(found.folder, found.hashed)
    if not (found.folder / ADAPTER).is_file():
        return hashed
    return hashlib.sha256(f"{hashed} on {adapter_base_hash(found.folder)}".encode()).hexdigest()


@contextmanager
def opened(model: str | Path, template: str | None, calibration: Path | None = None) -> Iterator[Opened]:
    """Open a MODEL folder, or a base in the form of one; raises ModelError where it is neither."""
    _, name = engine_of(model)
    folder = Path(name)
    if not folder.is_dir() and is_gguf(name):
        folder = Path(base_location(name))
    elif not folder.is_dir() and may_be_at_hub(name):
        folder = _fetched(name)
    check_is_there(name)
    # A folder with checkpoints is a run of tuning that has not ended.
    if is_finished(folder) or not (folder / CONFIG).is_file() or (folder / CHECKPOINTS).is_dir():
        info = read_info(folder)
        if template is not None:
            raise ModelError(f"{model} uses the template that it was tuned with: omit --template.")
        if calibration is not None:
            raise ModelError(f"{model} keeps its calibration in its folder: omit --calibration.")
        layout = None if info.template is None else info.template.model_dump(mode="json")
        yield Opened(folder, find_family(info.recipe.family), INFO, json.dumps(layout, sort_keys=True))
        return
    from ecellm.models.transformers.untuned import base_info

    info = base_info(folder, template)
    layout = info.model_dump(mode="json", exclude_unset=True)
    if calibration is not None:
        read = read_calibration(calibration, model_hash(folder, CONFIG))
        info = info.model_copy(update={"temperatures": read.temperatures, "offsets": read.offsets})
    with with_info(folder, info) as made:
        yield Opened(made, find_family(info.recipe.family), CONFIG, json.dumps(layout, sort_keys=True))


@contextmanager
def with_info(files: Path, info: ModelInfo) -> Iterator[Path]:
    """Give a MODEL folder of this description with links to a folder's files, for as long as the block lasts: to load
    a base, a model that is not finished yet, or one without its calibration."""
    with tempfile.TemporaryDirectory(prefix="ecellm-model-") as made:
        for file in files.iterdir():
            if file.is_file() and file.name != INFO:
                (Path(made) / file.name).symlink_to(file.resolve())
        write_info(Path(made), info)
        try:
            yield Path(made)
        except EcellmError as error:
            raise type(error)(str(error).replace(made, str(files))) from error


def may_be_at_hub(name: str) -> bool:
    """Return whether a name that is no folder may be OWNER/NAME of a model at the hub."""
    return name.count("/") == 1 and not name.startswith((".", "/"))


def check_is_there(model: str) -> None:
    """Raise ModelError where a model's name is none of a server, and neither a folder, a GGUF file nor of the hub."""
    engine, name = engine_of(model)
    if (engine is not None and engine.connect is not None) or is_gguf(name) or may_be_at_hub(name):
        return
    if name and Path(name).is_dir():
        return
    if name and Path(name).exists():
        raise ModelError(f"{name} is a file, and no .gguf: name the folder of a model.")
    raise ModelError(
        f"There is no model {name!r}: name a folder, a .gguf file, smollm2-135m, OWNER/NAME at the hub, openai:NAME, "
        "or a service's address."
    )


def is_tuned(model: str) -> bool:
    """Return whether a name is that of a finished MODEL folder, and not of a base or a server's model."""
    engine, name = engine_of(model)
    return (engine is None or engine.connect is None) and is_finished(Path(name))


def tasks_of(model: str) -> list[str] | None:
    """Return the tasks that a baseline was fitted on; None for models that answer all tasks."""
    return read_info(Path(engine_of(model)[1])).tasks if is_tuned(model) else None


def _fetched(name: str) -> Path:
    """Return the folder of a base at the hub, fetched unless it was before."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(FETCHED), ignore_patterns=list(LEFT)))
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise ModelError(
            f"There is no folder {name}, and no such model can be had from the hub ({type(error).__name__}): look "
            "for a slip in the name, or whether the hub can be reached."
        ) from error
