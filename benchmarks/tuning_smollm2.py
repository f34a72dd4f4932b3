"""A tuning step of SmolLM2-135M on a CPU: what freezing and bf16 weights gain, each alone and together.

The reference is the same recipe with fp32 weights under autocast and nothing frozen. One thread, processor time, so
that a busy machine changes little; needs `make smollm2`. Expected before measuring: 1.4 times for the frozen half
(two thirds of its share of a step are saved), 1.3 for weights that are not cast, 1.8 together.

    python benchmarks/tuning_smollm2.py
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from ecellm.models.transformers.packing import TokenisedExample
from ecellm.models.transformers.trainer import LanguageTrainer
from ecellm.models.transformers.tuning import freeze, load_base
from ecellm.training.memory import freed_memory_kept
from ecellm.training.recipe import read_recipe

SAMPLES = 12
EMBEDDINGS, LAYERS, WEIGHTS = (
    f"optimisation.{key}" for key in ("freeze_embeddings=false", "freeze_layers=0", "bf16_weights=false")
)
WAYS = {
    "reference": [EMBEDDINGS, LAYERS, WEIGHTS],
    "bf16 weights": [EMBEDDINGS, LAYERS],
    "frozen embeddings": [LAYERS, WEIGHTS],
    "frozen embeddings and lower half": [WEIGHTS],
    "the recipe: all": [],
}


def examples() -> list[TokenisedExample]:
    """Prompts and responses of the lengths of the ten tasks, of random words."""
    draw = random.Random(0)
    lengths = [
        (draw.choice([60, 80, 100, 120, 150, 200, 400]), draw.choice([2, 2, 2, 3, 5, 30])) for _ in range(SAMPLES)
    ]
    words = range(20, 49_000)
    return [
        TokenisedExample(str(number), "PM", draw.choices(words, k=read), draw.choices(words, k=said))
        for number, (read, said) in enumerate(lengths)
    ]


def speeds(changes: list[str], rounds: int) -> list[float]:
    """Return tokens a processor-second of whole steps, the first one left out."""
    recipe = read_recipe("smollm2-135m", [*changes, "optimisation.precision=bf16"])
    rows = examples()
    tokens = sum(row.length for row in rows)
    found = []
    with tempfile.TemporaryDirectory() as folder, freed_memory_kept():
        model = load_base(recipe, True)
        freeze(model, recipe)
        trainer = LanguageTrainer(model, recipe, rows, [], Path(folder), True, 0)
        optimizer = trainer.create_optimizer()
        for _ in range(rounds + 1):
            began = time.process_time()
            trainer.training_step(model, {"examples": rows})
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            model.zero_grad()
            found.append(tokens / (time.process_time() - began))
    return found[1:]


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    reference = 0.0
    for name, changes in WAYS.items():
        speed = statistics.median(speeds(changes, rounds))
        reference = reference or speed
        print(f"{name:32} {speed:5.0f} tokens a processor-second, ratio {speed / reference:.2f}", flush=True)


if __name__ == "__main__":
    main()
