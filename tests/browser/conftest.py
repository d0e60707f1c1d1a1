"""Pages in a real browser: headless Chromium, which fails a test on any error or request to a network."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NO_BROWSER = "no Chromium on this machine"
LOCAL = ("file:", "data:", "blob:", "about:")

Visit = Callable[..., Page]


def until(page: Page, condition: str, *, seconds: float = 30) -> Any:
    """The first true value of a JavaScript expression, asked for again and again from outside the page.

    ``Page.wait_for_function`` would ask inside of it, with an ``eval`` that the pages' own policy forbids.
    """
    end = time.monotonic() + seconds
    while not (value := page.evaluate(condition)):
        assert time.monotonic() < end, f"never true: {condition}"
        page.wait_for_timeout(20)
    return value


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The machine's own Chromium, started once for all tests of this folder."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if binary is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=binary)
        yield running
        running.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Opens a file as its reader would; at the end of the test nothing may have failed or left the disk."""
    faults: list[str] = []
    contexts = []

    def open_page(path: Path, *, width: int = 1280, theme: Literal["light", "dark"] = "light") -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(LOCAL) else faults.append(asked.url))
        page.goto(path.resolve().as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


@pytest.fixture
def serious_faults() -> Callable[[Page], list[str]]:
    """What axe-core finds wrong with a page for those who do not see or point, serious and critical."""

    def find(page: Page) -> list[str]:
        found: list[dict[str, Any]] = Axe().run(page).response["violations"]
        return [
            f"{fault['id']}: {fault['help']}: {node['html']}"
            for fault in found
            for node in fault["nodes"]
            if fault["impact"] in ("serious", "critical")
        ]

    return find


@pytest.fixture
def sideways() -> Callable[[Page], int]:
    """Pixels by which a page is wider than its window."""
    return lambda page: page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
