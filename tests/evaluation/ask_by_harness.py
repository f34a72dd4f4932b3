"""Lets lm-evaluation-harness ask a model the tasks in a folder: FOLDER MODEL OUT. A process of its own."""

import json
import sys
from pathlib import Path

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager


def main(folder: str, model: str, out: str) -> None:
    """Write the figures of every task, and the model's completion to every question."""
    manager = TaskManager(include_path=folder, include_defaults=False)
    evaluated = simple_evaluate(
        model=HFLM(pretrained=model, device="cpu", batch_size=8, max_length=512),
        tasks=sorted(path.stem for path in Path(folder).glob("*.yaml")),
        task_manager=manager,
        bootstrap_iters=0,
        log_samples=True,
    )
    answers = [
        {"id": example["doc"]["id"], "task": example["doc"]["task"], "text": answer_of(example)}
        for examples in evaluated["samples"].values()
        for example in examples
    ]
    Path(out).write_text(json.dumps({"results": evaluated["results"], "answers": answers}, default=str))


def answer_of(example: dict) -> str:
    """Return the likeliest choice, or the text."""
    replies = example["filtered_resps"]
    choices = example["doc"]["choices"]
    if not choices:
        return replies[0]
    logs = [float(reply[0]) for reply in replies]
    return choices[logs.index(max(logs))]


if __name__ == "__main__":
    main(*sys.argv[1:])
