"""Files of a model's folder that libraries read: what their errors do not say, which file and what to do, is said
here."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from ecellm.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: How the file begins that Git leaves in the place of a large one that was not fetched.
POINTER = b"version https://git-lfs."
INDEX = "model.safetensors.index.json"


def check_weights(folder: Path) -> None:
    """Raise ModelError where a folder has no weights, or a file of them is missing, cut short or a pointer."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{folder} has no weights (*.safetensors): copy all of the model's files.")
    for file in files:
        try:
            with safe_open(file, framework="np"):
                pass
        except (OSError, SafetensorError) as error:
            raise damaged(file) from error
    for name in _listed(folder / INDEX):
        if not (folder / name).is_file():
            raise ModelError(f"{folder} lacks {name}, which {INDEX} names: copy all of the model's files.")


@contextmanager
def readable_weights(base: str) -> Iterator[None]:
    """Check the weights of a base before the block loads them by transformers, where it is a folder; its errors about
    weights, of which those at the hub are the other kind, become a ModelError that names the base."""
    if Path(base).is_dir():
        check_weights(Path(base))
    try:
        yield
    except SafetensorError as error:
        raise ModelError(f"The weights of {base} are damaged ({error}): fetch the model again.") from error
    except RuntimeError as error:
        if "ignore_mismatched_sizes" not in str(error):
            raise
        raise ModelError(f"The weights of {base} are not those of its config.json: copy the model again.") from error


def read_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer of a MODEL folder; raises ModelError where it cannot be read."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise _no_tokenizer(str(folder)) from error
    check_vocabulary(found, str(folder))
    return found


def check_vocabulary(tokenizer: "PreTrainedTokenizerBase", where: str) -> None:
    """Raise ModelError for a tokenizer that knows no words, as transformers makes where a BERT's tokenizer.json is
    missing."""
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise _no_tokenizer(where)


def _no_tokenizer(where: str) -> ModelError:
    return ModelError(f"{where} has no tokenizer that can be read: copy all of the model's files.")


def damaged(file: Path) -> ModelError:
    """Return the error for a file of weights that cannot be read."""
    try:
        with file.open("rb") as opened:
            is_pointer = opened.read(len(POINTER)) == POINTER
    except OSError as error:
        return ModelError(f"{file} cannot be read as weights: {(error.strerror or str(error)).lower()}.")
    if is_pointer:
        return ModelError(f"{file} is a pointer of Git LFS, not weights: fetch them with `git lfs pull`.")
    return ModelError(f"{file} is damaged or cut short: copy the model again, or make it again.")


def _listed(index: Path) -> list[str]:
    """Return the files that the index of divided weights names; none without an index."""
    if not index.is_file():
        return []
    try:
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return sorted(set(named.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ModelError(f"{index} is no index of weights: copy the model again.") from error
