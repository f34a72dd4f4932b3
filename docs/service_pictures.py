"""Take the pictures of the service's page that docs/serving.md shows: python docs/service_pictures.py ADDRESS.

ADDRESS is a service that runs, such as http://localhost:8000, of a model that answers AVE and SA.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).resolve().parent
FLAGS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars")
PRODUCT = {
    "title": "Freestanding Mixer Tap by Makronn Edge, Carbon Fiber, Matte",
    "description": "Two handles and a pull-out spray. Height 42 cm.",
    "feature": "Kitchen faucet that gives 2.0 gpm",
    "brand": "Makronn",
    "attributes": "Material\nFinish\nFlow Rate\nWeight",
}
REVIEW = {"text": "Sturdy and quick to set up, but the lid leaks a little when it is full."}


def main(address: str) -> None:
    """Take both pictures."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*FLAGS])
        page = _answered(chromium, address, "AVE", PRODUCT, width=1200, height=1010, scheme="light")
        page.screenshot(path=HERE / "service-page.png")
        page = _answered(chromium, address, "SA", REVIEW, width=390, height=780, scheme="dark")
        page.screenshot(path=HERE / "service-page-phone.png")
        chromium.close()


def _answered(
    chromium: Browser, address: str, task: str, row: dict[str, str], *, width: int, height: int, scheme: str
) -> Page:
    """Return the page with the answer to a row."""
    size = {"width": width, "height": height}
    page = chromium.new_context(viewport=size, color_scheme=scheme, device_scale_factor=1).new_page()
    page.goto(f"{address}/?task={task}&example=0")
    for name, value in row.items():
        page.locator(f"#field-{name}").fill(value)
    page.get_by_role("button", name="Answer", exact=True).click()
    page.locator("#answer").wait_for()
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    return page


if __name__ == "__main__":
    main(*sys.argv[1:])
