"""From a sample to the text and tokens a model sees, within a token budget.

One function, used in tuning, prediction and serving, so a model is always asked the way it was tuned.
The text is tokenised as a whole; character offsets say which token belongs to which piece. What exceeds the
budget is cut in the order that the task gives; instruction, letters and layout are never cut.
"""

import bisect
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ecellm.dataset.dataset import Asked
from ecellm.records import Sample
from ecellm.tasks import TASKS
from ecellm.tasks.task import Piece


@dataclass(frozen=True)
class Mark:
    """Where a marked piece stands in the prompt's tokens: ids[start:end]."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt."""

    text: str
    ids: list[int]
    marks: tuple[Mark, ...] = ()
    cut: dict[str, int] = field(default_factory=dict)
    """What was cut to fit, such as {"pieces dropped": 3, "tokens cut": 41, "one-shot left out": 1}."""


class Template(BaseModel):
    """How instruction, input and options are laid out, in the JSON form of Alpaca-LoRA's templates."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    prompt_input: str
    """With {instruction}, {input} and {options}."""
    prompt_no_options: str
    """With {instruction} and {input}."""
    response_split: str
    """The answer is the text after the first of these, up to a second one."""


_PREAMBLE = (
    "An instruction states a task, an input gives what it is about. Write the response it asks for."
)
_ALPACA = "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n"
_OPTIONS = "### Options:\n{options}\n\n"

TEMPLATES: dict[str, Template] = {
    "compact": Template(
        prompt_input="{instruction}\n{input}\n{options}\n",
        prompt_no_options="{instruction}\n{input}\n",
        response_split="\n",
    ),
    "alpaca": Template(
        prompt_input=f"{_PREAMBLE}\n\n{_ALPACA}{_OPTIONS}### Response:\n",
        prompt_no_options=f"{_PREAMBLE}\n\n{_ALPACA}### Response:\n",
        response_split="### Response:",
    ),
    "mistral": Template(
        prompt_input=f"[INST] {_PREAMBLE}\n\n{_ALPACA}{_OPTIONS} [/INST] ### Response:",
        prompt_no_options=f"[INST] {_PREAMBLE}\n\n{_ALPACA} [/INST] ### Response:",
        response_split="### Response:",
    ),
}


def named_template(name: str) -> Template:
    """Return a template by name, or read one from a JSON file; raises ValueError for neither."""
    if name in TEMPLATES:
        return TEMPLATES[name]
    path = Path(name)
    if not (path.suffix == ".json" and path.is_file()):
        raise ValueError(
            f"There is no template {name!r}: name a .json file or one of {', '.join(TEMPLATES)}."
        )
    try:
        return Template.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is no template: it needs prompt_input, prompt_no_options, response_split."
        ) from error


def render(asked: Asked, template: Template, tokenizer: Any, budget: int) -> Prompt:
    """Return the prompt of one sample; see `render_all`."""
    return render_all([asked], template, tokenizer, budget)[0]


def render_all(asked: Sequence[Asked], template: Template, tokenizer: Any, budget: int) -> list[Prompt]:
    """Return the prompts of many samples, each of at most `budget` tokens, special tokens included.

    The tokenizer must be a fast one (it gives character offsets). Raises ValueError where even the parts that
    are never cut exceed the budget.
    """
    layouts = [_lay_out(one, template) for one in asked]
    if not layouts:
        return []
    encoded = tokenizer([layout.text for layout in layouts], return_offsets_mapping=True)
    prompts = []
    for one, layout, ids, offsets in zip(
        asked, layouts, encoded.input_ids, encoded.offset_mapping, strict=True
    ):
        if len(ids) <= budget:
            prompts.append(_prompt(layout, ids, offsets, {}))
        else:
            prompts.append(_fit(one, template, tokenizer, budget))
    return prompts


def encode_response(text: str, tokenizer: Any) -> list[int]:
    """Return the response's tokens with the end token: prompt and response are tokenised apart and joined,
    so that no token spans the border."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    return [*ids, end]


@dataclass(frozen=True)
class _Layout:
    """A prompt as pieces; the text is their join."""

    pieces: tuple[Piece, ...]

    @property
    def text(self) -> str:
        return "".join(piece.text for piece in self.pieces)


def _lay_out(asked: Asked, template: Template) -> _Layout:
    sample = asked.sample
    parts = TASKS[sample.task].pieces(sample)
    form = template.prompt_no_options if sample.options is None else template.prompt_input
    shot = _shot_text(asked.shot) if asked.shot is not None else ""
    pieces: list[Piece] = []
    for run in re.split(r"(\{instruction\}|\{input\}|\{options\})", form):
        if run == "{instruction}":
            pieces.append(Piece(asked.instruction + shot))
        elif run == "{input}":
            pieces += parts.input
        elif run == "{options}":
            pieces += parts.options
        elif run:
            pieces.append(Piece(run))
    return _Layout(tuple(pieces))


