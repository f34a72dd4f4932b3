"""A build without a row: the refusal counts what was filtered and rejected, and names ids that were changed."""

from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]
TABLES: dict[str, tuple[str, str]] = {
    "judgements": ("MPC", "query,product_id,label\n" + "".join(f"q{n},{{{n}}},E\n" for n in range(4))),
    "pairs": ("PM", "left_id,right_id,label\n" + "".join(f"{{{n}}},{{{n + 1}}},yes\n" for n in range(4))),
    "relations": (
        "PRP",
        "product_id,other_id,relation\n" + "".join(f"{{{n}}},{{{n + 1}}},similar\n" for n in range(4)),
    ),
    "purchases": ("SR", "product_id,user_id,time\n" + "".join(f"{{{n}}},u,{1472688000 + n}\n" for n in range(4))),
    "attributes": (
        "AVE",
        "product_id,attribute,value,field\n" + "".join(f"{{{n}}},kind,mug,title\n" for n in range(4)),
    ),
}


def refusal(folder: Path, run: Run, table: str, known: str, named: str) -> str:
    """What `build` says where products have ids such as `known`, and the other table such as `named`."""
    task, text = TABLES[table]
    products = "".join(f"{known.format(1000 + number)},mug {number}\n" for number in range(5))
    (folder / "products.csv").write_text("product_id,title\n" + products)
    (folder / "other.csv").write_text(text.format(*(named.format(1000 + number) for number in range(5))))
    (folder / "c.toml").write_text(
        f'[sources.tables.products]\nfile = "products.csv"\n[sources.tables.{table}]\nfile = "other.csv"\n'
        f"[tasks.{task}]\ntrain = 9\nvalidation = 9\ntest = 9\n"
    )
    code, _, error = run(
        "build", "--sources", folder, "--config", folder / "c.toml", "--out", folder / "out", "--tasks", task
    )
    assert code == 1 and not (folder / "out").exists()
    return error


@pytest.mark.parametrize("table", TABLES)
def test_ids_that_differ_in_how_they_are_written_are_named_beside_what_was_counted(
    table: str, tmp_path: Path, run: Run
) -> None:
    error = refusal(tmp_path, run, table, "{}", "{}.0")
    column = "left_id" if table == "pairs" else "product_id"
    assert "No task has a row. What was filtered out of those in" in error
    assert f": {len(TABLES[table][1].splitlines()) - 1}" in error
    assert f"{table}.{column} has '1000.0' where products.product_id has '1000': write the ids alike." in error


def test_lost_zeros_and_other_case_and_spaces_are_named(tmp_path: Path, run: Run) -> None:
    error = refusal(tmp_path, run, "judgements", "00{}", "{}")
    assert "judgements.product_id has '1000' where products.product_id has '001000'" in error
    error = refusal(tmp_path, run, "pairs", "B{}", "b{} ")
    assert "pairs.left_id has 'b1000 ' where products.product_id has 'B1000'" in error


def test_what_was_rejected_is_counted_too(tmp_path: Path, run: Run) -> None:
    (tmp_path / "r.csv").write_text("stars,text\n5,short\nmany,short\nmany,shorter\n4\n")
    (tmp_path / "c.toml").write_text('[sources.tables.reviews]\nfile = "r.csv"\n')
    code, _, error = run("build", "--sources", tmp_path, "--config", tmp_path / "c.toml", "--out", tmp_path / "out")
    assert code == 1 and "review has fewer than 10 words: 1." in error
    assert "Rejected: r.csv: stars has the wrong type: 2; r.csv: missing columns: 1." in error


def test_ids_of_other_products_are_not_said_to_be_written_otherwise(tmp_path: Path, run: Run) -> None:
    error = refusal(tmp_path, run, "judgements", "{}", "X{}")
    assert "judged product has no title or is not there: 4." in error and "write the ids" not in error
