"""GGUF files as bases: a file is converted once into a folder that transformers loads, kept in a cache.

GGUF is llama.cpp's file format: weights, often quantised, with the tokenizer and the chat template in one file.
transformers reads it; what its reader omits or gets wrong is restored or refused here.
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from filelock import FileLock

from ecellm.errors import ModelError
from ecellm.io.files import atomic_folder
from ecellm.io.hashing import file_hash
from ecellm.models.model_files import POINTER, damaged

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

#: Names the cache's folder; without it, `ecellm` in XDG_CACHE_HOME, or in ~/.cache.
CACHE = "ECELLM_CACHE"
#: Part of a converted folder's name: raised when the conversion changes, so that older folders are not used.
FORM = "1"
INSTALL = "GGUF files need the package gguf: pip install 'ecellm[gguf]'."
#: Byte-level tokenizers that split text as GPT-2's does, as llama.cpp names them.
LIKE_GPT2 = frozenset({"default", "gpt-2"})
#: Those that split off every digit first (llama.cpp, llama-vocab.cpp); transformers' reader does not.
DIGITS_APART = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"})
#: A tensor that stretches the rotary positions' wavelengths, in Llama 3.1's way; transformers' reader passes over it.
ROPE_FACTORS = "rope_freqs.weight"


def cache_folder() -> Path:
    """Return the folder that keeps converted bases; it need not exist."""
    if named := os.environ.get(CACHE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ecellm"


def converted(file: Path) -> Path:
    """Return the folder with a GGUF file's model and tokenizer, converted unless it was before.

    Weights are kept in fp32 or fp16 where the file has them so, else in bf16. The folder's name is the file's hash;
    of several processes one converts and the others wait.

    Raises ModelError where the file is missing or cannot be read as a causal model, or gguf is not installed.
    """
    if not file.is_file():
        raise ModelError(f"There is no file {file}.")
    folder = cache_folder() / "gguf" / f"{file_hash(file)[:32]}-{FORM}"
    if folder.is_dir():
        return folder
    if find_spec("gguf") is None:
        raise ModelError(INSTALL)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with atomic_folder(folder) as made:
                _convert(file, made)
    return folder


def _convert(file: Path, folder: Path) -> None:
    """Write model and tokenizer of a GGUF file to a folder."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
    except (ValueError, IndexError) as error:
        with file.open("rb") as opened:
            if opened.read(len(POINTER)) == POINTER:
                raise damaged(file) from error
        raise ModelError(f"{file} is no GGUF file that can be read: {_first_line(error)}") from error
    _refuse_unknown(reader, file)
    with tempfile.TemporaryDirectory(prefix="ecellm-gguf-") as apart:
        # Alone in its folder: transformers would take a tokenizer or a chat template that lies beside it.
        alone = Path(apart) / "model.gguf"
        alone.symlink_to(file.resolve())
        try:
            tokenizer = _tokenizer(alone, str(_value(reader, "tokenizer.ggml.pre") or "default"))
            model = _model(alone, _precision(reader))
        except (ModelError, ValueError, NotImplementedError, KeyError) as error:
            raise ModelError(f"transformers cannot read {file}: {_first_line(error)}") from error
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(model.config, name, getattr(tokenizer, name))
        setattr(model.generation_config, name, getattr(tokenizer, name))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _refuse_unknown(reader: "GGUFReader", file: Path) -> None:
    """Raise ModelError where transformers would read the file wrongly without a warning."""
    architecture = _value(reader, "general.architecture")
    scaling = _value(reader, f"{architecture}.rope.scaling.type")
    if scaling not in (None, "none") or any(tensor.name == ROPE_FACTORS for tensor in reader.tensors):
        raise ModelError(
            f"{file} scales its rotary positions ({scaling or ROPE_FACTORS}), which is not read from GGUF files: "
            "use the model's folder of safetensors as the base."
        )
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    split = _value(reader, "tokenizer.ggml.pre") or "default"
    known = LIKE_GPT2 | DIGITS_APART | GGUF_PRE_TOKENIZER_SPLITS.keys()
    if _value(reader, "tokenizer.ggml.model") == "gpt2" and split not in known:
        raise ModelError(
            f"{file} splits text into words in a way that is not known here ({split}): use the model's folder of "
            "safetensors as the base."
        )


def _tokenizer(file: Path, split: str) -> "PreTrainedTokenizerFast":
    """Return the file's tokenizer, splitting text as llama.cpp does."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(file.parent, gguf_file=file.name)
    if split in DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(
            [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        )
    return tokenizer


def _model(file: Path, dtype: "torch.dtype") -> "PreTrainedModel":
    """Return the file's causal model, without the quantisation config that transformers attaches: with it, the
    model can be neither saved nor trained. Raises ModelError where a weight is missing."""
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    found = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype=dtype,
        quantization_config=GgufConfig(dequantize=True),
        output_loading_info=True,
    )
    loaded, info = cast("tuple[PreTrainedModel, dict[str, list[str]]]", found)
    if missing := sorted({*info["missing_keys"], *(str(key) for key in info["mismatched_keys"])}):
        raise ModelError(f"the file lacks {', '.join(missing[:3])}.")
    config = loaded.config
    for name in ("quantization_config", "_model_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    with torch.device("meta"):
        model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict(), assign=True)
    model.tie_weights()
    return model


def _precision(reader: "GGUFReader") -> "torch.dtype":
    """Return the precision to keep: that of the file's largest tensor where it is not quantised, else bf16."""
    import torch
    from gguf import GGMLQuantizationType as Kind

    largest = max(reader.tensors, key=lambda tensor: int(tensor.n_elements))
    return {Kind.F32: torch.float32, Kind.F16: torch.float16}.get(largest.tensor_type, torch.bfloat16)


def _value(reader: "GGUFReader", key: str) -> object:
    """Return a value of the file's head, or None."""
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
