"""The ten tasks for lm-evaluation-harness (EleutherAI): task files on a dataset's rows, scored by our rules.

`export_harness` writes one task for each of ours and setting: NAME.yaml, NAME.jsonl and, in `ecellm_scoring.py`, the
few names that the task files call; they come from here, so a model that the harness asks gets the figures that
`ecellm evaluate` gives to the same answers. Multiple-choice questions are answered by the likeliest candidate,
free-form ones by generation. The prompt is the setting's instruction, input and options in the Alpaca layout.

    lm_eval --model hf --model_args pretrained=MODEL --include_path DIR --tasks ecellm_ind_diverse
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from ecellm.data.dataset import Dataset, split_setting
from ecellm.errors import DataError
from ecellm.evaluation.evaluate import pair_scorer
from ecellm.io.files import atomic_folder
from ecellm.models.decoding.candidates import candidates_of
from ecellm.prompts import layout, named_template
from ecellm.tasks import TASKS
from ecellm.tasks.scored import PairScorer, Scoring
from ecellm.tasks.scoring import read_answers, score_answers
from ecellm.tasks.task import Task
from ecellm.types import DIVERSE, ONE_SHOT, SINGLE, UNSEEN, Domain, Example, Question

if TYPE_CHECKING:
    import datasets

SCORING_FILE = "ecellm_scoring.py"
PARTS = {SINGLE: "single", DIVERSE: "diverse", UNSEEN: "unseen", ONE_SHOT: "one_shot"}
#: As the published evaluation's.
NEW_TOKENS = 100
VERSION = 1.0

PUBLISHED = "published_"
#: The strict figures that the harness shows, by a task's main one.
METRICS = {
    "accuracy": ("accuracy", "macro_f1"),
    "f1": ("f1", "precision", "recall"),
    "macro_f1": ("macro_f1", "accuracy"),
    "hr@1": ("hr@1",),
    "ndcg": ("ndcg",),
    "bertscore_f1": ("bertscore_f1", "rouge_l", "chrf"),
}


class Doc(TypedDict):
    """A question as the harness has it."""

    id: str
    task: str
    domain: Domain
    prompt: str
    choices: list[str]
    """Empty where the answer is written."""
    input: str
    options: str | None
    output: str
    labels: list[str]


#: What a task file's aggregation gets: a question and the text that answers it.
Item = tuple[Doc, str]


def export_harness(dataset: Dataset, out: Path, settings: Sequence[str] | None = None) -> int:
    """Write the task files of the settings (None: all that have test rows) into a new folder; return their number.

    Raises DataError where the folder holds something, for an unknown setting, and where there are no rows.
    """
    wanted = dataset.settings() if settings is None else settings
    written = 0
    with atomic_folder(out) as folder:
        for setting in wanted:
            domain, part = split_setting(setting)
            tag = f"ecellm_{domain.lower()}_{PARTS[part]}"
            questions = dataset.view(setting)
            for task in TASKS.values():
                rows = [row for row in questions if row.example.task == task.name]
                if rows:
                    _write_task(folder, task, tag, rows)
                    written += 1
        if not written:
            raise DataError(f"{dataset.path} has no test rows under {', '.join(wanted) or 'any setting'}.")
        (folder / SCORING_FILE).write_text(_scoring_file(), encoding="utf-8")
    return written


def read_rows(file: Path) -> dict[str, "datasets.Dataset"]:
    """Return a task's rows as the harness takes them."""
    import datasets

    lines = file.read_text(encoding="utf-8").splitlines()
    return {"test": datasets.Dataset.from_list([json.loads(line) for line in lines])}


def answer_by_choice(doc: Doc, results: Sequence[tuple[float, bool]]) -> dict[str, Item]:
    """Return what each metric aggregates, of a multiple-choice question: the likeliest candidate."""
    chosen = doc["choices"][int(np.argmax([result[0] for result in results]))]
    return dict.fromkeys(_names(TASKS[doc["task"]]), (doc, chosen))


def answer_by_text(doc: Doc, results: Sequence[str]) -> dict[str, Item]:
    """Return what each metric aggregates, of a free-form question: the text that was generated."""
    return dict.fromkeys(_names(TASKS[doc["task"]]), (doc, results[0].strip()))


