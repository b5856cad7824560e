"""Make the picture of a report that the README shows, from the example: ``python docs/examples/picture.py``."""

from pathlib import Path

from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
PICTURE = HERE.parent / "assets/report.png"

with sync_playwright() as browsers:
    browser = browsers.chromium.launch(executable_path="/usr/bin/chromium-headless-shell", args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1000, "height": 510})
    page.goto((HERE / "sweep/report.html").as_uri())
    page.screenshot(path=PICTURE)
    browser.close()
