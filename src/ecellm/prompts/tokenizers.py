"""What rendering and encoding need of a tokenizer: a fast one of transformers has it, and so has XS's own."""

from typing import Any, Protocol


class Tokenizer(Protocol):
    """Turns texts into tokens and says which characters each stands for."""

    @property
    def is_fast(self) -> bool:
        """Whether it gives character offsets."""

    @property
    def eos_token_id(self) -> int | None:
        """The token that ends a text."""

    @property
    def sep_token_id(self) -> int | None:
        """The token that separates two texts."""

    @property
    def pad_token_id(self) -> int | None:
        """The token that fills up a batch."""

    def __call__(self, text: Any, *given: Any, **options: Any) -> Any:
        """Tokenise a text or several; the options are those of transformers. Returns `input_ids`, and
        `offset_mapping` where `return_offsets_mapping` is given."""

    def __hash__(self) -> int:
        """Tell tokenizers apart, for caches."""

    def get_vocab(self) -> dict[str, int]:
        """Return the id of each token."""

    def decode(self, ids: list[int], /, skip_special_tokens: bool = False) -> str | list[str]:
        """Return the text of tokens, one text of these."""
