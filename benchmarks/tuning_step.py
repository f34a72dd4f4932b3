"""A tuning step of XS on a CPU: our plain attention against torch's fused one, everything else equal.

Expected before measuring: the fused kernel's bf16 backward takes half of a step (profiled), so about 1.5 times.

    python benchmarks/tuning_step.py
"""

import statistics
import time

import torch

from ecellm.models.cpu_attention import cpu_attention
from ecellm.models.minilm import minilm_folder
from ecellm.models.training.arguments import computes_in_bf16
from ecellm.models.xs.encoder import Attention, torch_attention
from ecellm.models.xs.examples import CHOICE, EncodedExample
from ecellm.models.xs.model import XSModel, make_batch, warm_start
from ecellm.models.xs.tuning import prepare
from ecellm.training.recipe import read_recipe

ROWS, TOKENS, ROUNDS = 32, 128, 7


def step_seconds(model: XSModel, attention: Attention, examples: list[EncodedExample]) -> float:
    model.attention = attention
    batch = make_batch(examples, pad=0)
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=computes_in_bf16("auto")):
        loss = model(batch.ids, batch.prompt_lengths, batch.lengths, examples).mean()
    loss.backward()
    model.zero_grad()
    return time.perf_counter() - began


def main() -> None:
    torch.manual_seed(0)
    model = warm_start(minilm_folder())
    prepare(model, read_recipe("xs"))
    model.train()
    ids = torch.randint(1000, 20_000, (ROWS, TOKENS)).tolist()
    examples = [EncodedExample(CHOICE, "PM", row, tokens=[2748, 2053]) for row in ids]
    for attention in (cpu_attention, torch_attention):
        step_seconds(model, attention, examples)
    ratios = []
    for _ in range(ROUNDS):
        ours, theirs = (step_seconds(model, attention, examples) for attention in (cpu_attention, torch_attention))
        ratios.append(theirs / ours)
        print(f"ours {ours:.3f} s ({ROWS * TOKENS / ours:,.0f} tokens/s), torch's fused attention {theirs:.3f} s")
    print(f"median ratio, fused / ours: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
