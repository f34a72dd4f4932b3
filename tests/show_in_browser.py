"""Shows a page in Chromium without a screen: PAGE PICTURE WIDTH light|dark. Prints what was seen, as JSON."""

import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

#: As Debian, others, and Google name it.
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: None of it is about the page: no sandbox for root, no network.
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
MEASURE = """() => ({
    tables: document.querySelectorAll('table').length,
    pictures: document.querySelectorAll('svg, img').length,
    overflow: document.documentElement.scrollWidth - window.innerWidth,
    letters: Math.min(...[...document.querySelectorAll('svg text')]
        .map(text => text.getBoundingClientRect().height).filter(height => height > 0)),
    background: getComputedStyle(document.body).backgroundColor,
})"""


def browser() -> str | None:
    """Return where Chromium is, if it is here."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def main(page: str, picture: str, width: str, scheme: str) -> None:
    """Load the page, measure it, and take its picture."""
    seen: dict = {"messages": [], "requests": []}
    address = Path(page).resolve().as_uri()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=[*FLAGS])
        size = {"width": int(width), "height": 1600}
        view = chromium.new_context(viewport=size, color_scheme=scheme, offline=True).new_page()
        view.on("console", lambda message: seen["messages"].append(message.text))
        view.on("pageerror", lambda error: seen["messages"].append(str(error)))
        view.on("request", lambda request: seen["requests"].append(request.url))
        view.goto(address)
        view.screenshot(path=picture)
        seen.update(view.evaluate(MEASURE))
        chromium.close()
    seen["requests"] = [url for url in seen["requests"] if url != address and not url.startswith("data:")]
    sys.stdout.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
