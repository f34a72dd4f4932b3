"""The data card: one page, whole in itself, that says what the dataset holds and shows no text as markup."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ecellm.data.checks import INPUT, check
from ecellm.data.dataset import Dataset, read_dataset
from ecellm.data.ecinstruct.importing import import_published
from ecellm.reports.data_card import data_card
from ecellm.tasks import TASKS
from repository import REPOSITORY

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    """An imported dataset with a leak and a text that looks like a script."""
    rows = [
        {"task": "PM", "input": f"<script>alert({number % 3})</script>", "output": "no", "split": split}
        for number in range(3)
        for split in ("train", "test")
    ]
    rows += [{"task": "SA", "input": f"good {n}", "output": "A: very positive", "split": "train"} for n in range(4)]
    rows += [{"task": "PM", "input": "x"}]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    import_published(tmp_path / "rows.json", tmp_path / "shop")
    return read_dataset(tmp_path / "shop")


def test_the_page_says_what_the_dataset_holds(shop: Dataset) -> None:
    page = data_card(shop, check(shop))
    assert "<h1>shop</h1>" in page
    assert "10 examples of 2 e-commerce tasks" in page
    assert f'<span class="bad">{INPUT}</span>' in page
    assert "no output" in page and "rows.json" in page
    assert page.count("<svg") == 2


def test_texts_of_the_data_are_no_markup_and_nothing_is_fetched(shop: Dataset) -> None:
    page = data_card(shop, [])
    assert "<script" not in page
    assert "&lt;script&gt;alert(" in page
    assert 'src="http' not in page and "<link" not in page


def test_the_page_of_equal_data_is_equal(shop: Dataset) -> None:
    assert data_card(shop, []) == data_card(shop, [])


def test_the_verb_writes_the_page_into_the_folder(tiny_data: Dataset, tmp_path: Path, run: Run) -> None:
    page = tmp_path / "page.html"
    code, output, _ = run("card", tiny_data.path, "--out", page)
    assert (code, str(page) in output) == (0, True)
    assert page.read_text().startswith("<!doctype html>")
    assert run("card", tmp_path)[0] == 1


def test_where_the_dataset_differs_from_the_paper_is_said(tiny_data: Dataset, shop: Dataset) -> None:
    rows = [
        {"tasks": list(TASKS), "text": "The instructions are our own."},
        {"tasks": ["PM"], "text": "Wrong answers <b>near</b>."},
    ]
    page = data_card(Dataset(tiny_data.path, {**tiny_data.manifest, "deviations": rows}), [])
    assert "<li><strong>All tasks</strong>: The instructions are our own.</li>" in page
    assert "<li><strong>PM</strong>: Wrong answers &lt;b&gt;near&lt;/b&gt;.</li>" in page
    assert "as in the paper" not in page
    assert "Imported: the rows are those of the file." in data_card(shop, [])


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (390, "dark")])
def test_a_browser_shows_the_card_and_nothing_of_it_hangs_over(tmp_path: Path, width: int, scheme: str) -> None:
    if shutil.which("chromium") is None and "CI" not in os.environ:
        pytest.skip("Chromium is not here: .ci/run installs it")
    parts = [("IND", "train"), ("IND", "val"), ("IND", "test"), ("OOD", "test")]
    rows = [
        {"task": "SA", "input": f"{split} {domain} {number}", "output": f"{'ABCDE'[number]}: like", "split": split}
        | {"setting": f"{domain}_Diverse_Instruction"}
        for domain, split in parts
        for number in range(5)
    ]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    import_published(tmp_path / "rows.json", tmp_path / "shop")
    data = read_dataset(tmp_path / "shop")
    (tmp_path / "card.html").write_text(data_card(data, check(data)))
    script = REPOSITORY / "tests" / "show_in_browser.py"
    line = [sys.executable, str(script), str(tmp_path / "card.html"), str(tmp_path / "shot.png"), str(width), scheme]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, env={**os.environ})
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["messages"] == [] and seen["requests"] == []
    assert seen["tables"] >= 2 and seen["pictures"] == 2
    assert seen["overflow"] <= 0, "the page itself scrolls sideways"
    assert (seen["background"] == "rgb(255, 255, 255)") == (scheme == "light")
