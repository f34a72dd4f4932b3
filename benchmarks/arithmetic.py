"""Counting arithmetic: the machine's rate of matrix products, what a step must compute, where its time goes."""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

#: Multiplications and additions a weight and token: 2 forward, 2 to the activations, 2 to the weights.
FORWARD, BACK_TO_ACTIVATIONS, BACK_TO_WEIGHTS = 2, 2, 2


def product_rate(dtype: torch.dtype, device: str = "cpu", size: int = 2048) -> float:
    """Return operations a second of a square matrix product, the median of seven."""
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    taken = []
    for _ in range(9):
        began = time.perf_counter()
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return 2 * size**3 / median(taken[2:])


def inner_weights(model: nn.Module, head: str = "lm_head") -> int:
    """Return how many weights the linear layers have, adapters and output head left out."""
    return sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lora_" not in name and not name.split(".base_layer")[0].endswith(head)
    )


def profiled(step: Callable[[], Any], rows: int = 8) -> str:
    """Return the operations that took most of one step's time, a line each."""
    cuda = torch.cuda.is_available()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=kinds) as found:
        step()

    def cost(event: Any) -> float:
        return float(event.self_device_time_total if cuda else event.self_cpu_time_total)

    events = sorted(found.key_averages(), key=cost, reverse=True)
    total = sum(cost(event) for event in events)
    lines = [f"    {cost(event) / total:5.1%}  {event.count:6,} times  {event.key[:60]}" for event in events[:rows]]
    return "\n".join(lines)
