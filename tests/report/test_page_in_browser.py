"""The page in Chromium: axe-core, the console, requests, anchors, sorting, and print.

    PICTURES=FOLDER pytest tests/report/test_page_in_browser.py    keeps screenshots and the PDF

Chromium is Debian's (`apt install chromium`) or any on the PATH; none is downloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_results import make_pack, make_result
from platforms import missing

import edgeskin

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
browsers = pytest.importorskip("playwright.sync_api")
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing("no Chromium here: apt install chromium")
    with browsers.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    pack = make_pack(folder / "pack", images=40)
    make_result(folder / "results", pack, file="skin-fp32.tflite", run_ms=100.0)
    make_result(folder / "results", pack, file="skin-int8.tflite", run_ms=20.0, flips=2)
    make_result(folder / "results", pack, file="<img src=x>-int8.tflite", run_ms=9.0)
    make_result(
        folder / "results", pack, file="skin-int8.tflite", device="emulated:cortex-a76", run_ms=None
    )
    long = f"{'unbroken' * 12}: {'word' * 40}"
    make_result(folder / "results", pack, file=f"{'skin' * 20}-int8.tflite", doubts=(long,))
    edgeskin.report(folder / "results", folder / "report.html", packs=[folder / "pack"])
    return folder / "report.html"


def kept(name: str) -> Path | None:
    folder = os.environ.get("PICTURES")
    return Path(folder) / name if folder else None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_people_and_their_tools_can_read_it(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = axe.Axe().run(page)
    # Contrast of at least 4.5, names, headings, tables; axe-core's own words where one is missed.
    assert found.response["violations"] == [], found.generate_report()
    assert said == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data"}
    assert [url for url in asked if url.startswith("file:")] == [page_file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") == width  # only tables scroll
    assert page.evaluate(_STICKING_OUT) == []
    if (path := kept(f"report-{scheme}-{width}.png")) is not None:
        page.screenshot(path=path, full_page=True)
    page.close()


_STICKING_OUT = """() => {
  const edge = document.documentElement.clientWidth;
  return [...document.querySelectorAll('table.said *')]
    .filter(e => e.getBoundingClientRect().right > edge || e.scrollWidth > e.clientWidth + 1)
    .filter(e => getComputedStyle(e).display !== 'inline' && !e.closest('thead'))
    .map(e => e.textContent);
}"""
"""What of the checks' table reaches over the page's edge or out of its cell."""


def test_anchors_and_sorting(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    for link in page.locator("a[href^='#']").all():
        assert page.locator(f"[id='{link.get_attribute('href')[1:]}']").count() == 1
    head = page.locator("table.results th", has_text="Inference p50")
    head.focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    column = head.evaluate("cell => cell.cellIndex")
    cells = f"[...document.querySelectorAll('table.results tbody tr')].map(r => r.cells[{column}])"
    keys = f"{cells}.map(c => c.dataset.sort && Math.round(c.dataset.sort))"
    assert page.evaluate(keys) == [9, 10, 20, 100, ""]  # what has no time comes last
    head.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert page.evaluate(keys) == [100, 20, 10, 9, ""]
    page.close()


def test_it_reads_without_scripts_and_prints(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator("table.results tbody tr").count() == 5
    assert page.locator("figure.chart svg").first.is_visible()
    printed = page.pdf(prefer_css_page_size=True, path=kept("report.pdf"))
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="print", color_scheme="dark")
    paper = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"  # dark pages print light
    context.close()
