"""How fast a causal model is tuned against the usual way: the same model, samples and precision, in the same run.

    python benchmarks/tuning_usual.py [--samples 256] [--rounds 3] [--precision auto] [--row-tokens 1024]

The usual way is the paper's: `transformers.Trainer`, micro-batch 1 with accumulation, padding to a multiple of 8,
logits at every place. Ours packs samples without padding and computes logits only where there is a response. Both
tune a randomly drawn Llama of 20 million parameters, whole, on samples of ECInstruct-like lengths (prompts of 60 to
900 tokens, half of them below 250; responses of 2 to 80), 64 to a step. Expected before measuring: little from
padding, for micro-batches of one have hardly any; most from the logits (a vocabulary of 32,000 at 300 places against
10) and from fewer, larger matrix products. Long rows cost attention between samples that is then masked: on a CPU
short rows are better. Prints samples per second of both, the median ratio and the losses at the end.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)

from ecellm.tuning.arguments import computes_in_bf16
from ecellm.tuning.language_trainer import LanguageTrainer
from ecellm.tuning.packing import Lesson
from ecellm.tuning.recipe import Recipe

WORDS, STEP = 32_000, 64
SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}


def samples(count: int) -> list[Lesson]:
    """Samples of like lengths as ECInstruct's, of arbitrary tokens; a response repeats the prompt's first ones."""
    draw = random.Random(1)
    found = []
    for number in range(count):
        length = min(900, max(60, int(draw.lognormvariate(5.5, 0.6))))
        prompt = [draw.randrange(3, WORDS) for _ in range(length)]
        response = [*prompt[: draw.choice((1, 1, 1, 2, 4, 20, 79))], 1]
        found.append(Lesson(str(number), "PM", prompt, response))
    return found


def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=WORDS, pad_token_id=0, **SHAPE))


def ours(some: list[Lesson], use_bf16: bool, tokens: int, folder: Path) -> tuple[float, float]:
    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "family": "causal",
            "base": "none",
            "optimisation": {"epochs": 1, "samples": STEP, "batch_tokens": tokens, "learning_rate": 1e-3},
        }
    )
    trainer = LanguageTrainer(model(), recipe, some, [], folder, use_bf16, 0)
    return _run(trainer)


def usual(some: list[Lesson], use_bf16: bool, folder: Path) -> tuple[float, float]:
    rows = [
        {
            "input_ids": [*lesson.prompt, *lesson.response],
            "labels": [*[-100] * len(lesson.prompt), *lesson.response],
            "attention_mask": [1] * lesson.length,
        }
        for lesson in some
    ]
    tokenizer = _tokenizer()
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=STEP,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.05,
        bf16=use_bf16,
        save_strategy="no",
        logging_steps=1000,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=False,
        use_cpu=not torch.cuda.is_available(),
    )
    collator = DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=8)
    return _run(Trainer(model=model(), args=arguments, train_dataset=rows, data_collator=collator))  # type: ignore[arg-type]


def _run(trainer: Trainer) -> tuple[float, float]:
    """Tune; returns seconds and the loss over the last step's samples, in the model's own terms."""
    began = time.monotonic()
    found: Any = trainer.train()
    return time.monotonic() - began, float(found.training_loss)


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<pad>": 0, "</s>": 1}, unk_token="<pad>")), pad_token="<pad>"
    )


def main(count: int, rounds: int, precision: str, tokens: int) -> None:
    use_bf16 = computes_in_bf16(precision)
    some = samples(count)
    total = sum(lesson.length for lesson in some)
    print(
        f"{sum(weight.numel() for weight in model().parameters()) / 1e6:.1f} million parameters, {count} samples of "
        f"{total / count:.0f} tokens, {'bf16' if use_bf16 else 'fp32'}"
    )
    ratios = []
    for turn in range(rounds + 1):
        with tempfile.TemporaryDirectory() as space:
            theirs, their_loss = usual(some, use_bf16, Path(space) / "usual")
            own, own_loss = ours(some, use_bf16, tokens, Path(space) / "ours")
        said = "" if turn else " (to warm up)"
        print(
            f"  usual {count / theirs:.1f} samples/s, mean loss {their_loss:.3f}; ours {count / own:.1f} samples/s, "
            f"mean loss {own_loss:.3f}{said}",
            flush=True,
        )
        if turn:
            ratios.append(theirs / own)
    print(f"  ratio {median(ratios):.2f} (median of {rounds})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--row-tokens", type=int, default=1024)
    given = parser.parse_args()
    main(given.samples, given.rounds, given.precision, given.row_tokens)
