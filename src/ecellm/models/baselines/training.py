"""The training loop that the small networks share: AdamW, a linear schedule, the best pass by validation kept."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from ecellm.io.hashing import keyed_hash, keyed_shuffle
from ecellm.models.baselines.base import Choices, FitProgress
from ecellm.models.baselines.checkpoints import Reached, load_checkpoint, save_checkpoint
from ecellm.models.lexical.task_files import Arrays
from ecellm.models.training.arguments import computes_in_bf16

T = TypeVar("T")
CLIP = 1.0
#: Batches of similar length are taken from pools of this many batches, so that they still differ from pass to pass.
POOL = 16


@dataclass(frozen=True)
class Course:
    """How weights are moved."""

    epochs: int
    learning_rate: float
    rows: int
    """In a batch."""
    head_learning_rate: float | None = None
    """Of the parts that were freshly drawn, the parameters outside `body`; the rate above where None."""
    weight_decay: float = 0.01
    warmup: float = 0.1
    """Share of the steps over which the rate rises from 0; it falls to 0 again by the end."""
    half: bool = False
    """bf16 where the device computes in it."""


@contextmanager
def seeded(seed: int, *parts: object) -> Iterator[None]:
    """A block in which torch draws by this seed; the state outside is restored after it."""
    number = int(keyed_hash(seed, *parts)[:15], 16)

    with torch.random.fork_rng():
        torch.manual_seed(number)
        yield


def train(
    model: nn.Module,
    rows: Sequence[T],
    loss: Callable[[list[T]], Tensor],
    score: Callable[[], float] | None,
    course: Course,
    choices: Choices,
    progress: FitProgress,
    length: Callable[[T], int] = lambda row: 0,
) -> None:
    """Train on the rows; `score()`, taken after each pass, is better the higher.

    The model is left in evaluation mode with the weights of its best pass (the first of equals), or of the last
    one where there is no score. Rows of like `length` come together. Where the choices name a file for it, a
    checkpoint is written after each pass, and a run resumes from one that is there: the result is the same.
    """
    device = next(model.parameters()).device
    batches_a_pass = math.ceil(len(rows) / course.rows)
    steps = course.epochs * batches_a_pass
    optimizer = torch.optim.AdamW(_groups(model, course), weight_decay=course.weight_decay)
    with seeded(choices.seed, "train"):
        begun = choices.begun
        reached = load_checkpoint(begun, model, optimizer) if begun and begun.is_file() else Reached()
        done, remark = reached.passes * batches_a_pass, _best_so_far(reached)
        model.eval()
        for epoch in range(reached.passes, course.epochs):
            model.train()
            for batch in batches(rows, course.rows, length, choices.seed, epoch):
                _set_rates(optimizer, course, done, steps)
                with half_precision(device.type, course.half):
                    value = loss(batch)
                optimizer.zero_grad(set_to_none=True)
                value.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(model.parameters(), CLIP)
                optimizer.step()
                done += 1
                progress(done, steps, remark)
            model.eval()
            reached.passes = epoch + 1
            if score is not None:
                remark = _scored(model, score, reached)
                progress(done, steps, remark)
            if begun:
                save_checkpoint(begun, model, optimizer, reached)
    if reached.kept is not None:
        model.load_state_dict(reached.kept)


def _scored(model: nn.Module, score: Callable[[], float], reached: Reached) -> str:
    """Take a pass's score, keep its weights where it is the best, and return a remark on it."""
    with torch.inference_mode():
        now = score()
    if now > reached.best:
        reached.best = now
        reached.kept = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    return f"validation {now:.3f}, {_best_so_far(reached)}"


def _best_so_far(reached: Reached) -> str:
    return f"best {reached.best:.3f}" if reached.kept is not None else ""


def _set_rates(optimizer: torch.optim.Optimizer, course: Course, done: int, steps: int) -> None:
    """Set the learning rates of the step that comes after `done` ones: a rise from 0, then a fall to 0."""
    rise = max(1, round(course.warmup * steps))
    share = min((done + 1) / rise, (steps - done) / max(1, steps - rise), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = group["highest"] * share


def half_precision(device: str, wanted: bool) -> AbstractContextManager[object]:
    """Return a block that computes in bf16 where that is wanted and the device does it itself."""
    if not wanted:
        return nullcontext()
    return torch.autocast(device, torch.bfloat16, enabled=computes_in_bf16("auto"))


def batches(rows: Sequence[T], size: int, length: Callable[[T], int], seed: int, epoch: int) -> list[list[T]]:
    """Return the rows of one pass in batches, shuffled by key; in a run of batches the rows are sorted by length."""
    order = keyed_shuffle(list(range(len(rows))), seed, "rows", epoch)
    made: list[list[T]] = []
    for first in range(0, len(order), size * POOL):
        pool = sorted(order[first : first + size * POOL], key=lambda place: length(rows[place]))
        made += [[rows[place] for place in pool[start : start + size]] for start in range(0, len(pool), size)]
    return keyed_shuffle(made, seed, "batches", epoch)


def arrays(model: nn.Module) -> Arrays:
    """Return a model's weights, by name."""
    return {name: tensor.detach().cpu().numpy() for name, tensor in model.state_dict().items()}


def restore(model: nn.Module, weights: Arrays) -> None:
    """Give a model weights that `arrays` returned; it is left in evaluation mode."""
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    model.eval()


def _groups(model: nn.Module, course: Course) -> list[dict[str, object]]:
    moved = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    body = [weight for name, weight in moved.items() if name.startswith("body.")]
    head = [weight for name, weight in moved.items() if not name.startswith("body.")]
    rates = [(body, course.learning_rate), (head, course.head_learning_rate or course.learning_rate)]
    return [{"params": weights, "lr": rate, "highest": rate} for weights, rate in rates if weights]
