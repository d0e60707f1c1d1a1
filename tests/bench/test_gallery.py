"""Seconds until a large page of clusters shows its first screen."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright
from pytest_benchmark.fixture import BenchmarkFixture

from tests.browser.conftest import BROWSERS, NO_BROWSER, until
from tests.browser.galleries import write

pytestmark = pytest.mark.bench

FIRST_SCREEN = """(() => {
  const seen = [...document.images].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width > 0 && box.bottom > 0 && box.top < innerHeight;
  });
  return seen.length > 0 && seen.every((one) => one.complete && one.naturalWidth > 0) && performance.now();
})()"""
"""Milliseconds since the page was asked for, once all images of the first screen are there."""


@pytest.mark.benchmark(group="gallery")
def test_the_first_screen_of_192_clusters_of_10_clips(benchmark: BenchmarkFixture, tmp_path: Path) -> None:
    """The paper's 128 audio and 64 visual clusters; asserted: under 2 s by the page's own clock."""
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    if binary is None:
        pytest.skip(NO_BROWSER)
    page_file = write(tmp_path, audio=128, video=64)
    took = []
    with sync_playwright() as driver, driver.chromium.launch(executable_path=binary) as browser:

        def visit() -> None:
            with browser.new_context(viewport={"width": 1280, "height": 844}) as context:
                page = context.new_page()
                page.goto(page_file.resolve().as_uri())
                took.append(until(page, FIRST_SCREEN) / 1000)

        benchmark.pedantic(visit, rounds=5)
    benchmark.extra_info["first_screen_s"] = took
    assert min(took) < 2
