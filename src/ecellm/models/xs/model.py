"""XS: one MiniLM stack as a prefix language model with pointers, small enough to be tuned on a CPU.

The prompt is read both ways, the response causally; the output is tied to the word embeddings. Three
pointers into the prompt do what a small stack cannot learn to spell from few examples: to an option, product or
snippet (its letter or text is the answer), to the span of a text field that holds an attribute's value, and to the
words that a free text copies (a pointer-generator, See et al. 2017). How the form was found: docs/notebook.md.

Shapes: B rows, T tokens, H hidden, K options, A attributes, R response positions, V words.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ecellm.errors import ModelError
from ecellm.io.files import atomic_write, set_default_mode
from ecellm.models.decoding.kv_cache import BatchCache
from ecellm.models.masking import NEVER
from ecellm.models.model_files import damaged
from ecellm.models.xs.encoder import Attention, Stack, XSConfig, draw_weights, masked, torch_attention, within_rows
from ecellm.models.xs.examples import CHOICE, MARKS, RANKING, SPANS, TEXT, EncodedExample, Span, compared_texts
from ecellm.models.xs.pointers import Pointer, WordScores
from ecellm.models.xs.spans import multi_label_loss, trusted_scores

#: How often a training row's known values are hidden, so that the stack also learns to find values that are new.
VALUE_DROPOUT = 0.5


#: The files of a model.
CONFIG, WEIGHTS = "config.json", "model.safetensors"


@dataclass
class Batch:
    """Rows padded to one length."""

    ids: Tensor
    """[B, T] token ids: prompt, then response."""
    prompt_lengths: Tensor
    """[B]"""
    lengths: Tensor
    """[B]"""
    examples: Sequence[EncodedExample]


class XSModel(nn.Module):
    """The model; calling it gives losses; `option_scores`, `span_scores` and `word_scores` are for inference."""

    def __init__(self, config: XSConfig):
        super().__init__()
        self.sizes = config
        self.attention: Attention = torch_attention
        """What attends where a mask is needed: in tuning, and token by token."""
        self.bert = Stack(config)
        size = config.hidden_size
        self.marks = nn.Embedding(len(MARKS), size)
        self.summary = nn.Linear(size, size)
        self.pair_features = nn.Linear(4 * size, size)
        self.pair = nn.Linear(size, size)
        self.answer = nn.Sequential(nn.Linear(size, size), nn.GELU(), nn.LayerNorm(size))
        self.word_bias = nn.Parameter(torch.zeros(config.vocab_size))
        self.option_pointer = Pointer(size)
        self.start_pointer = Pointer(size)
        self.end_pointer = Pointer(size)
        self.copy_pointer = Pointer(size)
        self.copy_gate = nn.Linear(size, 1)
        self.trust = nn.Parameter(torch.ones(1))

    @classmethod
    def load(cls, folder: Path) -> "XSModel":
        """Return the model that `save` wrote to a folder, in evaluation mode; raises ModelError where its files are
        of another."""
        # Weights drawn for nothing take a tenth of a second; torch's meta device takes two, for what it imports.
        model = cls(read_config(folder))
        try:
            model.load_state_dict(read_weights(folder))
        except RuntimeError as error:  # names or shapes
            raise ModelError(f"{folder / WEIGHTS} does not hold the weights of an XS model: {error}") from error
        return model.eval()

    def save(self, folder: Path) -> None:
        """Write weights and configuration."""
        save_file(self.state_dict(), folder / WEIGHTS, metadata={"format": "pt"})
        set_default_mode([folder / WEIGHTS])
        described = {"model_type": "ecellm_xs", "architectures": ["XSModel"], **self.sizes.model_dump()}
        with atomic_write(folder / CONFIG) as temporary:
            temporary.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.word_bias.device

    def start_as_dot_products(self) -> None:
        """Make every pointer a plain dot product of states: MiniLM was trained to compare means by just that.

        Marks and the comparison of two texts begin as nothing.
        """
        with torch.no_grad():
            self.marks.weight.zero_()
            self.pair.weight.zero_()
            self.summary.weight.copy_(torch.eye(len(self.summary.weight)))
            for pointer in (self.option_pointer, self.start_pointer, self.end_pointer, self.copy_pointer):
                pointer.query.weight.copy_(torch.eye(len(pointer.query.weight)))
                pointer.key.weight.copy_(torch.eye(len(pointer.key.weight)))

    def states(self, batch: Batch, cache: BatchCache | None = None) -> Tensor:
        """Return the last layer's states, [B, T, H]: prompt tokens see the prompt, response tokens see the
        prompt and what was written before.

        Which words two of the example's texts share, and which differ, is given to the stack by learned vectors:
        exact matches are what it is slowest to find by itself (MarkedBERT, Boualili et al. 2020, marks them too).
        """
        width = batch.ids.shape[1]
        mask = prefix_mask(batch.prompt_lengths, batch.lengths, width)
        positions = torch.arange(width, device=batch.ids.device)
        types = positions >= batch.prompt_lengths[:, None]
        marks = _padded([example.marks for example in batch.examples], width, 0).to(batch.ids.device)
        words = self.bert.embeddings.word_embeddings(batch.ids)
        attend = masked(self.attention, mask)
        found: Tensor = self.bert(words + self.marks(marks), types.long(), positions[None], attend, cache)
        return found

    def prompt_states(self, examples: Sequence[EncodedExample], cache: BatchCache | None = None) -> list[Tensor]:
        """Return the last layer's states of prompts alone, [T, H] each, as `states` does but for rounding: read end
        to end as one row of all their tokens, without padding. Keys and values are cached so, too.
        """
        device = self.device
        lengths = [len(example.ids) for example in examples]
        ids = torch.tensor([token for example in examples for token in example.ids], device=device)
        marks = torch.tensor([mark for example in examples for mark in example.marks], device=device)
        places = torch.cat([torch.arange(length) for length in lengths]).to(device)
        words = self.bert.embeddings.word_embeddings(ids)
        states = self.bert(
            (words + self.marks(marks))[None],
            torch.zeros_like(ids)[None],
            places[None],
            within_rows(lengths),
            cache,
        )
        return list(states[0].split(lengths))

    def next_states(self, words: Tensor, places: Tensor, seen: Tensor, cache: BatchCache) -> Tensor:
        """Return the states [B, H] of the next word of each response, ids [B] at positions [B], behind what the cache
        holds; `seen` [B, K] says which of that it sees, itself included."""
        embedded = self.bert.embeddings.word_embeddings(words)[:, None]
        attend = masked(self.attention, torch.where(seen, 0.0, NEVER)[:, None, None])
        states: Tensor = self.bert(embedded, torch.ones_like(places)[:, None], places[:, None], attend, cache)
        return states[:, 0]

    def answer_states(self, states: Tensor, batch: Batch) -> Tensor:
        """Return [B, H]: the state from which a choice is made, of the prompt's last token, the mean of the
        prompt without its options, which would make it similar to all of them, and, where two texts are compared, of
        both their means."""
        inside = question_places(batch).to(states.device)
        weights = inside.to(states.dtype) / inside.sum(1, keepdim=True)
        mean = (states * weights[:, :, None]).sum(1)
        last = states[torch.arange(len(states), device=states.device), batch.prompt_lengths - 1]
        answers = last + self.summary(mean)
        pairs = {row: spans for row, example in enumerate(batch.examples) if (spans := compared_texts(example))}
        if pairs:
            rows = list(pairs)
            left, right = text_means(states[rows], list(pairs.values())).unbind(1)
            features = self.pair_features(torch.cat([left, right, (left - right).abs(), left * right], -1))
            compared = self.pair(functional.gelu(features))
            answers = answers.index_add(0, torch.tensor(rows, device=states.device), compared.to(answers.dtype))
        return answers

    def option_scores(self, states: Tensor, answers: Tensor, batch: Batch, rows: list[int]) -> Tensor:
        """Return the scores of the options of the given rows, [len(rows), K], NEVER where a row has fewer."""
        examples = [batch.examples[row] for row in rows]
        most = max(len(example.tokens) for example in examples)
        device = states.device
        tokens = _padded([example.tokens for example in examples], most, 0).to(device)
        real = _padded([[1] * len(example.tokens) for example in examples], most, 0).to(device).bool()
        asking = answers[rows]
        words = self.answer(asking)
        embedded = self.bert.embeddings.word_embeddings(tokens)
        scores = torch.einsum("rh,rkh->rk", words, embedded) + self.word_bias[tokens]
        pointing = [place for place, example in enumerate(examples) if example.options]
        if pointing:
            spans = [[*examples[place].options] for place in pointing]
            bodies = span_means(states[[rows[place] for place in pointing]], spans, most)
            pointed = self.option_pointer(asking[pointing][:, None], bodies)[:, 0]
            scores = scores.index_add(0, torch.tensor(pointing, device=device), pointed.to(scores.dtype))
        return scores.float().masked_fill(~real, NEVER)

    def span_scores(self, states: Tensor, answers: Tensor, batch: Batch, row: int) -> tuple[Tensor, Tensor]:
        """Return start and end scores of one row's attributes, [A, T + 1] each; the last place is None."""
        example = batch.examples[row]
        spans = [example.attributes]
        asking = span_means(states[row : row + 1], spans, len(example.attributes))[0] + answers[row]
        keys = torch.cat([states[row], answers[row : row + 1]])
        inside = torch.zeros(len(keys), dtype=torch.bool, device=states.device)
        for start, end in example.fields:
            inside[start:end] = True
        inside[-1] = True
        start = self.start_pointer(asking, keys).float()
        end = self.end_pointer(asking, keys).float()
        if example.trusted and not (self.training and torch.rand(()) < VALUE_DROPOUT):
            at_start, at_end = (given.to(start) for given in trusted_scores(example, start.shape))
            start, end = start + self.trust * at_start, end + self.trust * at_end
        return start.masked_fill(~inside, NEVER), end.masked_fill(~inside, NEVER)

    def word_scores(self, copied: Tensor, writing: Tensor, prompts: Tensor, inside: Tensor) -> WordScores:
        """Return how the next word is chosen at writing states [N, R, H], given the copy pointer's keys of
        the prompt's states [N, T, H].

        `prompts` [N, T] are the prompt's ids, `inside` [N, T] says which places may be copied.
        """
        words = functional.linear(self.answer(writing), self.bert.embeddings.word_embeddings.weight, self.word_bias)
        pointed = self.copy_pointer.scores(writing, copied).float().masked_fill(~inside[:, None], NEVER)
        gate = self.copy_gate(writing).float()
        return WordScores(
            functional.logsigmoid(-gate) + words.float().log_softmax(-1),
            functional.logsigmoid(gate) + pointed.log_softmax(-1),
            prompts,
        )

    def forward(
        self, ids: Tensor, prompt_lengths: Tensor, lengths: Tensor, examples: Sequence[EncodedExample]
    ) -> Tensor:
        """Return each row's loss, [B]: the mean over its attributes or response words, else one choice."""
        batch = Batch(ids, prompt_lengths, lengths, examples)
        states = self.states(batch)
        return self.losses(states, self.answer_states(states, batch), batch)

    def losses(self, states: Tensor, answers: Tensor, batch: Batch) -> Tensor:
        """Return each row's loss, [B], given its states."""
        losses = states.new_zeros(len(batch.examples), dtype=torch.float32)
        for kind, loss_of in (
            (CHOICE, self._choice_losses),
            (RANKING, self._ranking_losses),
            (SPANS, self._span_losses),
            (TEXT, self._text_losses),
        ):
            rows = [row for row, example in enumerate(batch.examples) if example.kind == kind]
            if rows:
                found = loss_of(states, answers, batch, rows)
                losses = losses.index_add(0, torch.tensor(rows, device=losses.device), found)
        return losses

    def _choice_losses(self, states: Tensor, answers: Tensor, batch: Batch, rows: list[int]) -> Tensor:
        scores = self.option_scores(states, answers, batch, rows)
        labels = torch.tensor([batch.examples[row].label for row in rows], device=states.device)
        return functional.cross_entropy(scores, labels, reduction="none")

    def _ranking_losses(self, states: Tensor, answers: Tensor, batch: Batch, rows: list[int]) -> Tensor:
        """Plackett-Luce: the best is chosen of all, then the next best of the rest, and so on."""
        scores = self.option_scores(states, answers, batch, rows)
        losses = []
        for place, row in enumerate(rows):
            ordered = scores[place, batch.examples[row].order]
            rest = ordered.flip(0).logcumsumexp(0).flip(0)
            losses.append((rest - ordered).sum())
        return torch.stack(losses)

    def _span_losses(self, states: Tensor, answers: Tensor, batch: Batch, rows: list[int]) -> Tensor:
        """Starts and ends of values against all other places, each measured by the place that stands for None."""
        losses = []
        for row in rows:
            start, end = self.span_scores(states, answers, batch, row)
            right_start = torch.zeros(start.shape, dtype=torch.bool)
            right_end = torch.zeros(end.shape, dtype=torch.bool)
            for place, spans in enumerate(batch.examples[row].values):
                for first, after in spans:
                    right_start[place, first] = right_end[place, after - 1] = True
            losses.append((multi_label_loss(start, right_start) + multi_label_loss(end, right_end)).mean())
        return torch.stack(losses)

    def _text_losses(self, states: Tensor, answers: Tensor, batch: Batch, rows: list[int]) -> Tensor:
        examples = [batch.examples[row] for row in rows]
        most = max(len(example.response) for example in examples)
        targets = _padded([example.response for example in examples], most, 0).to(states.device)
        real = _padded([[1] * len(example.response) for example in examples], most, 0).to(states.device)
        first = batch.prompt_lengths[rows] - 1
        places = (first[:, None] + torch.arange(most, device=states.device)).clamp(max=states.shape[1] - 1)
        here = states[rows]
        writing = here.gather(1, places[:, :, None].expand(-1, -1, here.shape[-1]))
        inside = torch.arange(states.shape[1], device=states.device) < batch.prompt_lengths[rows][:, None]
        found = self.word_scores(self.copy_pointer.key(here), writing, batch.ids[rows], inside).of(targets)
        losses = -(found * real).sum(1) / real.sum(1)
        quoting = [place for place, example in enumerate(examples) if example.has_candidates]
        if not quoting:
            return losses
        chosen = self._choice_losses(states, answers, batch, [rows[place] for place in quoting])
        return losses.index_add(0, torch.tensor(quoting, device=losses.device), chosen)


