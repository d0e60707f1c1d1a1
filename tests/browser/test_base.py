from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from xdcbench.reports import html


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page with no more than every page has, and a script that its policy must not let run."""
    for asset in html.ASSETS.iterdir():
        (tmp_path / asset.name).write_text(asset.read_text())
    monkeypatch.setattr(html, "ASSETS", tmp_path)
    (tmp_path / "toy.html").write_text('{% extends "base.html" %}{% block main %}<h1>Toy</h1>{% endblock %}')
    path = tmp_path / "page.html"
    path.write_text(html.render("toy", {}))
    return path


def background(page: Page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_follows_the_system_and_the_button(visit: Visit, file: Path) -> None:
    light, dark = visit(file), visit(file, theme="dark")
    before = background(light), background(dark)
    assert before[0] != before[1]
    light.get_by_role("button", name="Dark theme").click()
    assert background(light) == before[1]
    light.reload()
    assert background(light) == before[1]
    dark.get_by_role("button", name="Light theme").click()
    assert background(dark) == before[0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_accessible_and_narrow(
    visit: Visit,
    file: Path,
    theme: str,
    serious_faults: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
) -> None:
    page = visit(file, width=390, theme=theme)
    assert serious_faults(page) == []
    assert sideways(page) <= 0


def test_keyboard_can_skip_to_the_content(visit: Visit, file: Path) -> None:
    page = visit(file)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_policy_refuses_what_is_not_the_pages_own(browser, file: Path) -> None:
    file.write_text(
        file.read_text().replace(
            "<h1>", "<img src=x onerror='document.title=1'><script>document.title=1</script><h1>"
        )
    )
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    assert page.title() == "xdcbench"
    assert not any(url.startswith("http") for url in asked)
    context.close()
