"""The report in a browser: at two widths, in both colour schemes, by keyboard, and printed.

They need Chromium (apt install chromium), and are skipped without it.
"""

from __future__ import annotations

import os
import shutil

import pytest

from benchmarks.report import LABELS, generate
from scripts.page import contents
from scripts.page.page import render
from tests.test_report import HOSTILE, NAMES

api = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SIZES = {"wide": {"width": 1280, "height": 900}, "narrow": {"width": 390, "height": 844}}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Of ordinary labels and texts, and of odd ones. They have few of each: axe takes as long as there are elements."""
    folder = tmp_path_factory.mktemp("pages")
    long = [f"A_LONG_LABEL_OF_THE_TEST_NUMBER_{number}" for number in range(4)]
    for name, labels, words in (
        ("plain", LABELS[:10], ["of", "Berlin", "1999"]),
        ("odd", [*NAMES, *long, "x" * 70], HOSTILE),
    ):
        generate(folder / name, 3, labels, texts=20, words=words)
        found = contents.load(folder / name / "metrics", folder / name / "corpus", with_texts=True)
        (folder / f"{name}.html").write_bytes(render(found))
    return folder


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium: apt install chromium, or say where it is in CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--disable-gpu", "--disable-quic"])
        yield browser
        browser.close()


CASES = [("wide", "light", "plain"), ("narrow", "dark", "plain"), ("wide", "dark", "odd"), ("narrow", "light", "odd")]


@pytest.fixture(params=CASES, ids="-".join)
def shown(request, browser, pages):
    """A page, what it said on the console, and what it asked for."""
    size, scheme, name = request.param
    page = browser.new_page(viewport=SIZES[size], color_scheme=scheme)
    page.set_default_timeout(300_000)  # ms: pages are long, and machines busy
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((pages / f"{name}.html").as_uri())
    yield page, said, asked
    page.close()


def test_a_page_is_quiet_fits_and_can_be_used_by_all(shown, tmp_path):
    page, said, asked = shown
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    assert [(each["id"], each["nodes"][0]["html"]) for each in found["violations"]] == []
    assert page.screenshot(full_page=True, path=tmp_path / "page.png")
    assert said == []
    assert asked == [page.url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_to_the_right_has_a_shade_there_until_its_end(scheme, browser, pages):
    page = browser.new_page(viewport={"width": 375, "height": 812}, color_scheme=scheme)
    page.goto((pages / "odd.html").as_uri())
    table = page.locator("div.scroll").first
    assert table.evaluate("each => each.scrollWidth > each.clientWidth")
    box = table.bounding_box()
    edge = {"x": box["x"] + box["width"] - 3, "y": box["y"] + box["height"] - 3, "width": 2, "height": 2}
    shade = page.screenshot(clip=edge, full_page=True)
    table.evaluate("each => each.scrollLeft = each.scrollWidth")
    assert page.screenshot(clip=edge, full_page=True) != shade
    page.close()


def test_it_can_be_read_by_keyboard(browser, pages):
    page = browser.new_page(viewport=SIZES["narrow"])
    page.goto((pages / "plain.html").as_uri())
    focused = []
    for _ in range(16):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.className || document.activeElement.tagName"))
    assert focused[0] == "skip"
    assert focused[1:13] == ["A"] * 12
    assert focused[13] == "SUMMARY"
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('.help').open") is False  # the focus went on to a table
    page.focus("summary")
    page.keyboard.press("Enter")
    assert page.evaluate("document.querySelector('.help').open") is True
    assert "scroll" in focused
    page.close()


def test_all_of_it_is_printed(browser, pages):
    page = browser.new_page()
    page.goto((pages / "plain.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("nav").is_visible()
    assert page.locator("details.errors").last.locator("dl").first.bounding_box()["height"] > 0
    assert page.pdf().startswith(b"%PDF")
    page.close()