def prefix_mask(prompt_lengths: Tensor, lengths: Tensor, width: int) -> Tensor:
    """Return the additive mask [B, 1, T, T]: 0 where a token may look, NEVER where not."""
    places = torch.arange(width, device=lengths.device)
    seen = places[None, None, :] < prompt_lengths[:, None, None]
    written = (places[None, None, :] <= places[None, :, None]) & (
        places[None, :, None] >= prompt_lengths[:, None, None]
    )
    allowed = (seen | written) & (places[None, None, :] < lengths[:, None, None])
    return torch.where(allowed, 0.0, NEVER)[:, None]


def question_places(batch: Batch) -> Tensor:
    """Return [B, T]: which tokens are of the prompt and of none of its options."""
    inside = torch.zeros(batch.ids.shape, dtype=torch.bool)
    for row, example in enumerate(batch.examples):
        inside[row, : len(example.ids)] = True
        for start, end in example.options:
            inside[row, start:end] = False
    return inside


def span_means(states: Tensor, spans: Sequence[Sequence[tuple[int, int]]], most: int) -> Tensor:
    """Return the mean state of each span, [N, most, H], of states [N, T, H]; zeros where a row has fewer."""
    weights = torch.zeros(len(spans), most, states.shape[1], dtype=states.dtype, device=states.device)
    for row, row_spans in enumerate(spans):
        for place, (start, end) in enumerate(row_spans):
            weights[row, place, start:end] = 1 / max(1, end - start)
    return torch.bmm(weights, states)


