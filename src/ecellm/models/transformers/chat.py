"""Chats with a language model: its own layout of messages, and completions passed on as they are written."""

from typing import TYPE_CHECKING

from jinja2.exceptions import TemplateError
from torch import Tensor

from ecellm.errors import DataError, ModelError
from ecellm.models.base import Chat, ChatReply, Usage
from ecellm.models.decoding.generation import FreeTextWriter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

#: What a tokenizer writes for bytes that are no whole character yet.
UNFINISHED = "\ufffd"


def prompt_tokens(chat: Chat, tokenizer: "PreTrainedTokenizerBase", most: int) -> list[int]:
    """Return the tokens of a chat under the tokenizer's own template, without thinking.

    Raises ModelError where there is no template, and DataError where it refuses the messages or they have more than
    `most` tokens.
    """
    if not tokenizer.chat_template:
        raise ModelError("The model has no chat template, so it cannot chat: ask it the questions of its tasks.")
    messages = [{"role": message.role, "content": message.content} for message in chat.messages]
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except TemplateError as error:
        raise DataError(f"The model's chat template refuses the messages: {error}") from error
    ids = list(tokenizer(str(text), add_special_tokens=False).input_ids)
    if len(ids) >= most:
        raise DataError(f"The messages have {len(ids):,} tokens: the model reads fewer than {most:,}.")
    return ids


class ChatWriter(FreeTextWriter):
    """A completion that is passed on piece by piece, whole characters only, and ends before a stop text."""

    def __init__(self, chat: Chat, end: int, tokenizer: "PreTrainedTokenizerBase", most: int):
        super().__init__(chat.decoding, end, "chat")
        self.chat = chat
        self.tokenizer = tokenizer
        self.most = most
        self.count = 0
        """Tokens that were written."""
        self.text = ""
        self.ended = False
        """Whether the model or a stop text ended it."""
        self._passed = 0
        self._begun = self._settled = 0
        """The tokens [begun:settled] are decoded with what follows them, for the spaces between."""

    def take(self, logits: Tensor, best: int, margin: float) -> list[int]:
        """Choose a token, and pass on what can no longer change."""
        if self.chat.stopped():
            self.done = True
            return [self.end]
        tokens = super().take(logits, best, margin)
        self.count += 1
        self.ended = self.done and tokens[0] == self.end
        self.done = self.done or self.count >= self.most
        self._decode()
        self._end_at_stop()
        self._pass_on()
        return tokens

    def reply(self, read: int) -> ChatReply:
        """Return the completion of a prompt of so many tokens."""
        return ChatReply(self.text, "stop" if self.ended else "length", Usage(read, self.count))

    def _decode(self) -> None:
        before = self._text(self.ids[self._begun : self._settled])
        now = self._text(self.ids[self._begun :])
        if now.endswith(UNFINISHED) and not self.done:
            return
        self.text += now[len(before) :]
        self._begun, self._settled = self._settled, len(self.ids)

    def _text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _end_at_stop(self) -> None:
        places = [place for stop in self.chat.stop if (place := self.text.find(stop)) >= 0]
        if places:
            self.text = self.text[: min(places)]
            self.done = self.ended = True

    def _pass_on(self) -> None:
        """Pass on the text so far, but an end that may be the beginning of a stop text."""
        held = 0
        if not self.done:
            held = max((_overlap(self.text, stop) for stop in self.chat.stop), default=0)
        piece = self.text[self._passed : len(self.text) - held]
        if piece and self.chat.on_text is not None:
            self.chat.on_text(piece)
        self._passed += len(piece)


def _overlap(text: str, stop: str) -> int:
    """Return the length of the longest end of a text that a stop text begins with."""
    return next((size for size in range(min(len(stop), len(text)), 0, -1) if stop.startswith(text[-size:])), 0)
