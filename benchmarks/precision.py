"""Asking on a CPU in bf16 and int8 against fp32: how much faster, and how far the answers move.

    python benchmarks/precision.py [--rows 200] [--rounds 5] [--threads 1]
    python benchmarks/precision.py --model MODEL --data DATASET
    python benchmarks/precision.py --causal

Without a model XS is tuned here on 500 rows of the simulated shop, which takes a minute or two; `--causal` asks a
19-million-parameter causal model with random weights the same rows instead, whose times are those of a tuned one and
whose answers mean nothing. The rows are test rows of the shop, spread over the ten tasks, asked in the batches of
`ecellm predict`. All precisions are warmed up, then take turns; ratios are of each round and their median is said, by
the clock and by the processor's time, which neighbours disturb less.

Expected before measuring, on a processor with AVX512-BF16 and VNNI: linear layers are four fifths of XS's time;
their products alone run twice as fast in bf16 and four times in int8, so about 1.6 and 2.2 times for the whole.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from statistics import median
from typing import get_args

import torch

from asking import save
from ecellm.cli.build import build
from ecellm.cli.simulate import simulate
from ecellm.data.dataset import Dataset, read_dataset, spread
from ecellm.models.base import Decoding, Generator, Reply
from ecellm.models.load import best_device, load_generator
from ecellm.models.precision import FP32, Precision
from ecellm.models.replies import replies_to
from ecellm.tasks import TASKS
from ecellm.training.recipe import read_recipe
from ecellm.training.tune import tune
from ecellm.types import SETTINGS, Question

TUNING_ROWS = 500


def shop(folder: Path) -> Dataset:
    """The simulated shop's dataset."""
    simulate(out=folder / "sources")
    with as_file(files("ecellm.data.simulator").joinpath("demo.toml")) as config:
        build(sources=folder / "sources", config=config, out=folder / "data")
    return read_dataset(folder / "data")


def answers(generator: Generator, rows: Sequence[Question]) -> list[Reply]:
    return [reply for reply in replies_to(generator, rows) if isinstance(reply, Reply)]


def times(generators: dict[Precision, Generator], rows: Sequence[Question], rounds: int) -> None:
    """Print how long each precision takes, and the median ratio to fp32."""
    clock: dict[Precision, list[float]] = defaultdict(list)
    busy: dict[Precision, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for precision, generator in generators.items():
            began, worked = time.perf_counter(), time.process_time()
            replies_to(generator, rows)
            clock[precision].append(time.perf_counter() - began)
            busy[precision].append(time.process_time() - worked)
    for precision in generators:
        by_clock, by_processor = (
            [exact / lowered for exact, lowered in zip(taken[FP32], taken[precision], strict=True)]
            for taken in (clock, busy)
        )
        spread_of = f"{min(by_clock):.2f} to {max(by_clock):.2f} in {rounds} rounds"
        print(
            f"{precision}: {len(rows) / median(clock[precision]):.1f} questions/s; {median(by_clock):.2f} times as "
            f"fast as fp32 by the clock ({spread_of}), {median(by_processor):.2f} by processor time",
            flush=True,
        )


def drift(precision: Precision, rows: Sequence[Question], exact: Sequence[Reply], lowered: Sequence[Reply]) -> None:
    """Print how far probabilities move, and the share of equal answers by task."""
    moved = sorted(
        max(abs(one.scores[text] - other.scores[text]) for text in one.scores)
        for one, other in zip(exact, lowered, strict=True)
        if one.scores and other.scores
    )
    equal: dict[str, list[bool]] = defaultdict(list)
    for row, one, other in zip(rows, exact, lowered, strict=True):
        equal[row.example.task].append(one.text == other.text)
    total = [same for found in equal.values() for same in found]
    by_task = ", ".join(f"{task} {sum(equal[task])}/{len(equal[task])}" for task in TASKS if task in equal)
    print(
        f"{precision}: probabilities move by {moved[-1]:.1e} at most, {median(moved):.1e} in the median; "
        f"{sum(total)}/{len(total)} answers equal ({by_task})"
    )


def main(model: Path | None, data: Path | None, causal: bool, count: int, rounds: int) -> None:
    if best_device() != "cpu":
        raise SystemExit("This benchmark is of CPUs: hide the accelerator (CUDA_VISIBLE_DEVICES=).")
    with tempfile.TemporaryDirectory() as space:
        dataset = shop(Path(space)) if data is None else read_dataset(data)
        if model is None:
            model = Path(space) / "model"
            if causal:
                save("causal", "small", False, model)
            else:
                tune(read_recipe("xs"), dataset, model, limit=TUNING_ROWS)
        rows = spread(dataset.view(SETTINGS[0], "test"), count, dataset.seed)
        generators = {one: load_generator(model, Decoding(precision=one)) for one in get_args(Precision)}
        found = {precision: answers(generator, rows) for precision, generator in generators.items()}
        print(f"{model.name}, {len(rows)} rows, {torch.get_num_threads()} threads, {cpu()}")
        times(generators, rows, rounds)
        for precision in generators:
            if precision != FP32:
                drift(precision, rows, found[FP32], found[precision])


def cpu() -> str:
    """The processor's vector instructions, as torch tells them."""
    known = {"AVX512": torch.cpu._is_avx512_supported(), "AVX512-VNNI": torch.cpu._is_vnni_supported()}
    known |= {"AVX512-BF16": torch.cpu._is_avx512_bf16_supported(), "AMX": torch.cpu._is_amx_tile_supported()}
    return ", ".join(name for name, there in known.items() if there) or "no AVX512"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, help="of XS or a causal model; without it XS is tuned")
    parser.add_argument("--data", type=Path, help="its dataset; without it the simulated shop's")
    parser.add_argument("--causal", action="store_true", help="ask a causal model with random weights instead of XS")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    main(given.model, given.data, given.causal, given.rows, given.rounds)