def text_means(states: Tensor, texts: Sequence[Sequence[Sequence[Span]]]) -> Tensor:
    """Return the mean state of each text, [N, 2, H], of states [N, T, H] and each row's two texts as spans."""
    weights = torch.zeros(len(texts), 2, states.shape[1], dtype=states.dtype, device=states.device)
    for row, both in enumerate(texts):
        for place, spans in enumerate(both):
            tokens = sum(end - start for start, end in spans)
            for start, end in spans:
                weights[row, place, start:end] = 1 / tokens
    return torch.bmm(weights, states)


def read_config(folder: Path) -> XSConfig:
    """Return the sizes in a folder's config.json; raises ModelError where they are missing or no BERT's."""
    file = folder / CONFIG
    try:
        return XSConfig.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise ModelError(f"{folder} lacks {CONFIG}: copy all of the model's files.") from error
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise ModelError(f"{file} is not the configuration of a BERT-like model ({where or 'no JSON'}).") from error


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the weights in a folder; raises ModelError where they are missing or cannot be read."""
    try:
        return load_file(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise damaged(folder / WEIGHTS) from error


def warm_start(folder: Path) -> XSModel:
    """Return an XSModel whose stack is that of a BERT-like encoder's folder; the rest is freshly drawn.

    Raises ModelError where the folder holds no such encoder.
    """
    config = read_config(folder)
    model = XSModel(config)
    draw_weights(model, config.initializer_range)
    # A model with a head for masked words holds the encoder under this name.
    weights = {name.removeprefix("bert."): weight for name, weight in read_weights(folder).items()}
    wanted = model.bert.state_dict()
    missing = wanted.keys() - weights.keys()
    if missing:
        raise ModelError(f"{folder / WEIGHTS} is not that of a BERT-like encoder: it lacks {min(missing)}.")
    model.bert.load_state_dict({name: weights[name] for name in wanted})
    model.start_as_dot_products()
    return model


def make_batch(examples: Sequence[EncodedExample], pad: int, device: torch.device | str = "cpu") -> Batch:
    """Pad examples, each with its response if it has one, to one batch."""
    rows = [example.ids + example.response for example in examples]
    width = max(len(row) for row in rows)
    return Batch(
        _padded(rows, width, pad).to(device),
        torch.tensor([len(example.ids) for example in examples], device=device),
        torch.tensor([len(row) for row in rows], device=device),
        examples,
    )


def _padded(rows: Sequence[Sequence[int]], width: int, fill: int) -> Tensor:
    return torch.tensor([[*row, *[fill] * (width - len(row))] for row in rows])