def aggregation(name: str, pairs: PairScorer | None = None) -> Callable[[Sequence[Item]], float]:
    """Return the function that makes one figure of a task's answers, as `ecellm evaluate` does.

    A name that begins with published_ is by the published rules.
    """

    def aggregate(items: Sequence[Item]) -> float:
        examples = [_example(doc) for doc, _ in items]
        task = TASKS[examples[0].task]
        scoring: Scoring = "published" if name.startswith(PUBLISHED) else "strict"
        answers, _ = read_answers(task, scoring, examples, [text for _, text in items])
        return score_answers(task, scoring, examples, answers, pairs or pair_scorer([task])).values()[
            name.removeprefix(PUBLISHED)
        ]

    return aggregate


def _names(task: Task) -> list[str]:
    """Return the harness's names of a task's metrics: the strict ones, and the main one by the published rules."""
    return [*METRICS.get(task.metric, (task.metric,)), PUBLISHED + task.metric]


def _function(name: str) -> str:
    return name.replace("@", "_at_")


def _write_task(folder: Path, task: Task, tag: str, rows: Sequence[Question]) -> None:
    name = f"{tag}_{task.name.lower()}"
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(_doc(row)) + "\n")
    (folder / f"{name}.yaml").write_text(
        _task_file(task, name, tag, candidates_of(rows[0].example) is not None), "utf-8"
    )


def _doc(row: Question) -> Doc:
    example = row.example
    return {
        "id": example.id,
        "task": example.task,
        "domain": example.domain,
        "prompt": "".join(piece.text for piece in layout(row, named_template("alpaca"))),
        "choices": list(candidates_of(example) or ()),
        "input": example.input,
        "options": example.options,
        "output": example.output,
        "labels": list(example.labels or ()),
    }


def _example(doc: Doc) -> Example:
    return Example(
        doc["id"],
        doc["task"],
        doc["domain"],
        "test",
        doc["input"],
        doc["options"],
        doc["output"],
        labels=tuple(doc["labels"]) or None,
    )


def _task_file(task: Task, name: str, tag: str, is_multiple_choice: bool) -> str:
    lines = [
        f"# {task.title.replace('_', ' ')}, written by `ecellm export --format lm-eval`.",
        f"task: {name}",
        f"tag: {tag}",
        f"custom_dataset: !function {Path(SCORING_FILE).stem}.rows",
        f"dataset_kwargs: {{name: {name}}}",
        "test_split: test",
        "doc_to_text: prompt",
        "doc_to_target: output",
        'target_delimiter: ""',
    ]
    if is_multiple_choice:
        lines += ["output_type: multiple_choice", "doc_to_choice: choices"]
    else:
        lines += [
            "output_type: generate_until",
            f'generation_kwargs: {{until: ["### "], do_sample: false, max_gen_toks: {NEW_TOKENS}}}',
        ]
    how = "answer_by_choice" if is_multiple_choice else "answer_by_text"
    lines += [f"process_results: !function {Path(SCORING_FILE).stem}.{how}", "metric_list:"]
    for metric in _names(task):
        lines += [
            f'  - metric: "{metric}"',
            f"    aggregation: !function {Path(SCORING_FILE).stem}.{_function(metric)}",
            "    higher_is_better: true",
        ]
    return "\n".join([*lines, "metadata:", f"  version: {VERSION}"]) + "\n"


def _scoring_file() -> str:
    names = sorted({name for task in TASKS.values() for name in _names(task)})
    return "\n".join(
        [
            '"""Written by `ecellm export --format lm-eval`: what the task files beside it call. It needs ecellm."""',
            "",
            "from pathlib import Path",
            "",
            "from ecellm.evaluation.lm_eval_harness import aggregation, answer_by_choice, answer_by_text, read_rows",
            "",
            '__all__ = ["answer_by_choice", "answer_by_text"]',
            "",
            "",
            "def rows(name, **_):",
            '    """Return the rows of a task."""',
            '    return read_rows(Path(__file__).parent / f"{name}.jsonl")',
            "",
            "",
            *(f'{_function(name)} = aggregation("{name}")' for name in names),
            "",
        ]
    )
