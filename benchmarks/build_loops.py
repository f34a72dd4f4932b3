"""How long a build takes against pandas and Python loops, task by task, on the same files.

    python benchmarks/build_loops.py [--scale 35] [--shops DIR] [--runs 3] [--tasks SA,PRP]

The loops are what research notebooks do, written as well as such code is: read lines with json, join in dictionaries,
sample with `random`. They follow the paper's rules for the rows and draw the demo config's numbers of them, but check
nothing: no bad line is set aside with its reason, no leak between splits or tasks is looked for, no file is hashed,
and another order of the lines gives other rows. Prints, for each task, the median seconds and the peak memory of
both, and the ratios (ours over theirs). Each measurement is a process of its own.
"""

import argparse
import gzip
import html
import json
import random
import re
import tempfile
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from ecellm.data.builder import build as build_dataset
from ecellm.data.config import BuildConfig, TaskPlan, read_config
from ecellm.data.simulator import DEMO_CONFIG, simulate
from ecellm.tasks import TASKS
from measuring import Measured, measured, report

Row = dict[str, Any]
STARS = {5: "A: very positive", 4: "B: positive", 3: "C: neutral", 2: "D: negative", 1: "E: very negative"}
RELATIONS = {"also_buy": "A", "also_view": "B", "similar": "C"}
SIMILAR = re.compile(r"(?:asin=[\"'\\]*|/dp/|/gp/product/)([A-Z0-9]{10})\b")
FIELDS = ("title", "description", "feature", "price", "brand")


