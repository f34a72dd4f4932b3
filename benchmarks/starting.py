"""How long one question takes as a whole process: `ecellm ask` with XS, against a process that loads the same encoder
with transformers and reads one text, and against one that only imports torch.

    python benchmarks/starting.py [--rounds 5] [--threads 1]

XS has random weights here, whose times are those of a tuned one. All take turns after one round to warm up; times are
the processor's, which neighbours disturb less than the clock's.

Expected before measuring: importing torch is most of what is left; transformers' modelling code takes as long again.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from asking import save
from ecellm.models.minilm import minilm_folder

USUAL = """
import sys
from transformers import AutoTokenizer, BertModel
tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[1]), BertModel.from_pretrained(sys.argv[1])
model(**tokenizer("Steel mug 12 oz", "12oz steel mug", return_tensors="pt"))
"""


def processor_seconds(line: list[str], threads: int) -> float:
    """Run a command and return the seconds of its process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(line, check=True, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(rounds: int, threads: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        save("xs", "", False, Path(folder))
        asked = [
            "ask",
            "PM",
            folder,
            "--set",
            "title_1=Steel mug 12 oz",
            "--set",
            "title_2=12oz mug, stainless steel",
        ]
        lines = {
            "ecellm ask": [sys.executable, "-m", "ecellm", *asked],
            "transformers": [sys.executable, "-c", USUAL, str(minilm_folder())],
            "import torch": [sys.executable, "-c", "import torch"],
        }
        for line in lines.values():
            processor_seconds(line, threads)
        taken: dict[str, list[float]] = {name: [] for name in lines}
        for _ in range(rounds):
            for name, line in lines.items():
                taken[name].append(processor_seconds(line, threads))
    for name, seconds in taken.items():
        print(f"{name:12} {median(seconds):.2f} s")
    ours = taken.pop("ecellm ask")
    for name, seconds in taken.items():
        ratio = median(other / own for own, other in zip(ours, seconds, strict=True))
        print(f"median ratio, {name} / ecellm ask: {ratio:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    main(given.rounds, given.threads)
