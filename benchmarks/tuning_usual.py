"""How fast a causal model is tuned against the usual way: the same model, samples and precision, in the same run.

    python benchmarks/tuning_usual.py [--shape 20m] [--examples 256] [--rounds 3] [--row-tokens 4096]
    python benchmarks/tuning_usual.py --shape mistral-7b          (on a GPU of 80 GB)

The usual way is the paper's: `transformers.Trainer`, micro-batch 1 with accumulation, padding to a multiple of 8,
logits at every place. Ours packs samples without padding and computes logits only where there is a response. Both
tune a randomly drawn model on samples of ECInstruct-like lengths (prompts of 60 to 900 tokens, half of them below
250; responses of 2 to 80), 64 to a step: a Llama of 20 million parameters, whole, or a Mistral of 7 billion by the
paper's LoRA. Expected before measuring: little from padding, for micro-batches of one have hardly any; most from the
logits (a vocabulary of 32,000 at 300 places against 10) and from fewer, larger matrix products; on a GPU about 2.

Prints samples per second of both, the median ratio, the losses, ours as a share of the device's own rate of matrix
products (counting what must be computed: with LoRA forward and backward through activations), where the rest of a
step goes, and on a GPU the memory.
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
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import IntervalStrategy

from arithmetic import BACK_TO_ACTIVATIONS, BACK_TO_WEIGHTS, FORWARD, inner_weights, product_rate, profiled
from ecellm.models.training.arguments import computes_in_bf16
from ecellm.models.transformers.lora import adapted
from ecellm.models.transformers.packing import TokenisedExample
from ecellm.models.transformers.trainer import LanguageTrainer
from ecellm.training.memory import GIB, freed_memory_kept, peak_memory
from ecellm.training.recipe import Recipe, read_recipe

WORDS, STEP = 32_000, 64
HEADS = {"num_attention_heads": 8, "num_key_value_heads": 8}
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, **HEADS},
    "20m": {"hidden_size": 256, "intermediate_size": 688, "num_hidden_layers": 4, **HEADS},
    "mistral-7b": {
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
}
#: Tuned by the paper's LoRA; the others whole.
ADAPTED = ("tiny", "mistral-7b")


def examples(count: int) -> list[TokenisedExample]:
    """Samples of like lengths as ECInstruct's, of arbitrary tokens; a response repeats the prompt's first ones."""
    draw = random.Random(1)
    found = []
    for number in range(count):
        length = min(900, max(60, int(draw.lognormvariate(5.5, 0.6))))
        prompt = [draw.randrange(3, WORDS) for _ in range(length)]
        response = [*prompt[: draw.choice((1, 1, 1, 2, 4, 20, 79))], 1]
        found.append(TokenisedExample(str(number), "PM", prompt, response))
    return found


def model(shape: str, use_bf16: bool) -> Any:
    """A random model, on the accelerator where there is one; by LoRA its weights are in the precision computed in."""
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    by_lora = shape in ADAPTED
    kind = (MistralConfig, MistralForCausalLM) if by_lora else (LlamaConfig, LlamaForCausalLM)
    config = kind[0](vocab_size=WORDS, pad_token_id=0, tie_word_embeddings=False, **SHAPES[shape])
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if use_bf16 and by_lora and device == "cuda" else torch.float32)
    try:
        with torch.device(device):
            made: Any = kind[1](config)
    finally:
        torch.set_default_dtype(before)
    paper = read_recipe("m").lora
    assert paper is not None
    return adapted(made, paper, False) if by_lora else made


def our_trainer(
    shape: str, some: list[TokenisedExample], use_bf16: bool, tokens: int, folder: Path
) -> LanguageTrainer:
    recipe = Recipe.model_validate(
        {
            "name": "benchmark",
            "family": "causal",
            "base": "none",
            "lora": read_recipe("m").lora.model_dump() if shape in ADAPTED else None,  # type: ignore[union-attr]
            "optimisation": {"epochs": 1, "examples": STEP, "batch_tokens": tokens, "learning_rate": 1e-3},
        }
    )
    return LanguageTrainer(model(shape, use_bf16), recipe, some, [], folder, use_bf16, 0)


def usual_trainer(shape: str, some: list[TokenisedExample], use_bf16: bool, folder: Path) -> Trainer:
    rows = [
        {
            "input_ids": [*example.prompt, *example.response],
            "labels": [*[-100] * len(example.prompt), *example.response],
            "attention_mask": [1] * example.length,
        }
        for example in some
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
    network = model(shape, use_bf16)
    return Trainer(model=network, args=arguments, train_dataset=rows, data_collator=collator)  # type: ignore[arg-type]


def _run(trainer: Trainer) -> tuple[float, float, float]:
    """Tune; returns seconds, the mean loss, and on an accelerator the GiB at the peak."""
    trainer.remove_callback(PrinterCallback)
    trainer.args.save_strategy = IntervalStrategy.NO  # what is measured is tuning, not a disk
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    began = time.monotonic()
    found: Any = trainer.train()
    seconds = time.monotonic() - began
    return seconds, float(found.training_loss), peak_memory() / GIB


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel({"<pad>": 0, "</s>": 1}, unk_token="<pad>")), pad_token="<pad>"
    )


def main(shape: str, count: int, rounds: int, precision: str, row_tokens: int) -> None:
    use_bf16 = computes_in_bf16(precision)
    some = examples(count)
    tokens = sum(example.length for example in some)
    print(f"{shape}, {count} samples of {tokens / count:.0f} tokens, {'bf16' if use_bf16 else 'fp32'}")
    ratios, seconds = [], []
    for turn in range(rounds + 1):
        with tempfile.TemporaryDirectory() as space:
            folder = Path(space)
            theirs, their_loss, their_memory = _run(usual_trainer(shape, some, use_bf16, folder / "usual"))
            with freed_memory_kept():
                own, own_loss, own_memory = _run(our_trainer(shape, some, use_bf16, row_tokens, folder / "ours"))
        print(
            f"  usual {count / theirs:.1f} samples/s, mean loss {their_loss:.3f}; ours {count / own:.1f} samples/s "
            f"({tokens / own:,.0f} tokens/s), mean loss {own_loss:.3f}{'' if turn else ' (to warm up)'}",
            flush=True,
        )
        if torch.cuda.is_available():
            print(f"  at the peak {their_memory:.1f} GiB and {own_memory:.1f} GiB")
        if turn:
            ratios.append(theirs / own)
            seconds.append(own)
    print(f"  ratio {median(ratios):.2f} (median of {rounds})")
    _arithmetic(shape, some, use_bf16, row_tokens, median(seconds))


def _arithmetic(shape: str, some: list[TokenisedExample], use_bf16: bool, row_tokens: int, seconds: float) -> None:
    """Print what share of the device's rate ours reaches, counting what must be computed, and a step's profile."""
    with tempfile.TemporaryDirectory() as space:
        trainer = our_trainer(shape, some, use_bf16, row_tokens, Path(space))
        network: Any = trainer.model
        each = FORWARD + BACK_TO_ACTIVATIONS + (0 if shape in ADAPTED else BACK_TO_WEIGHTS)
        head = WORDS * SHAPES[shape]["hidden_size"]
        weighed = inner_weights(network) * sum(example.length for example in some)
        weighed += head * sum(len(example.response) for example in some)
        done = each * weighed / seconds
        device = trainer.args.device.type
        rate = product_rate(torch.bfloat16 if use_bf16 else torch.float32, device, 8192 if device == "cuda" else 2048)
        print(f"  ours {done / 1e12:.3g} of {rate / 1e12:.3g} TFLOP/s of matrix products: {done / rate:.0%}; a step:")
        prepared = trainer.accelerator.prepare_model(network)
        print(profiled(lambda: trainer.training_step(prepared, {"examples": some[:STEP]})))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=sorted(SHAPES), default="20m")
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--row-tokens", type=int, default=4096)
    given = parser.parse_args()
    main(given.shape, given.examples, given.rounds, given.precision, given.row_tokens)