def _shot_text(shot: Sample) -> str:
    """Return the worked example in the published form: JSON with input, options (if any) and output."""
    values = {"input": shot.input, "options": shot.options, "output": shot.output}
    return "\nExample: " + json.dumps({key: value for key, value in values.items() if value is not None})


def _fit(asked: Asked, template: Template, tokenizer: Any, budget: int) -> Prompt:
    """Cut until the prompt fits: first the one-shot example, then pieces by rank."""
    cut: Counter[str] = Counter()
    if asked.shot is not None:
        asked = replace(asked, shot=None)
        cut["one-shot left out"] = 1
    layout = _lay_out(asked, template)
    while True:
        encoded = tokenizer(layout.text, return_offsets_mapping=True)
        ids, offsets = encoded.input_ids, encoded.offset_mapping
        excess = len(ids) - budget
        if excess <= 0:
            return _prompt(layout, ids, offsets, dict(cut))
        layout = _cut_once(layout, offsets, excess, cut, asked.sample, budget)


def _cut_once(
    layout: _Layout,
    offsets: Sequence[tuple[int, int]],
    excess: int,
    cut: Counter[str],
    sample: Sample,
    budget: int,
) -> _Layout:
    """Return the layout less `excess` tokens, or less all that its lowest rank can give."""
    ranks = [piece.rank for piece in layout.pieces if piece.rank is not None and piece.text]
    if not ranks:
        raise ValueError(
            f"Sample {sample.id} does not fit in {budget} tokens even with all that may be cut left out: "
            "raise max_tokens."
        )
    tokens = _tokens_by_piece(layout, offsets)
    lowest = min(ranks)
    places = [place for place, piece in enumerate(layout.pieces) if piece.rank == lowest and piece.text]
    pieces = list(layout.pieces)
    if pieces[places[0]].how == "drop":
        for place in places:
            if excess <= 0:
                break
            excess -= max(1, len(tokens[place]))
            cut["pieces dropped"] += 1
            pieces[place] = replace(pieces[place], text="")
        return _Layout(tuple(pieces))
    keep = _even_lengths([len(tokens[place]) for place in places], excess)
    changed = False
    for place, count in zip(places, keep, strict=True):
        if count < len(tokens[place]):
            cut["tokens cut"] += len(tokens[place]) - count
            pieces[place] = _shortened(pieces[place], tokens[place], offsets, count, _start(layout, place))
            changed = True
    if not changed:  # pieces without a token of their own (such as a lone space) give nothing: let them go
        for place in places:
            pieces[place] = replace(pieces[place], text="")
    return _Layout(tuple(pieces))


def _start(layout: _Layout, place: int) -> int:
    return sum(len(piece.text) for piece in layout.pieces[:place])


def _shortened(
    piece: Piece, tokens: Sequence[int], offsets: Sequence[tuple[int, int]], count: int, start: int
) -> Piece:
    """Return the piece with its first `count` tokens; a JSON escape is never cut in two."""
    if count == 0:
        return replace(piece, text="")
    text = piece.text[: offsets[tokens[count]][0] - start].rstrip()
    broken = re.search(r"(?<!\\)(?:\\\\)*(\\(?:u[0-9a-fA-F]{0,3})?)$", text)
    if broken:
        text = text[: broken.start(1)]
    lone = re.search(r"\\u[dD][89abAB][0-9a-fA-F]{2}$", text)  # the first half of a surrogate pair
    return replace(piece, text=text[: lone.start()] if lone else text)


def _even_lengths(lengths: Sequence[int], excess: int) -> list[int]:
    """Return how many tokens each piece keeps: the longest are shortened to one common length."""
    goal = max(0, sum(lengths) - excess)
    low, high = 0, max(lengths)
    while low < high:  # the largest common limit whose total stays within the goal
        middle = (low + high + 1) // 2
        if sum(min(length, middle) for length in lengths) <= goal:
            low = middle
        else:
            high = middle - 1
    keep = [min(length, low) for length in lengths]
    spare = goal - sum(keep)
    for place, length in enumerate(lengths):
        if spare > 0 and keep[place] < length:
            keep[place] += 1
            spare -= 1
    return keep


def _tokens_by_piece(layout: _Layout, offsets: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Return each piece's tokens: a token belongs to the piece in which it starts."""
    ends: list[int] = []
    total = 0
    for piece in layout.pieces:
        total += len(piece.text)
        ends.append(total)
    tokens: list[list[int]] = [[] for _ in layout.pieces]
    for token, (start, end) in enumerate(offsets):
        if end > start:
            tokens[bisect.bisect_right(ends, start)].append(token)
    return tokens


def _prompt(
    layout: _Layout, ids: list[int], offsets: Sequence[tuple[int, int]], cut: dict[str, int]
) -> Prompt:
    tokens = _tokens_by_piece(layout, offsets)
    marks = tuple(
        Mark(piece.mark, found[0], found[-1] + 1)
        for piece, found in zip(layout.pieces, tokens, strict=True)
        if piece.mark is not None and found
    )
    return Prompt(layout.text, list(ids), marks, cut)
