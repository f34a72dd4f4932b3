"""The README.md of a dataset folder: what `datasets.load_dataset(folder)` and a hub's page read."""

from ecellm.data.manifest import Manifest
from ecellm.tasks import TASKS
from ecellm.types import SPLITS

HUB_CARD = "README.md"

#: What the rows' columns hold.
COLUMNS = {
    "id": "made from task, domain, input and options: the same wherever it is built",
    "task": "AVE, PRP, PM, SA, SR, MPC, PSI, QPR, AP or AG",
    "domain": "IND or OOD",
    "input": "the question, in the published form of the task",
    "options": "the options, in the published form; null where there are none",
    "output": "the answer",
    "category": "the product category the row was drawn from; null where the source has none",
    "labels": "QPR: the ESCI label of each product; null elsewhere",
    "facts": "the judgements or questions that the answer gives away",
    "products": "the products that the row shows",
}


def hub_card(manifest: Manifest) -> str:
    """Return the card of a dataset with this manifest; nothing in it depends on time, machine or path."""
    parts = [f"{split} {domain}" for split in SPLITS for domain in ("IND", "OOD")]
    shown = [part for part in parts if any(counts.get(part) for counts in manifest["counts"].values())]
    # The datasets library cannot read a file without rows.
    held = [split for split in SPLITS if any(part.startswith(split) for part in shown)]
    files = [f"  - split: {split}\n    path: {split}.parquet" for split in held]
    head = ["---", "configs:", "- config_name: default", "  data_files:", *files, "---"]
    rows = [
        f"| {TASKS[task].title} ({task}) | " + " | ".join(f"{counts.get(part, 0):,}" for part in shown) + " |"
        for task, counts in manifest["counts"].items()
    ]
    return "\n".join(
        [
            *head,
            "",
            "# E-commerce instruction data",
            "",
            "Made by ecellm. An example is stored once; instructions and worked examples are added by setting.",
            "`manifest.json` says what it was made from and counts all that was filtered out.",
            "",
            "| task | " + " | ".join(shown) + " |",
            "|---|" + "---:|" * len(shown),
            *rows,
            "",
            *(f"- `{name}`: {text}" for name, text in COLUMNS.items()),
            "",
            "The rows quote their sources: what these allow holds for them too.",
            "",
        ]
    )
