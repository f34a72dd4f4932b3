"""Hand-made questions for the two tasks on AmazonQA."""

from typing import Any

from ecellm.data.schema import Store
from stores import store

#: In-domain and out-of-domain categories of every test.
HOME, PHONES = ("Home", "Garden"), ("Phones",)
PLENTY: Any = {("train", "IND"): 100, ("validation", "IND"): 100, ("test", "IND"): 100, ("test", "OOD"): 100}


def question(text: str, split: str = "train", category: str = "Home", **more: Any) -> dict[str, Any]:
    row = {
        "category": category,
        "product_id": "p1",
        "question": text,
        "kind": "descriptive",
        "answerable": True,
        "snippets": ["very quiet"],
        "answers": [{"text": "It is quiet.", "helpful": 1}],
        "split": split,
    }
    return {**row, **more}


def asked(rows: list[dict[str, Any]]) -> Store:
    """A Store of these questions."""
    return store(questions=rows)
