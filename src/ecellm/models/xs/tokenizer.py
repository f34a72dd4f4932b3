"""The tokenizer of a tuned XS, read with the `tokenizers` library alone, which imports in no time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from ecellm.errors import ModelError


@dataclass(frozen=True)
class TokenisedText:
    """One text's tokens, or those of several texts."""

    input_ids: list[int] | list[list[int]]
    offset_mapping: list[tuple[int, int]] | list[list[tuple[int, int]]]

    def __getitem__(self, name: str) -> object:
        return getattr(self, name)


class XSTokenizer:
    """What rendering and encoding call of a tokenizer of transformers."""

    is_fast = True
    eos_token_id = None

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self.pad_token_id = tokenizer.token_to_id("[PAD]")
        self.sep_token_id = tokenizer.token_to_id("[SEP]")

    @classmethod
    def load(cls, folder: Path) -> "XSTokenizer":
        """Read tokenizer.json; raises ModelError where it is missing or no tokenizer."""
        file = folder / "tokenizer.json"
        if not file.is_file():
            raise ModelError(f"{folder} lacks tokenizer.json: tune the model again or copy all of its files.")
        try:
            return cls(Tokenizer.from_file(str(file)))
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"{file} is not a tokenizer ({error}): copy the model's files again.") from error

    def __call__(
        self,
        text: str | Sequence[str],
        add_special_tokens: bool = True,
        return_offsets_mapping: bool = False,
        verbose: bool = False,
    ) -> TokenisedText:
        """Tokenise a text, or several, with their characters' offsets in either case."""
        if isinstance(text, str):
            one = self._tokenizer.encode(text, add_special_tokens=add_special_tokens)
            return TokenisedText(one.ids, one.offsets)
        many = self._tokenizer.encode_batch(list(text), add_special_tokens=add_special_tokens)
        return TokenisedText([each.ids for each in many], [each.offsets for each in many])

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""
        return self._tokenizer.get_vocab()

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """Return the text of tokens."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens)
