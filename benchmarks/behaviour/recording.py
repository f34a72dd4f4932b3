"""What is run, and in which order: a shop, its dataset, the models, their predictions and scores.

Names of the program's own that may change one day (recipe and config keys, baselines) stand in this file and in the
TOML files beside it; names in the record stay.
"""

import csv
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import contents
from bases import write_bases
from commands import Commands
from contents import Facts, under

HERE = Path(__file__).resolve().parent
REAL_SAMPLE = HERE.parents[1] / "examples" / "real-sample.toml"
DATA = Path("dataset")
#: Questions to a model, over all tasks and settings, and to a baseline.
QUESTIONS, QUESTIONS_TO_BASELINE = 120, 64
#: By name in the record: what `ecellm tune` takes. XS makes about 100 steps of the real model on few tokens.
TUNED: dict[str, tuple[object, ...]] = {
    "xs": (
        *("xs", "--limit", 120, "--set", "max_tokens=176", "--set", "optimisation.batch_tokens=192"),
        *("--set", "optimisation.epochs=1", "--set", "validation.per_epoch=1", "--set", "validation.rows=40"),
    ),
    "encoder-decoder": (HERE / "encoder-decoder.toml", "--limit", 100),
    "causal": (HERE / "causal.toml", "--limit", 100),
}
FEW = ("--limit", 40)
TRAINED = (*FEW, "--epochs", 2)
#: By name in the record: what `ecellm baseline` takes. The two that start from an encoder start from a tiny one.
BASELINES: dict[str, tuple[object, ...]] = {
    "tf-idf": ("tfidf", *FEW),
    "bm25": ("bm25", *FEW),
    "popularity": ("popularity", *FEW),
    "last-purchase": ("last", *FEW),
    "snippet": ("snippet", *FEW),
    "encoder": ("encoder", "--base", "bases/encoder", *TRAINED),
    "rgcn": ("rgcn", *TRAINED),
    "gsasrec": ("gsasrec", *TRAINED),
    "recformer": ("recformer", *TRAINED),
    "suopentag": ("suopentag", *TRAINED),
    "aveqa": ("aveqa", "--base", "bases/encoder", *TRAINED),
}
#: The longest work first.
MODELS = {**TUNED, **BASELINES}
#: The task whose table a model is given.
ASK = {"xs": "PM", "causal": "SA", "tf-idf": "QPR"}
#: Tables for `ask`, each in another format, one row of each without what is needed.
TABLES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "PM": (
        "csv",
        [
            {"sku": "1", "title_1": "Steel mug 12 oz", "title_2": "12oz mug, stainless steel"},
            {"sku": "2", "title_1": "Microsoft Office 2007 upgrade", "title_2": "office standard 2007 upgrade"},
            {"sku": "3", "title_1": "Steel mug 12 oz", "title_2": ""},
            {"sku": "4", "title_1": "Garden hose, 50 ft", "title_2": "Adobe Photoshop CS3"},
        ],
    ),
    "SA": (
        "jsonl",
        [
            {"number": 1, "text": "It broke after two days, and nobody answered my letters. A waste of money."},
            {"number": 2, "text": "Lovely colour, sturdy, and it came early. I would buy it again tomorrow."},
            {"number": 3, "text": None},
            {"number": 4, "text": "Does what it says. The lid is a little loose, but for the price that is fine."},
        ],
    ),
    "QPR": (
        "parquet",
        [
            {"query": "garden hose 50 ft", "titles": ["Garden hose, 50 ft", "Hose nozzle", "Steel mug 12 oz"]},
            {"query": "red kettle", "titles": ["Kettle, blue", "Red kettle 1.7 l", "Tea pot", "Kettle, red, steel"]},
            {"query": "", "titles": ["Rake", "Spade"]},
            {"query": "phone case", "titles": ["Case for phones, black", "Phone charger"]},
        ],
    ),
}


def record(work: Path, real: Path | None, models: Sequence[str], jobs: int) -> Facts:
    """Run all of it in the folder `work`, `jobs` models at a time, and return the facts in that order.

    Raises CommandFailedError where a command fails.
    """
    commands = Commands(work)
    facts = _data(commands)
    if real is not None:
        commands.run("build of the real sample", *_build(real, REAL_SAMPLE, "real"))
        facts |= under("real dataset", contents.dataset(work / "real"))
    write_bases(work / DATA / "train.parquet", work / "bases")
    facts |= under("bases", contents.files(work / "bases"))
    _write_tables(work)
    with ThreadPoolExecutor(jobs) as pool:
        for found in pool.map(partial(_model, commands), models):
            facts |= found
    return facts


def _data(commands: Commands) -> Facts:
    """Simulate a shop, build its dataset, export that and import it again."""
    work = commands.folder
    commands.run("simulate", "simulate", "--out", "shop", "--scale", 0.4, "--seed", 7)
    commands.run("build", *_build("shop", HERE / "shop.toml", DATA))
    commands.run("export", "export", DATA, "--out", "published.json")
    commands.run("import", "import", "published.json", "--out", "imported")
    return {
        **under("shop", contents.files(work / "shop")),
        **under("dataset", contents.dataset(work / DATA)),
        **under("export", contents.file(work / "published.json")),
        **under("imported dataset", contents.dataset(work / "imported")),
    }


def _build(sources: Path | str, config: Path, out: Path | str) -> tuple[object, ...]:
    return "build", "--sources", sources, "--config", config, "--out", out


def _model(commands: Commands, name: str) -> Facts:
    """Make a model, run it on questions of the dataset and on the table of a task, and evaluate it."""
    model, answers, scores = f"models/{name}", f"{name}.jsonl", f"{name}.json"
    work, questions = commands.folder, QUESTIONS if name in TUNED else QUESTIONS_TO_BASELINE
    verb = "tune" if name in TUNED else "baseline"
    commands.run(f"{name}: {verb}", verb, *MODELS[name], "--data", DATA, "--out", model)
    commands.run(f"{name}: predict", "predict", model, "--data", DATA, "--out", answers, "--limit", questions)
    commands.run(f"{name}: evaluate", "evaluate", answers, "--data", DATA, "--out", scores)
    facts = {
        **under(name, contents.model(work / model)),
        **under(f"{name}/predictions", contents.predictions(work / answers)),
        **under(f"{name}/scores", contents.scores(work / scores)),
    }
    if name in ASK:
        task = ASK[name]
        table = _table(task)
        commands.run(f"{name}: ask {task}", "ask", task, model, "--input", table, "--out", f"answered.{table}")
        facts |= under(f"{name}/ask {task}", contents.table(work / f"answered.{table}"))
    return facts


def _table(task: str) -> str:
    return f"{task}.{TABLES[task][0]}"


def _write_tables(work: Path) -> None:
    for task, (kind, rows) in TABLES.items():
        file = work / _table(task)
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(rows), file)
        elif kind == "jsonl":
            file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        else:
            with file.open("w", newline="", encoding="utf-8") as lines:
                writer = csv.DictWriter(lines, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
