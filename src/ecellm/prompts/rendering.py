"""From a question to the text and tokens that a model sees, within a token budget.

One function, used in tuning, prediction and serving, so a model is always prompted the way it was tuned.
The text is tokenised as a whole; character offsets say which token belongs to which piece. What exceeds the
budget is truncated in the order that the task gives; instruction, letters and layout never are.
"""

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ecellm.errors import DataError
from ecellm.prompts.templates import Template
from ecellm.prompts.tokenizers import Tokenizer
from ecellm.tasks import TASKS
from ecellm.tasks.task import Piece
from ecellm.types import Example, Question

#: Texts tokenised in one call: enough to keep the tokenizer's threads busy, little memory.
TEXTS_AT_ONCE = 512

#: The rank of the one-shot example: it is dropped before anything that a task ranks (from 1).
SHOT_RANK = 0

SHOTS_DROPPED, PIECES_DROPPED, TOKENS_TRUNCATED = "worked examples dropped", "pieces dropped", "tokens truncated"

#: What must stay whole: an escape of JSON or of a Python string; a surrogate pair counts as one.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|U[0-9a-fA-F]{8}|.)",
    re.DOTALL,
)

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Mark:
    """Where a marked piece stands in the prompt's tokens: ids[start:end]."""

    name: str
    start: int
    end: int
    of: str | None = None
    """Which of the input's texts it belongs to."""


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt."""

    text: str
    ids: list[int]
    marks: tuple[Mark, ...] = ()
    contents: tuple[Mark, ...] = ()
    """The example's own texts: all that may be truncated, and marked pieces. Without a mark, named by index."""
    gaps: tuple[int, ...] = ()
    """Indices of the tokens before which something was truncated."""
    truncated: dict[str, int] = field(default_factory=dict)
    """Counts of what was truncated, such as {"pieces dropped": 3, "tokens truncated": 41, "worked examples dropped":
    1}; "tokens truncated" counts those taken off the ends of pieces."""


def render(question: Question, template: Template, tokenizer: Tokenizer, budget: int) -> Prompt:
    """Return the prompt of one question; see `render_all`."""
    return render_all([question], template, tokenizer, budget)[0]


def render_all(questions: Sequence[Question], template: Template, tokenizer: Tokenizer, budget: int) -> list[Prompt]:
    """Return the prompts of questions, each of at most `budget` tokens, special tokens included.

    What exceeds the budget is removed in this order: the worked example; then rank by rank, first the rank's
    droppable pieces, the last one first, then the ends of its other pieces, evenly.

    Raises DataError where the tokenizer gives no character offsets (it is not a fast one) and where what is
    never truncated does not fit.
    """
    if not tokenizer.is_fast:
        raise DataError("The tokenizer gives no character offsets: use a model with a fast tokenizer.")
    return [
        prompt
        for first in range(0, len(questions), TEXTS_AT_ONCE)
        for prompt in _render_some(questions[first : first + TEXTS_AT_ONCE], template, tokenizer, budget)
    ]


def layout(question: Question, template: Template) -> list[Piece]:
    """Return the whole prompt, before truncation, as pieces that are joined with nothing between."""
    example = question.example
    parts = TASKS[example.task].pieces(example)
    form = template.prompt_no_options if example.options is None else template.prompt_input
    pieces: list[Piece] = []
    for run in re.split(r"(\{(?:instruction|input|options)\})", form):
        if run == "{instruction}":
            pieces.append(Piece(question.instruction))
        elif run == "{input}":
            if question.shot is not None:
                pieces.append(Piece(_shot_text(question.shot), rank=SHOT_RANK))
            pieces += parts.input
        elif run == "{options}":
            pieces += parts.options
        else:
            pieces.append(Piece(run))
    return [piece for piece in pieces if piece.text]


def encode_response(text: str, tokenizer: Tokenizer) -> list[int]:
    """Return the response's tokens with the end token: prompt and response are tokenised apart and joined,
    so that no token spans the border."""
    ids = tokenizer(text, add_special_tokens=False).input_ids
    return [*ids, end_token(tokenizer)]


def end_token(tokenizer: Tokenizer) -> int:
    """Return the token that ends a response; raises DataError where the tokenizer has none."""
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else tokenizer.sep_token_id
    if end is None:
        raise DataError("The tokenizer has neither an end-of-text nor a separator token to end a response.")
    return int(end)


def _shot_text(shot: Example) -> str:
    """Return the worked example as it stands before the input."""
    lines = ["Example:", shot.input, *([shot.options] if shot.options is not None else [])]
    return "\n".join([*lines, f"Answer: {shot.output}", "Now answer this:", ""])


@dataclass
class _Draft:
    """A prompt that is being fitted into the budget."""

    example: Example
    pieces: list[Piece]
    kept: list[str]
    """What is left of each piece's text."""
    ends: list[list[int]] = field(default_factory=list)
    """Of each whole piece's tokens: where each ends, counted in characters from the piece's start."""
    to_remove: int = 0
    """Tokens of the whole prompt that have to go, as far as is known."""
    truncated: dict[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.kept)


