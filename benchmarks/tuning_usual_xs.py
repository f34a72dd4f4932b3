"""How fast XS is tuned against the usual way: the same model, samples, optimiser and precision, in the same run.

    python benchmarks/tuning_usual_xs.py [--examples 512] [--rounds 3] [--precision auto]

The usual way is the paper's: `transformers.Trainer`, one sample to a micro-batch, gradients accumulated over as many
samples as our steps have on average, torch's fused attention. The samples are the simulated shop's. XS computes
word logits only where it writes, on both sides: the usual way's logits everywhere are not counted against it.
Expected before measuring: 2 to 3 times, from larger matrix products; ones of one sample need no padding.
Prints samples per second, the median ratio, the validation losses after the same samples, and our share of the
machine's rate of matrix products with a profile.
"""

import argparse
import tempfile
import time
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader

from arithmetic import BACK_TO_ACTIVATIONS, BACK_TO_WEIGHTS, FORWARD, inner_weights, product_rate, profiled
from ecellm.cli.build import build
from ecellm.cli.simulate import simulate
from ecellm.data.dataset import read_dataset, spread
from ecellm.models.training.rows import Rows
from ecellm.models.xs.encoder import torch_attention
from ecellm.models.xs.model import XSModel
from ecellm.models.xs.trainer import XSTrainer
from ecellm.models.xs.tuning import prepared
from ecellm.training.memory import freed_memory_kept
from ecellm.training.recipe import Recipe, read_recipe
from ecellm.types import DIVERSE


class UsualTrainer(XSTrainer):
    """One sample to a micro-batch, drawn at random."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(
            self.examples,  # type: ignore[arg-type]
            batch_size=1,
            shuffle=True,
            generator=torch.Generator().manual_seed(0),
            collate_fn=self._collate,
        )


def trainer_for(usual: bool, recipe: Recipe, rows: Rows, folder: Path) -> XSTrainer:
    torch.manual_seed(0)
    made = prepared(recipe, rows, folder, Console(quiet=True)).trainer
    made.args.save_strategy = made.args.eval_strategy = "no"
    made.args.load_best_model_at_end = False
    if usual:
        made.args.gradient_accumulation_steps = round(len(made.examples) / len(made.batches))
        made.network.attention = torch_attention
        made.__class__ = UsualTrainer
    return made


def run(trainer: XSTrainer) -> tuple[float, float]:
    """Tune; returns seconds and the validation loss at the end."""
    began = time.monotonic()
    trainer.train()
    seconds = time.monotonic() - began
    return seconds, trainer.evaluate()["eval_loss"]


def shop(folder: Path, count: int) -> Rows:
    simulate(out=folder / "sources", scale=1.0, seed=42)
    with as_file(files("ecellm.data.simulator").joinpath("demo.toml")) as config:
        build(sources=folder / "sources", config=config, out=folder / "dataset", seed=42)
    data = read_dataset(folder / "dataset")
    setting = f"IND_{DIVERSE}"
    return Rows(spread(data.view(setting, "train"), count, 0), spread(data.view(setting, "validation"), 400, 0))


def main(count: int, rounds: int, precision: str) -> None:
    changes = ["optimisation.epochs=1", f"optimisation.precision={precision}"]
    recipe = read_recipe("xs", changes)
    with tempfile.TemporaryDirectory() as space:
        rows = shop(Path(space), count)
        ratios, seconds = [], []
        for turn in range(rounds + 1):
            theirs, their_loss = run(trainer_for(True, recipe, rows, Path(space) / "usual"))
            with freed_memory_kept():
                own, own_loss = run(trainer_for(False, recipe, rows, Path(space) / "ours"))
            print(
                f"  usual {count / theirs:.1f} samples/s, validation loss {their_loss:.3f}; ours {count / own:.1f} "
                f"samples/s, {own_loss:.3f}{'' if turn else ' (to warm up)'}",
                flush=True,
            )
            if turn:
                ratios.append(theirs / own)
                seconds.append(own)
        print(f"  ratio {median(ratios):.2f} (median of {rounds})")
        _arithmetic(trainer_for(False, recipe, rows, Path(space) / "ours"), median(seconds))


def _arithmetic(trainer: XSTrainer, seconds: float) -> None:
    network: XSModel = trainer.network
    tokens = sum(trainer.batches.lengths)
    each = FORWARD + BACK_TO_ACTIVATIONS + BACK_TO_WEIGHTS
    done = each * inner_weights(network.bert) * tokens / seconds
    rate = product_rate(torch.bfloat16 if trainer.args.bf16 else torch.float32)
    print(f"  ours {done / 1e12:.3g} of {rate / 1e12:.3g} TFLOP/s of matrix products: {done / rate:.0%}; a step:")
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    trainer.current_gradient_accumulation_steps = 1
    prepared = trainer.accelerator.prepare_model(network)
    print(profiled(lambda: trainer.training_step(prepared, batch)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    given = parser.parse_args()
    main(given.examples, given.rounds, given.precision)
