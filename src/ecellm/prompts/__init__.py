"""Prompts: their layout (`templates.py`), and their text and tokens within a token budget (`rendering.py`)."""

from ecellm.prompts.rendering import (
    PIECES_DROPPED,
    Mark,
    Prompt,
    encode_response,
    end_token,
    even_lengths,
    layout,
    render,
    render_all,
)
from ecellm.prompts.templates import CHAT, TEMPLATES, Template, chat_template, named_template, template_for
from ecellm.prompts.tokenizers import Tokenizer

__all__ = [
    "CHAT",
    "PIECES_DROPPED",
    "TEMPLATES",
    "Mark",
    "Prompt",
    "Template",
    "Tokenizer",
    "chat_template",
    "encode_response",
    "end_token",
    "even_lengths",
    "layout",
    "named_template",
    "render",
    "render_all",
    "template_for",
]