def lines(path: Path) -> Iterator[Row]:
    """The objects of a file of JSON lines; broken lines are skipped."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row


def share(rows: list[Row], plan: TaskPlan) -> dict[str, list[Row]]:
    """Shuffle and cut 80/10/10, then take as many as are asked for."""
    random.shuffle(rows)
    train, validation = int(0.8 * len(rows)), int(0.9 * len(rows))
    parts = {"train": rows[:train], "validation": rows[train:validation], "test": rows[validation:]}
    return {split: part[: getattr(plan, split)] for split, part in parts.items()}


def written(parts: Iterable[list[Row]], out: Path) -> int:
    """Write the rows as JSON; returns their number."""
    rows = [row for part in parts for row in part]
    out.write_text(json.dumps(rows))
    return len(rows)


def sa(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    pools: dict[str, list[Row]] = {}
    for category in (*plan.in_domain, *plan.out_of_domain):
        stars: dict[str, set[int]] = defaultdict(set)
        for review in lines(shop / f"amazon_review_2018/review/all_category/{category}.json.gz"):
            text = (review.get("reviewText") or "").strip()
            if len(text.split(" ")) >= 10 and review.get("overall") in STARS:
                stars[text].add(int(review["overall"]))
        pools[category] = [{"input": text, "output": STARS[min(own)]} for text, own in stars.items() if len(own) == 1]
    shared = [share(pools[category], plan) for category in plan.in_domain]
    for split in ("train", "validation", "test"):
        rows = [row for part in shared for row in part[split]]
        yield random.sample(rows, min(len(rows), getattr(plan, split)))
    abroad = [row for category in plan.out_of_domain for row in share(pools[category], plan)["test"]]
    yield abroad[: plan.out_of_domain_test]


def prp(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    pools: dict[str, list[Row]] = {}
    for category in (*plan.in_domain, *plan.out_of_domain):
        titles: dict[str, str] = {}
        links: list[tuple[str, str, str]] = []
        for page in lines(shop / f"amazon_review_2018/meta/all_category/meta_{category}.json.gz"):
            title = (page.get("title") or "").strip()
            if not page.get("asin") or not title or any(sign in title for sign in ("<", "{", "getTime")):
                continue
            titles[page["asin"]] = title
            links += [(page["asin"], other, "also_buy") for other in page.get("also_buy") or []]
            links += [(page["asin"], other, "also_view") for other in page.get("also_view") or []]
            links += [(page["asin"], other, "similar") for other in SIMILAR.findall(page.get("similar_item") or "")]
        pairs: dict[tuple[str, str], set[str]] = defaultdict(set)
        for one, other, relation in links:
            if other in titles and titles[one] != titles[other]:
                first, second = sorted((titles[one], titles[other]))
                pairs[first, second].add(relation)
        pools[category] = [
            {"input": json.dumps({"Product 1:": first, "Product 2:": second}), "output": RELATIONS[min(kinds)]}
            for (first, second), kinds in pairs.items()
            if len(kinds) == 1
        ]
    shared = [share(pools[category], plan) for category in plan.in_domain]
    for split in ("train", "validation", "test"):
        rows = [row for part in shared for row in part[split]]
        yield random.sample(rows, min(len(rows), getattr(plan, split)))
    yield [row for category in plan.out_of_domain for row in share(pools[category], plan)["test"]]


def sr(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    for categories, splits in ((plan.in_domain, ("train", "validation", "test")), (plan.out_of_domain, ("test",))):
        texts: dict[str, str] = {}
        histories: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
        for category in categories:
            pages = shop / f"amazon_review_2018/meta/all_category/meta_{category}.json.gz"
            own = {page["asin"]: item_text(page) for page in lines(pages) if page.get("asin") and page.get("title")}
            texts |= own
            path = shop / f"amazon_review_2018/rating/all_category/{category}.csv"
            names = ["item", "user", "rating", "time"]
            bought = pd.read_csv(path, names=names, dtype=str, on_bad_lines="skip").dropna().drop_duplicates()
            bought = bought[bought.item.isin(own.keys()) & bought.time.str.isdigit()]
            while True:
                size = len(bought)
                bought = bought[bought.groupby("user").item.transform("size") >= 5]
                bought = bought[bought.groupby("item").user.transform("size") >= 5]
                if len(bought) == size:
                    break
            for item, user, time in zip(bought["item"], bought["user"], bought["time"], strict=True):
                histories[category, user].append((int(time), item))
        pool = sorted({texts[item] for history in histories.values() for _, item in history})
        shoppers = list(histories)
        for split in splits:
            wanted = getattr(plan, split) if categories is plan.in_domain else plan.out_of_domain_test
            random.shuffle(shoppers)
            yield [asked(histories[shopper], texts, pool, split) for shopper in shoppers[:wanted] if len(pool) > 22]


def item_text(page: Row) -> str:
    parts = [page["title"], *(page.get("category") or [])[:2], page.get("brand")]
    clean = [" ".join(html.unescape(re.sub("<[^<>]*>", " ", part or "")).replace('"', "").split()) for part in parts]
    words = " ".join(part.rstrip(".") + "." for part in clean if part and len(part) < 2000).split(" ")
    return " ".join(words) if len(words) <= 25 else " ".join(words[:25]) + "..."


def asked(history: list[tuple[int, str]], texts: dict[str, str], pool: list[str], split: str) -> Row:
    shown = [texts[item] for _, item in sorted(history)[:50]]
    place = len(shown) - {"test": 1, "validation": 2, "train": 3}[split]
    candidates = [shown[place]]
    while len(candidates) < 20:
        text = random.choice(pool)
        if text not in candidates and text not in shown[-3:]:
            candidates.append(text)
    random.shuffle(candidates)
    return {"input": repr(shown[:place]), "options": repr(candidates), "output": candidates.index(shown[place])}


def pm(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    folder = shop / "amazon_google"
    read = {"encoding": "latin-1", "dtype": str, "on_bad_lines": "skip"}
    amazon = pd.read_csv(folder / "Amazon.csv", **read).set_index("id")
    google = pd.read_csv(folder / "GoogleProducts.csv", **read).rename(columns={"name": "title"}).set_index("id")
    mapping = pd.read_csv(folder / "Amzon_GoogleProducts_perfectMapping.csv", **read)
    left, right = amazon.to_dict("index"), google.to_dict("index")
    yes = {
        pair
        for pair in zip(mapping.idAmazon, mapping.idGoogleBase, strict=True)
        if pair[0] in left and pair[1] in right
    }
    ones, others = random.sample(list(left), len(left)), random.sample(list(right), len(right))
    no = [pair for pair in zip(ones, others, strict=False) if pair not in yes][: len(yes)]
    rows = [
        {"input": json.dumps({"product 1": left[one], "product 2": right[other]}), "output": answer}
        for answer, pairs in (("yes", yes), ("no", no))
        for one, other in pairs
    ]
    yield from share(rows, plan).values()


def cleaned(text: str) -> str:
    plain = re.sub(r"</?[a-zA-Z][^<>]{0,40}>", " ", text)
    return " ".join(unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode().split())


def judged(shop: Path) -> pd.DataFrame:
    folder = shop / "shopping_queries_dataset"
    examples = pd.read_parquet(folder / "shopping_queries_dataset_examples.parquet")
    products = pd.read_parquet(folder / "shopping_queries_dataset_products.parquet")
    rows = examples.merge(
        products[["product_id", "product_locale", "product_title"]], on=["product_id", "product_locale"]
    )
    return rows[(rows.product_locale == "us") & rows.product_title.notna() & rows["query"].notna()]


def pairs_of(shop: Path, plan: TaskPlan, answer: Callable[[str], str]) -> Iterator[list[Row]]:
    rows = judged(shop)
    tested = rows[rows.split == "test"].sample(frac=1.0)
    half = len(tested) // 2
    for part, wanted in (
        (rows[rows.split == "train"].sample(frac=1.0), plan.train),
        (tested[:half], plan.validation),
        (tested[half:], plan.test),
    ):
        yield [
            {"input": json.dumps({"query": cleaned(row.query), "product": cleaned(row.product_title)}),
             "output": answer(row.esci_label)}
            for row in part.head(wanted).itertuples()
        ]  # fmt: skip


def mpc(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    return pairs_of(shop, plan, lambda label: "ABCD"["ESCI".index(label)])


def psi(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    return pairs_of(shop, plan, lambda label: "yes" if label == "S" else "no")


def qpr(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    rows = judged(shop)
    rows = rows[rows.small_version == 1]
    for split, wanted in (("train", plan.train), ("test", plan.validation + plan.test)):
        by_query: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for row in rows[rows.split == split].itertuples():
            by_query[cleaned(row.query)][row.esci_label].append(cleaned(row.product_title))
        queries = [query for query, labels in by_query.items() if len(labels) >= 2]
        found: dict[tuple[str, ...], Row] = {}
        for _ in range(20 * wanted):
            if len(found) == wanted or not queries:
                break
            query = random.choice(queries)
            labels = list(by_query[query])
            chosen = random.sample(labels, min(random.randint(2, 4), len(labels)))
            titles = tuple(random.choice(by_query[query][label]) for label in chosen)
            found[tuple(sorted(titles))] = {
                "input": json.dumps({"query": query, "product list": titles}),
                "output": chosen,
            }
        yield list(found.values())


def ave(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    folder = shop / "mave/datasets/splits/PRODUCT"
    rows: dict[str, list[Row]] = {}
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        paths = [folder / name / "00_All" / f"mave_{kind}.jsonl" for kind in ("positives", "negatives")]
        rows[split] = [
            row for path in paths for row in lines(path) if row.get("attributes") and row.get("paragraphs")
        ]
    names = Counter(one["key"] for row in rows["test"] for one in row["attributes"])
    held, met = set(), 0
    for name in random.sample(sorted(names), len(names) // 5):
        if met < plan.out_of_domain_test:
            held.add(name)
            met += names[name]
    parts: dict[str, list[Row]] = defaultdict(list)
    for split, own in rows.items():
        random.shuffle(own)
        for row in own:
            out = any(one["key"] in held for one in row["attributes"])
            if not out or split == "test":
                parts["out_of_domain_test" if out else split].append(row)
    for part, own in parts.items():
        yield [extracted(row) for row in own[: getattr(plan, part)]]


def extracted(row: Row) -> Row:
    shown = {f"product {name}": ", ".join(one["text"] for one in row["paragraphs"] if one["source"] == name)
             for name in FIELDS}  # fmt: skip
    triples = [
        {
            "attribute": one["key"].lower(),
            "value": found["value"].lower(),
            "source": row["paragraphs"][found["pid"]]["source"],
        }
        for one in row["attributes"]
        for found in one["evidences"] or [{"value": "None", "pid": 0}]
    ]
    return {"input": json.dumps(shown), "output": json.dumps(triples)}


def questions(
    shop: Path, plan: TaskPlan, keep: Callable[[Row], Any], answer: Callable[[Row], str]
) -> Iterator[list[Row]]:
    for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
        rows = [
            row for row in lines(shop / f"productQA/{name}-qar.jsonl") if row.get("review_snippets") and keep(row)
        ]
        random.shuffle(rows)
        for categories, wanted in (
            (plan.in_domain, getattr(plan, split)),
            (plan.out_of_domain, plan.out_of_domain_test if split == "test" else 0),
        ):
            own = [row for row in rows if row.get("category") in categories][:wanted]
            yield [
                {"input": json.dumps({"question": row["questionText"], "document": row["review_snippets"]}),
                 "output": answer(row)}
                for row in own
            ]  # fmt: skip


def ap(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    return questions(shop, plan, lambda row: True, lambda row: "yes" if row["is_answerable"] else "no")


def ag(shop: Path, plan: TaskPlan) -> Iterator[list[Row]]:
    def keep(row: Row) -> bool:
        return bool(row.get("is_answerable") and row.get("questionType") == "descriptive" and row.get("answers"))

    def best(row: Row) -> str:
        return str(max(row["answers"], key=lambda one: (one.get("helpful") or [0])[0])["answerText"])

    return questions(shop, plan, keep, best)


LOOPS = {"AVE": ave, "PRP": prp, "PM": pm, "SA": sa, "SR": sr, "MPC": mpc, "PSI": psi, "QPR": qpr, "AP": ap, "AG": ag}


def looped(shop: Path, task: str, plan: TaskPlan) -> int:
    random.seed(42)
    with tempfile.TemporaryDirectory() as space:
        return written(LOOPS[task](shop, plan), Path(space) / "rows.json")


def built(shop: Path, task: str, config: BuildConfig) -> int:
    with tempfile.TemporaryDirectory() as space:
        manifest = build_dataset(shop, config, Path(space) / "out", [TASKS[task]], None, lambda step: None)
    return sum(manifest["counts"][task].values())


def main(shop: Path, tasks: list[str], runs: int) -> None:
    print("task   loops                            build                            ratio of time, memory")
    for task in tasks:
        found: dict[str, list[Measured]] = {"loops": [], "build": []}
        for turn in range(runs + 1):
            for kind, kept in found.items():
                one = measured(__file__, "--only", kind, "--tasks", task, "--shops", shop)
                if turn:  # the first warms the disk's cache
                    kept.append(one)
        said = [
            f"{median(one.seconds for one in kept):7.1f} s {max(one.mb for one in kept):7,.0f} MB "
            f"{kept[0].rows:6,} rows"
            for kept in found.values()
        ]
        pairs = list(zip(found["build"], found["loops"], strict=True))
        time = median(ours.seconds / theirs.seconds for ours, theirs in pairs)
        memory = median(ours.mb / theirs.mb for ours, theirs in pairs)
        print(f"{task:4} {said[0]}  {said[1]}  {time:6.2f} {memory:6.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, default=35.0)
    parser.add_argument("--shops", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--tasks", default=",".join(LOOPS))
    parser.add_argument("--only", choices=["loops", "build"])
    given = parser.parse_args()
    settings = read_config(DEMO_CONFIG)
    if given.only == "loops":
        report(lambda: looped(given.shops, given.tasks, settings.tasks[given.tasks]))
    elif given.only == "build":
        report(lambda: built(given.shops, given.tasks, settings))
    else:
        with tempfile.TemporaryDirectory() as space:
            shop = (given.shops or Path(space)) / f"{given.scale:g}"
            if not shop.exists():
                simulate(shop, given.scale)
            main(shop, given.tasks.split(","), given.runs)
