"""Hand-made judgements for the three tasks on ESCI."""

from typing import Any

from ecellm.data.schema import Store
from stores import store


def judgement(query: str, product: str, label: str = "E", split: str = "train", small: bool = True) -> dict[str, Any]:
    return {"query": query, "product_id": product, "label": label, "split": split, "small": small}


def esci(judgements: list[dict[str, Any]], titles: dict[str, str | None] | None = None) -> Store:
    """A Store of these judgements; every judged product has a title (its own, or one made from its id)."""
    known = {row["product_id"]: f"Thing {row['product_id']}" for row in judgements} | (titles or {})
    products = [{"catalogue": "esci", "product_id": name, "title": title} for name, title in known.items()]
    return store(judgements=judgements, products=products)


def queries(count: int, tested: int = 0, labels: str = "ES") -> list[dict[str, Any]]:
    """`count` queries with a product of each label; those below `tested` are in the source's test split."""
    return [
        judgement(f"query {number}", f"{label}{number}", label, "test" if number < tested else "train")
        for number in range(count)
        for label in labels
    ]
