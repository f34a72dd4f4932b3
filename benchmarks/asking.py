"""How fast a model is asked: against the usual way, and against a bare forward pass over the same tokens.

    python benchmarks/asking.py [--model causal] [--examples 256] [--rounds 3] [--threads 1]
    python benchmarks/asking.py --model xs
    python benchmarks/asking.py --device cuda --shape mistral-7b --examples 512
    python benchmarks/asking.py --drift

The usual way is the paper's: `model.generate`, two left-padded prompts at a time, greedy, up to 100 tokens. A model
that was tuned stops by itself, after its answer: here, with weights drawn at random, generation is ended after as
many tokens as the right answers of the two take, which is when both would have stopped. One that was not tuned does
not stop. Ours is the generator that `ecellm predict` uses, with its batches. Same model, samples and precision, in
the same run, taken in turn; ratios are of each round, and their median is said.

The floor is a forward pass over the same tokens and no padding: all prompts end to end, cut into rows of their mean
length, logits at the last place only.

XS has no `generate`: its usual way is its own greedy writing of two prompts at a time, padded to the longer one and
read under a mask. Its floor reads causally, which is less than XS has to do: it reads its prompts both ways.

Expected before measuring: closed tasks gain the number of tokens written (2 to 12, or 100), and again from larger
batches; generation gains from larger batches alone, for a step of two rows costs about as much as one of sixty-four.
Against the floor closed tasks lose the padding left within batches of like length, and the masks of rankings.

`--drift` asks in bf16 one at a time and in batches, and says how far probabilities and answers move.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from transformers.utils import logging

from ecellm.inference.row_questions import row_question
from ecellm.models.base import Request
from ecellm.models.decoding.batching import batches
from ecellm.models.decoding.kv_cache import BatchCache
from ecellm.models.folder import ModelInfo, write_info
from ecellm.models.minilm import minilm_folder
from ecellm.models.transformers.generator import TransformersGenerator
from ecellm.models.xs.encoder import masked, torch_attention
from ecellm.models.xs.examples import TEXT, EncodedExample, encode_question
from ecellm.models.xs.generator import XSGenerator
from ecellm.models.xs.model import make_batch, warm_start
from ecellm.prompts import TEMPLATES, encode_response
from ecellm.tasks import TASKS
from ecellm.types import Question

CLOSED = ("PM", "PRP", "SA", "SR", "MPC", "PSI", "QPR", "AP")
#: The right answers, for their length.
ANSWERS = {
    "PM": "no",
    "PRP": "B",
    "SA": "B: positive",
    "SR": "K",
    "MPC": "B: The product is not what the query asks for, but could take its place",
    "PSI": "no",
    "QPR": "B,A,C",
    "AP": "yes",
}
MAX_NEW_TOKENS, TWO = 100, 2
#: Tokens in one pass of the floor: what is quickest.
FLOOR_TOKENS = {"cpu": 1024, "cuda": 8192}
BUDGET = {"causal": 2048, "xs": 320}
SHAPES: dict[str, dict[str, int]] = {
    "tiny": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
    "small": {
        "hidden_size": 256,
        "intermediate_size": 688,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
    },
    "mistral-7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}


def rows(tasks: Sequence[str], count: int) -> list[Question]:
    """Questions of like lengths as ECInstruct's, in turn of the tasks; the words are ordinary ones."""
    draw = random.Random(1)
    vocabulary = AutoTokenizer.from_pretrained(minilm_folder()).get_vocab()
    known = sorted(word for word in vocabulary if word.isalpha() and word.isascii() and len(word) > 2)

    def words(low: int, high: int) -> str:
        return " ".join(draw.choices(known, k=draw.randint(low, high)))

    made: dict[str, Callable[[], dict[str, Any]]] = {
        "PM": lambda: {
            f"{name}_{number}": words(3, most)
            for number in (1, 2)
            for name, most in (("title", 12), ("description", 45), ("brand", 4))
        },
        "PRP": lambda: {"title_1": words(5, 25), "title_2": words(5, 25)},
        "SA": lambda: {"text": words(10, 250)},
        "SR": lambda: {"history": [words(5, 25) for _ in range(8)], "options": [words(5, 25) for _ in range(20)]},
        "MPC": lambda: {"query": words(2, 6), "title": words(8, 25)},
        "PSI": lambda: {"query": words(2, 6), "title": words(8, 25)},
        "QPR": lambda: {"query": words(2, 6), "titles": [words(8, 25) for _ in range(draw.randint(2, 4))]},
        "AP": lambda: {"question": words(5, 20), "snippets": [words(20, 60) for _ in range(6)]},
        "AG": lambda: {"question": words(5, 20), "snippets": [words(20, 60) for _ in range(6)]},
        "AVE": lambda: {
            "title": words(8, 20),
            "description": words(20, 80),
            "attributes": [words(1, 2), words(1, 1)],
        },
    }
    order = [tasks[number % len(tasks)] for number in range(count)]
    return [row_question(TASKS[task], made[task](), f"{task}-{number}").question for number, task in enumerate(order)]


