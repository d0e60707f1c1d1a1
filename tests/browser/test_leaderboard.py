from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.unit.reports.leaderboard.made_board import write_board
from tests.unit.reports.results.made_results import EVIL
from xdcbench.reports.leaderboard.page import write_leaderboard
from xdcbench.results.run_store import RunStore

ROWS = 7


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("board")
    list(write_leaderboard([write_board(folder / "results")], folder))
    return folder / "leaderboard.html"


def rows(page: Page) -> Locator:
    return page.locator("#rows tr:not([hidden])")


def column(page: Page, title: str) -> list[float]:
    """Values of a column from top to bottom, by the name of its sort button."""
    head = page.locator(".evaluations th", has=page.get_by_role("button", name=title)).first
    at = 1 + head.evaluate("e => [...e.parentElement.children].indexOf(e)")
    texts = [row.locator("> *").nth(at).locator(".value") for row in rows(page).all()]
    return [float(one.inner_text()) for one in texts if one.count()]


def test_sorts_by_each_column_both_ways(visit: Visit, board: Path) -> None:
    page = visit(board)
    assert column(page, "Video") == sorted(column(page, "Video")), "the best mean rank is first"
    button = page.get_by_role("button", name="finetune")
    button.click()
    values = column(page, "finetune")
    assert values == sorted(values, reverse=True)
    head = page.locator("th[aria-sort]")
    expect(head).to_have_attribute("aria-sort", "descending")
    button.click()
    assert column(page, "finetune") == values[::-1]
    expect(head).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Encoder").click()
    expect(head).to_have_count(1)
    names = [row.get_attribute("data-name") or "" for row in rows(page).all()]
    assert sorted(names) == sorted(names, key=str)
    assert names[-2:] == ["XDC, AudioSet", "XDC, Kinetics-400"]


def test_rows_without_a_number_stay_last(visit: Visit, board: Path) -> None:
    page = visit(board)
    for _ in range(2):
        page.get_by_role("button", name="audio_probe").click()
        assert "ResNet-18 (audio)" in rows(page).nth(3).inner_text()
        assert "ResNet-18 (audio)" not in rows(page).nth(4).inner_text()


def test_filters(visit: Visit, board: Path) -> None:
    page = visit(board)
    page.get_by_label("License").select_option("own")
    expect(rows(page)).to_have_count(4)
    page.get_by_label("Pretraining data").select_option("Kinetics-400")
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_role("status")).to_have_text(f"2 of {ROWS} rows")
    page.get_by_role("button", name="Show all").click()
    expect(rows(page)).to_have_count(ROWS)
    page.get_by_label("Backbone").select_option("mvit_v2_s")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("License").select_option("own")
    expect(page.get_by_text("No encoder fits.")).to_be_visible()


def test_a_modality_shows_its_columns_alone(visit: Visit, board: Path) -> None:
    page = visit(board)
    page.get_by_label("Modality").select_option("audio")
    expect(rows(page)).to_have_count(4)
    expect(page.get_by_role("button", name="finetune")).to_be_hidden()
    expect(page.get_by_role("button", name="audio_probe")).to_be_visible()
    shown = page.locator("thead .group:not([hidden])")
    assert [group.inner_text() for group in shown.all()] == ["Mean rank", "AudioSet", "ESC-50"]
    page.get_by_label("Modality").select_option("video")
    expect(rows(page)).to_have_count(ROWS)
    expect(page.get_by_role("button", name="audio_probe")).to_be_hidden()


def test_a_number_opens_its_records(visit: Visit, board: Path) -> None:
    page = visit(board)
    row = rows(page).filter(has_text="AudioSet").first
    row.locator("a.value").last.click()
    panel = page.get_by_role("dialog")
    expect(panel).to_be_visible()
    expect(panel).to_contain_text("finetune")
    expect(panel.locator("details")).to_have_count(6)
    panel.locator("summary", has_text="split 2, seed 1").click()
    opened = panel.locator("details", has_text="split 2, seed 1")
    for text in ("finetune-ucf101-000000012", "config hash", "fingerprint", "torch", "400"):
        expect(opened).to_contain_text(text)
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(page).to_have_url(board.as_uri())


def test_a_link_opens_the_panel_at_once(visit: Visit, board: Path) -> None:
    page = visit(board)
    href = page.locator("a.value").first.get_attribute("href")
    page.goto(f"{board.as_uri()}{href}")
    page.reload()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_without_scripts_links_lead_to_the_records(browser, board: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(board.as_uri())
    page.locator("a.value").first.click()
    expect(page.locator("article.panel:target")).to_be_in_viewport()
    expect(page.get_by_label("License")).to_be_hidden()
    context.close()


def test_the_best_are_seen_where_settings_agree(visit: Visit, board: Path) -> None:
    page = visit(board)
    best = page.locator("a.value.best").first
    assert int(best.evaluate("e => getComputedStyle(e).fontWeight")) >= 700
    at = page.locator(".evaluations th", has_text="settings differ")
    expect(at).to_have_count(1)
    expect(at).to_contain_text("retrieval")
    page.locator("#unlike summary").click()
    expect(page.locator("#unlike")).to_contain_text("items used 297 and 300")


def test_names_are_text_whatever_they_hold(visit: Visit, board: Path) -> None:
    page = visit(board)
    assert page.title() == "Leaderboard of results"
    assert page.locator("img").count() == 0
    expect(page.locator("#rows")).to_contain_text(EVIL)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_usable_by_all(
    visit: Visit,
    board: Path,
    theme: str,
    width: int,
    serious_faults: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
) -> None:
    page = visit(board, width=width, theme=theme)
    assert serious_faults(page) == []
    assert sideways(page) <= 0
    first = page.locator("#rows th").first
    page.locator(".board").evaluate("e => { e.scrollLeft = 300; }")
    assert first.evaluate("e => e.getBoundingClientRect().left") >= 0, "names stay in place"
    page.locator("a.value").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.evaluate("document.querySelectorAll('dialog details').forEach(one => { one.open = true; })")
    assert serious_faults(page) == []
    assert sideways(page) <= 0


def test_a_folder_without_runs(
    visit: Visit, tmp_path: Path, serious_faults: Callable[[Page], list[str]]
) -> None:
    RunStore(tmp_path)
    list(write_leaderboard([tmp_path], tmp_path))
    page = visit(tmp_path / "leaderboard.html", width=390)
    expect(page.get_by_text("Nothing is measured here yet.")).to_be_visible()
    assert serious_faults(page) == []
