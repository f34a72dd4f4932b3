"""The page at / in Chromium, used as a person would: by keyboard, on a phone, dark, with and without script."""

import csv
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from ecellm.tasks import TASKS
from served_process import Running, serving
from show_in_browser import FLAGS, browser

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket]
KEY = "a-key-of-this-test"
#: The contrast of every text with what is behind it (WCAG 2), the lowest first.
CONTRAST = """() => {
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length < 4 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const node of document.querySelectorAll('body *')) {
    const text = [...node.childNodes].some((one) => one.nodeType === 3 && one.textContent.trim());
    if (!text || !node.getClientRects().length || node.closest('script, style')) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), node.tagName + ' ' + node.textContent.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""
OVERFLOW = "document.documentElement.scrollWidth - window.innerWidth"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if browser() is None and "CI" not in os.environ:
        pytest.skip("Chromium is not here: .ci/run installs it")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser(), args=[*FLAGS])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def service(xs_folder: Path) -> Iterator[Running]:
    with serving(xs_folder) as running:
        running.until_ready()
        yield running


def tab(chromium: Browser, port: int, **options: Any) -> tuple[Page, list[str]]:
    """A page of the service, and what goes wrong in it."""
    context = chromium.new_context(base_url=f"http://127.0.0.1:{port}", **options)
    page, wrong = context.new_page(), list[str]()
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda one: None if one.url.startswith(f"http://127.0.0.1:{port}") else wrong.append(one.url))
    page.set_default_timeout(15_000)
    page.goto("/")
    return page, wrong


def answer(page: Page) -> None:
    page.get_by_role("button", name="Answer", exact=True).click()
    expect(page.get_by_role("heading", name="Answer", exact=True)).to_be_visible()


def test_by_keyboard_alone(chromium: Browser, service: Running) -> None:
    page, wrong = tab(chromium, service.port)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    link = page.get_by_role("navigation", name="Tasks").get_by_role("link", name="Sentiment Analysis")
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate(outline) != "none", "focus is visible"
        if link.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Sentiment Analysis")
    expect(link).to_have_attribute("aria-current", "page")
    page.get_by_label("Text").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Does not leak.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    status = page.get_by_role("status").filter(has_text="Probabilities")
    expect(status).to_contain_text(re.compile(r"Answered in \d+ ms"))
    expect(status).to_be_focused()
    expect(page.get_by_label("Text")).to_have_value("Does not leak.")
    assert re.match(r"Answer: .*, Sentiment Analysis, tiny-xs", page.title())
    assert wrong == []


def test_enter_sends_a_field_of_one_line(chromium: Browser, service: Running) -> None:
    page, wrong = tab(chromium, service.port)
    page.goto("/?task=PM")
    title = page.get_by_role("group", name="Product 2").get_by_label("Title")
    title.fill("")
    title.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Product 2, Title: Fill in this field.")
    expect(title).to_have_accessible_description(re.compile("Fill in this field"))
    page.get_by_role("link", name="Product 2, Title").click()
    expect(title).to_be_focused()
    title.fill("acorn photo studio")
    title.press("Enter")
    rows = page.get_by_role("table").filter(has_text="Probability").get_by_role("row")
    assert sorted(row.split()[0] for row in rows.all_inner_texts()[1:]) == ["no", "yes"]
    assert [one for one in wrong if "422" not in one] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_every_task_in_light_and_dark_wide_and_on_a_phone(
    chromium: Browser, service: Running, scheme: Any, width: int
) -> None:
    page, wrong = tab(chromium, service.port, color_scheme=scheme, viewport={"width": width, "height": 800})
    for name in TASKS:
        page.goto(f"/?task={name}")
        answer(page)
        assert page.evaluate(OVERFLOW) <= 0, f"{name} scrolls sideways"
        lowest, where = page.evaluate(CONTRAST)[0]
        assert lowest >= 4.5, (name, where)
        current = page.get_by_role("navigation", name="Tasks").locator("[aria-current]")
        assert 0 <= current.bounding_box()["x"] < width  # type: ignore[index]
        levels = [
            int(one[1]) for one in page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => h.tagName)")
        ]
        assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))
        for field in page.locator("textarea, input:not([type=hidden])").all():
            expect(field).to_have_accessible_name(re.compile(r"\w"))
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(251, 251, 250)"
    assert dark == (scheme == "dark")
    page.goto("/docs")
    assert page.evaluate(OVERFLOW) <= 0 and page.evaluate(CONTRAST)[0][0] >= 4.5
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Tasks").click()
    expect(page.get_by_role("form", name="Question")).to_be_visible()
    assert wrong == []


def test_what_is_copied_gives_the_same_answer(chromium: Browser, service: Running) -> None:
    page, wrong = tab(chromium, service.port, permissions=["clipboard-read", "clipboard-write"])
    page.goto("/?task=MPC")
    page.get_by_label("Query").fill('it\'s 5" "wide" $HOME `date` \\ <b>')
    answer(page)
    shown = page.locator(".verdict").inner_text()
    for name, line in (("curl", ["bash", "-c"]), ("Python", [sys.executable, "-c"])):
        page.get_by_role("button", name=f"Copy {name}").click()
        expect(page.get_by_text(f"{name} copied")).to_be_attached()
        copied = page.evaluate("navigator.clipboard.readText()")
        done = subprocess.run([*line, copied], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0 and shown in done.stdout, done.stderr
    assert wrong == []


def test_a_table_is_dropped_looked_at_and_downloaded(chromium: Browser, service: Running, tmp_path: Path) -> None:
    page, wrong = tab(chromium, service.port)
    page.goto("/?task=SA")
    text = "id,text\n" + "".join(f'{place},"Review {place}, fine"\n' for place in range(30)) + "30,\n"
    page.locator("form.upload").evaluate(
        """(form, text) => {
            const data = new DataTransfer();
            data.items.add(new File([text], 'reviews.csv', {type: 'text/csv'}));
            form.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
        }""",
        text,
    )
    expect(page.get_by_role("heading", name="reviews.csv")).to_be_visible()
    expect(page.get_by_text("31 rows, of which 1 is rejected")).to_be_visible()
    assert page.get_by_role("region", name="The first rows").get_by_role("row").count() == 21
    with page.expect_download() as download:
        page.get_by_role("button", name="Answer all rows and download").click()
    assert download.value.suggested_filename == "reviews.answers.csv"
    download.value.save_as(tmp_path / "out.csv")
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [str(place) for place in range(30)]
    assert all(row["answer"] and 0 < float(row["probability"]) <= 1 for row in rows)
    expect(page.get_by_role("button", name="Answer all rows and download")).to_be_enabled()
    assert wrong == []


def test_without_script_it_works_too(chromium: Browser, service: Running, tmp_path: Path) -> None:
    page, _ = tab(chromium, service.port, java_script_enabled=False)
    page.get_by_role("navigation", name="Tasks").get_by_role("link", name="PSI").click()
    page.get_by_role("link", name="Example 2").click()
    expect(page.get_by_label("Query")).to_have_value(str(TASKS["PSI"].sample_rows[1]["query"]))
    answer(page)
    assert page.get_by_role("button", name="Copy curl").count() == 0
    source = tmp_path / "pairs.csv"
    source.write_text("query,title\nmug,steel mug\n")
    page.get_by_label("CSV file").set_input_files(source)
    page.get_by_role("button", name="Answer the first rows").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Answer all rows and download").click()
    assert "steel mug" in download.value.path().read_text()


def test_signing_in_and_out(chromium: Browser, xs_folder: Path) -> None:
    with serving(xs_folder, key=KEY) as running:
        running.until_ready()
        page, _ = tab(chromium, running.port)
        expect(page.get_by_label("API key")).to_be_focused()
        page.keyboard.type("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text("none of the service's keys")
        page.keyboard.type(KEY)
        page.keyboard.press("Enter")
        answer(page)
        assert KEY not in page.url and KEY not in page.content()
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("API key")).to_be_visible()
    assert KEY not in "".join(running.lines)