def save(kind: str, shape: str, half: bool, folder: Path, seed: int = 0) -> None:
    """Write a MODEL folder with random weights."""
    torch.manual_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    template = TEMPLATES["compact" if kind == "xs" else "alpaca"].model_dump()
    recipe = {"family": "xs" if kind == "xs" else "causal", "max_tokens": BUDGET[kind]}
    if kind == "xs":
        warm_start(minilm_folder()).to(torch.bfloat16 if half else torch.float32).save(folder)
    else:
        sizes = {**SHAPES[shape], "vocab_size": len(tokenizer), "max_position_embeddings": 4096}
        ends = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102, "tie_word_embeddings": False}
        with torch.device("cuda" if shape == "mistral-7b" else "cpu"):
            kinds = (MistralForCausalLM, MistralConfig) if shape == "mistral-7b" else (LlamaForCausalLM, LlamaConfig)
            model: Any = kinds[0](kinds[1](**sizes, **ends))
        model.to(torch.bfloat16 if half else torch.float32).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {"recipe": {**recipe, "max_response_tokens": MAX_NEW_TOKENS}, "template": template, "offsets": {}}
    write_info(folder, ModelInfo.model_validate(facts))


Asker = TransformersGenerator | XSGenerator


def ours(generator: Asker, questions: Sequence[Request]) -> None:
    for batch in batches(questions):
        generator.reply(batch)


def read_padded(generator: XSGenerator, examples: Sequence[EncodedExample]) -> tuple[BatchCache, Tensor, Tensor]:
    """Read XS's prompts padded to the longest; returns what `XSGenerator._read` does."""
    cache: BatchCache = []
    batch = make_batch(examples, 0)
    states = generator.model.states(batch, cache)
    last = states[torch.arange(len(examples)), batch.prompt_lengths - 1]
    return cache, generator.model.copy_pointer.key(states), last


@torch.inference_mode()
def usual(generator: Asker, questions: Sequence[Request], stops: bool) -> None:
    """Write answers two at a time."""
    for first in range(0, len(questions), TWO):
        some = questions[first : first + TWO]
        right = [encode_response(ANSWERS.get(one.question.example.task, ""), generator.tokenizer) for one in some]
        most = max(len(response) for response in right) if stops else MAX_NEW_TOKENS
        prompts = [one.prompt.ids for one in some]
        if isinstance(generator, XSGenerator):
            examples = [encode_question(one.question, one.prompt, generator.tokenizer) for one in some]
            for example in examples:
                example.kind = TEXT
            before, generator.max_new_tokens = generator.max_new_tokens, most
            generator._decode(examples, *read_padded(generator, examples))
            generator.max_new_tokens = before
            continue
        width = max(len(prompt) for prompt in prompts)
        ids = torch.tensor(
            [[0] * (width - len(prompt)) + prompt for prompt in prompts], device=generator.model.device
        )
        mask = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=generator.model.device
        )
        generator.model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=most,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
        )


