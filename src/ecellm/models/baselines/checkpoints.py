"""Checkpoints of the training loop, one file each, from which an interrupted fit resumes exactly."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ecellm.io.files import atomic_write

Weights = dict[str, Tensor]


@dataclass
class Reached:
    """How far a training loop is."""

    passes: int = 0
    best: float = -math.inf
    """The best validation score so far."""
    kept: Weights | None = None
    """The weights that reached it."""


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, reached: Reached) -> None:
    """Write weights, the optimizer's moments, the state of torch's random numbers and the progress."""
    tensors = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (reached.kept or {}).items()}
    for place, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{place}/{name}": tensor for name, tensor in moments.items()}
    tensors |= _random_state(model)
    # Copies, for safetensors refuses tensors that share their memory.
    copies = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    facts = {"passes": str(reached.passes), "best": repr(reached.best)}
    with atomic_write(path) as temporary:
        save_file(copies, temporary, metadata=facts)


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> Reached:
    """Restore model, optimizer and torch's random numbers, and return the progress that was saved."""
    with safe_open(path, framework="pt") as file:
        facts = file.metadata()
        # The file has no __iter__.
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    model.load_state_dict(_under("model", tensors))
    moments: dict[int, Weights] = {}
    for name, tensor in _under("optimizer", tensors).items():
        place, moment = name.split("/")
        moments.setdefault(int(place), {})[moment] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors:
        torch.cuda.set_rng_state(tensors["random/cuda"])
    device = next(model.parameters()).device
    kept = {name: tensor.to(device) for name, tensor in _under("best", tensors).items()}
    return Reached(int(facts["passes"]), float(facts["best"]), kept or None)


def _random_state(model: nn.Module) -> Weights:
    found = {"random/cpu": torch.get_rng_state()}
    if next(model.parameters()).device.type == "cuda":
        found["random/cuda"] = torch.cuda.get_rng_state()
    return found


def _under(prefix: str, tensors: Weights) -> Weights:
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