def _render_some(
    questions: Sequence[Question], template: Template, tokenizer: Tokenizer, budget: int
) -> Iterator[Prompt]:
    drafts = []
    for question in questions:
        pieces = layout(question, template)
        drafts.append(_Draft(question.example, pieces, [piece.text for piece in pieces]))
    prompts: list[Prompt | None] = [None] * len(drafts)
    open_places = list(range(len(drafts)))
    while open_places:
        texts = [drafts[place].text for place in open_places]
        encoded = tokenizer(
            texts, return_offsets_mapping=True, verbose=False, add_special_tokens=template.special_tokens
        )
        still_open = []
        for place, ids, offsets in zip(open_places, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            draft = drafts[place]
            if len(ids) <= budget:
                prompts[place] = Prompt(
                    draft.text, ids, *_spans(draft, offsets), _gaps(draft, offsets), draft.truncated
                )
            else:
                _shorten(draft, offsets, len(ids) - budget, budget)
                still_open.append(place)
        open_places = still_open
    for prompt in prompts:
        assert prompt is not None
        yield prompt


def _shorten(draft: _Draft, offsets: Offsets, excess: int, budget: int) -> None:
    """Truncate the draft anew, from the whole, by the tokens of earlier rounds and `excess` more.

    What is left can make other tokens than the whole did, so this may take several rounds; each takes more.
    """
    ranked = [place for place, piece in enumerate(draft.pieces) if piece.rank is not None]
    if not any(draft.kept[place] for place in ranked):
        raise DataError(
            f"Example {draft.example.id} does not fit into {budget} tokens: what is never truncated takes "
            f"{budget + excess}; raise max_tokens to at least that."
        )
    if not draft.ends:
        draft.ends = _token_ends(draft.kept, offsets)
    draft.to_remove += excess
    counts = [len(ends) for ends in draft.ends]
    keep = _tokens_to_keep(draft.pieces, counts, draft.to_remove)
    removed = {SHOTS_DROPPED: 0, PIECES_DROPPED: 0, TOKENS_TRUNCATED: 0}
    for place in ranked:
        piece, most = draft.pieces[place], keep[place]
        draft.kept[place] = piece.text if most is None else _shortened(piece.text, draft.ends[place], most)
        if most is not None and piece.how == "drop":
            removed[SHOTS_DROPPED if piece.rank == SHOT_RANK else PIECES_DROPPED] += 1
        elif most is not None:
            removed[TOKENS_TRUNCATED] += counts[place] - most
    draft.truncated = {what: count for what, count in removed.items() if count}


def _tokens_to_keep(pieces: Sequence[Piece], counts: Sequence[int], remove: int) -> list[int | None]:
    """Return how many of its tokens each piece keeps so that `remove` go in all; None: it stays whole."""
    keep: list[int | None] = [None] * len(pieces)
    by_rank: dict[int, list[int]] = defaultdict(list)
    for place, piece in enumerate(pieces):
        if piece.rank is not None:
            by_rank[piece.rank].append(place)
    for _, places in sorted(by_rank.items()):
        for place in reversed(places):
            if pieces[place].how == "drop" and remove > 0:
                keep[place] = 0
                remove -= counts[place]
        ends = [place for place in places if pieces[place].how == "end"]
        total = sum(counts[place] for place in ends)
        if remove > 0:
            lengths = even_lengths([counts[place] for place in ends], max(0, total - remove))
            for place, most in zip(ends, lengths, strict=True):
                if most < counts[place] or remove >= total:
                    keep[place] = most
            remove -= total
    return keep


def even_lengths(lengths: Sequence[int], total: int) -> list[int]:
    """Shorten the longest of the lengths to one common length, within 1, so that all sum to `total`."""
    assert 0 <= total <= sum(lengths)
    left, kept = total, [0] * len(lengths)
    by_length = sorted(range(len(lengths)), key=lambda place: (lengths[place], -place))
    for done, place in enumerate(by_length):
        # The longest come last and share what is left; of equal ones the first gets the odd token.
        kept[place] = min(lengths[place], left // (len(by_length) - done))
        left -= kept[place]
    return kept


def _shortened(text: str, ends: Sequence[int], most: int) -> str:
    """Return the text of its first `most` tokens; an escape is dropped whole rather than split."""
    cut = ends[most - 1] if most else 0
    for escape in _ESCAPE.finditer(text) if "\\" in text else ():
        if escape.start() < cut < escape.end():
            cut = escape.start()
    return text[:cut]


def _token_ends(texts: Sequence[str], offsets: Offsets) -> list[list[int]]:
    """Return the ends of each text's tokens, in its own characters; a token belongs where it ends."""
    ends: list[list[int]] = [[] for _ in texts]
    place, start, after = 0, 0, len(texts[0])
    for first, end in offsets:
        while end > after:
            place += 1
            start, after = after, after + len(texts[place])
        if end > first:
            ends[place].append(end - start)
    return ends


def _gaps(draft: _Draft, offsets: Offsets) -> tuple[int, ...]:
    """Return the indices of the tokens before which something was truncated: of the first token after each gap."""
    if not draft.truncated:
        return ()
    found: list[int] = []
    end = 0
    for piece, text in zip(draft.pieces, draft.kept, strict=True):
        end += len(text)
        if len(text) < len(piece.text):
            after = (place for place, (start, stop) in enumerate(offsets) if stop > start and start >= end)
            found.append(next(after, len(offsets)))
    return tuple(dict.fromkeys(found))


def _spans(draft: _Draft, offsets: Offsets) -> tuple[tuple[Mark, ...], tuple[Mark, ...]]:
    """Return the token spans of the marked pieces that are left, and of all that are of the example itself: all
    tokens with a character of the piece."""
    real = [token for token, (start, end) in enumerate(offsets) if end > start]
    starts = [offsets[token][0] for token in real]
    ends = [offsets[token][1] for token in real]
    marks: list[Mark] = []
    contents: list[Mark] = []
    start = 0
    for place, (piece, text) in enumerate(zip(draft.pieces, draft.kept, strict=True)):
        end = start + len(text)
        if piece.mark is not None or piece.rank is not None:
            first, after = bisect_right(ends, start), bisect_left(starts, end)
            if first < after:
                span = real[first], real[after - 1] + 1
                contents.append(Mark(piece.mark or str(place), *span, piece.of))
                if piece.mark is not None:
                    marks.append(contents[-1])
        start = end
    return tuple(marks), tuple(contents)