@torch.inference_mode()
def floor(generator: Asker, questions: Sequence[Request]) -> None:
    """Read the same tokens, end to end, without padding."""
    stream = [token for one in questions for token in one.prompt.ids]
    length = max(1, len(stream) // len(questions))
    lines = torch.tensor(stream[: len(stream) // length * length]).view(-1, length).to(generator.model.device)
    at_once = max(1, FLOOR_TOKENS[lines.device.type] // length)
    for first in range(0, len(lines), at_once):
        ids = lines[first : first + at_once]
        if isinstance(generator, XSGenerator):
            stack = generator.model.bert
            words = stack.embeddings.word_embeddings(ids)
            positions = torch.arange(ids.shape[1], device=ids.device)[None]
            stack(words, torch.zeros_like(ids), positions, masked(torch_attention, None))
        else:
            generator.model(input_ids=ids, use_cache=False, logits_to_keep=1)


def seconds(work: Callable[[], None]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.monotonic()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic() - began


def compare(generator: Asker, name: str, tasks: Sequence[str], count: int, rounds: int, closed: bool) -> None:
    asked = rows(tasks, count)
    questions = [Request(one, prompt) for one, prompt in zip(asked, generator.prompts(asked), strict=True)]
    lengths = [len(one.prompt.ids) for one in questions]
    ways: dict[str, Callable[[], None]] = {
        "ours": lambda: ours(generator, questions),
        "usual, does not stop": lambda: usual(generator, questions, stops=False),
    }
    if closed:
        ways["usual, stops"] = lambda: usual(generator, questions, stops=True)
        ways["floor"] = lambda: floor(generator, questions)
    times: dict[str, list[float]] = {way: [] for way in ways}
    ours(generator, questions[: 2 * TWO])  # to warm up
    for _ in range(rounds):
        for way, work in ways.items():
            times[way].append(seconds(work))
    own = median(times["ours"])
    print(f"{name}: {count} samples of {sum(lengths) / count:.0f} tokens, ours {count / own:.1f} samples/s")
    for way in ways:
        if way != "ours":
            ratios = [theirs / mine for theirs, mine in zip(times[way], times["ours"], strict=True)]
            shown = [1 / ratio for ratio in ratios] if way == "floor" else ratios
            said = "ours takes {:.2f} times the floor" if way == "floor" else f"{way}: ours is {{:.1f}} times as fast"
            print(
                f"  {said.format(median(shown))} ({min(shown):.2f} to {max(shown):.2f} in {rounds} rounds)",
                flush=True,
            )


def drift(shape: str, device: str, count: int) -> None:
    """Say how far answers move between batches, in bf16 and in fp32."""
    with tempfile.TemporaryDirectory() as space:
        save("causal", shape, False, Path(space))
        generator = TransformersGenerator.from_folder(Path(space), device)
        with torch.no_grad():  # weights large enough that answers differ from row to row
            for weight in generator.model.parameters():
                weight.mul_(2.0)
        for kind in (torch.float32, torch.bfloat16):
            generator.model.to(kind)
            asked = rows(CLOSED, count)
            questions = [Request(one, prompt) for one, prompt in zip(asked, generator.prompts(asked), strict=True)]
            singly = {one.question.example.id: generator.reply([one])[0] for one in questions}
            together = {
                one.question.example.id: reply
                for batch in batches(questions)
                for one, reply in zip(batch, generator.reply(batch), strict=True)
            }
            moved = sorted(
                max(abs(reply.scores[text] - together[name].scores[text]) for text in reply.scores)  # type: ignore[index]
                for name, reply in singly.items()
                if reply.scores
            )
            changed = [name for name, reply in singly.items() if reply.text != together[name].text]
            close = [
                name
                for name, reply in singly.items()
                if reply.scores and len(reply.scores) > 1 and _lead(reply.scores) < moved[-1]
            ]
            print(
                f"{str(kind).removeprefix('torch.')}: {count} answers, one at a time and in batches: probabilities "
                f"move by {moved[len(moved) // 2]:.1e} (median), {moved[-1]:.1e} (most); {len(changed)} answers "
                f"change, {len(close)} lead by less than that most"
            )


def _lead(scores: dict[str, float]) -> float:
    best = sorted(scores.values())
    return best[-1] - best[-2]


def main(kind: str, shape: str, count: int, rounds: int, device: str) -> None:
    with tempfile.TemporaryDirectory() as space:
        save(kind, shape, device != "cpu", Path(space))
        generator = (XSGenerator if kind == "xs" else TransformersGenerator).from_folder(Path(space), device)
        size = sum(weight.numel() for weight in generator.model.parameters()) / 1e6
        name = next(generator.model.parameters()).dtype
        print(f"{kind}, {size:,.1f} million parameters, {name}, {device}, {torch.get_num_threads()} threads")
        compare(generator, "closed tasks", CLOSED, count, rounds, closed=True)
        compare(generator, "AG", ("AG",), max(TWO, count // 2), rounds, closed=False)
        compare(generator, "AVE", ("AVE",), max(TWO, count // 2), rounds, closed=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["causal", "xs"], default="causal")
    parser.add_argument("--shape", choices=list(SHAPES), default="small")
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--drift", action="store_true")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    logging.disable_progress_bar()
    if given.drift:
        drift(given.shape, given.device, given.examples)
    else:
        main(given.model, given.shape, given.examples, given.rounds, given.device)
