"""Examples as a model sees them: the tokens, which of them are learned, and where the prompt was truncated."""

from collections.abc import Iterator, Sequence

from rich.text import Text
from transformers import PreTrainedTokenizerBase

from ecellm.models.families import tuning_of
from ecellm.prompts import Prompt, encode_response, render_all, template_for
from ecellm.training.recipe import Recipe
from ecellm.types import Example, Question

#: Neighbouring tokens differ in colour; those that are learned are of other colours than those that are read.
READ = ("white on grey23", "white on grey35")
LEARNED = ("black on green3", "black on spring_green2")
CUT = "[...]"


def shown(rows: Sequence[Question], recipe: Recipe) -> Iterator[Text]:
    """Yield each example as a text: a head line, the prompt's tokens, the response's after an arrow.

    Raises ConfigError as `template_for` and where the base's tokenizer cannot be had.
    """
    tokenizer = tuning_of(recipe.family).load_tokenizer(recipe)
    template = template_for(recipe.template, tokenizer)
    prompts = render_all(rows, template, tokenizer, recipe.max_tokens)
    for question, prompt in zip(rows, prompts, strict=True):
        example = question.example
        response = encode_response(example.output, tokenizer)
        kept = len(response[: recipe.max_response_tokens])
        text = Text()
        text.append(_head(example, prompt, kept, len(response)) + "\n", style="bold")
        words = _words(prompt.text, tokenizer, template.special_tokens)
        assert len(words) == len(prompt.ids), example.id
        _add(text, words, prompt.gaps, READ)
        learned = [*_words(example.output, tokenizer, False), str(tokenizer.convert_ids_to_tokens(response[-1]))]
        _add(text.append("\n-> "), learned[:kept], (kept,) if kept < len(response) else (), LEARNED)
        yield text.append("\n")


def _words(text: str, tokenizer: PreTrainedTokenizerBase, special_tokens: bool) -> list[str]:
    """Return each token's part of the text, with the spaces before it; special tokens as they are called."""
    encoded = tokenizer(text, return_offsets_mapping=True, add_special_tokens=special_tokens, verbose=False)
    words, after = [], 0
    for token, (start, end) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        words.append(text[after:end] if end > start else str(tokenizer.convert_ids_to_tokens(token)))
        after = max(after, end)
    return words


def _head(example: Example, prompt: Prompt, kept: int, response: int) -> str:
    truncated = [f"{name}: {count}" for name, count in sorted(prompt.truncated.items())]
    truncated += [f"response tokens: {response - kept}"] if kept < response else []
    note = f"; truncated: {', '.join(truncated)}" if truncated else ""
    return f"{example.id}: {len(prompt.ids)} tokens read, {kept} learned{note}"


def _add(text: Text, words: Sequence[str], gaps: Sequence[int], styles: tuple[str, str]) -> None:
    """Add tokens, in turns of two colours, with a mark where something was truncated."""
    for place, word in enumerate(words):
        if place in gaps:
            text.append(CUT, style="bold red")
        text.append(word, style=styles[place % 2])
    if len(words) in gaps:
        text.append(CUT, style="bold red")
