import base64
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.unit.reports.results.made_results import ARABIC, EVIL, write
from xdcbench.reports.gather import gather
from xdcbench.reports.results.page import page_data, write_report
from xdcbench.results.run_store import RunStore

RUNS = 8


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Beside a folder in which XDC was worse."""
    folder = tmp_path_factory.mktemp("report")
    earlier = write(folder / "earlier", right={"xdc": (100, 110), "sdc": (90,), EVIL: (20,)})
    list(write_report([write(folder / "results")], earlier, folder))
    return folder / "index.html"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    RunStore(folder)
    list(write_report([folder], None, folder))
    return folder / "index.html"


def shown(page: Page) -> Locator:
    return page.locator("#list .run:not([hidden])")


def test_a_number_leads_to_its_run(visit: Visit, report: Path) -> None:
    page = visit(report)
    link = page.locator("#table-probes a.value", has_text="45.0")
    anchor = link.get_attribute("href") or ""
    link.click()
    expect(page).to_have_url(re.compile(f"{anchor}$"))
    run = page.locator("details.run", has=page.locator(anchor))
    expect(run).to_have_attribute("open", "")
    expect(run.locator("summary")).to_be_in_viewport()
    expect(run.locator("tbody").first).to_contain_text("45.0 %")
    run.get_by_role("link", name="index-00000000000a").click()
    expect(page.locator("#run-index-00000000000a")).to_be_in_viewport()


def test_a_mean_leads_to_all_its_runs(visit: Visit, report: Path) -> None:
    page = visit(report)
    page.locator("#table-probes a.value", has_text="76.5").click()
    expect(shown(page)).to_have_count(2)
    expect(page.locator("#picked")).to_contain_text("2 runs are behind 76.5.")
    page.get_by_role("button", name="Show all runs").click()
    expect(shown(page)).to_have_count(RUNS)


def test_a_link_opens_what_a_filter_hides(visit: Visit, report: Path) -> None:
    page = visit(report)
    page.get_by_label("Stage", exact=True).select_option("index")
    expect(shown(page)).to_have_count(1)
    page.locator(".chain > summary").click()
    page.get_by_role("link", name="Round 2 of xdc/kinetics400/seed0", exact=True).click()
    expect(page.locator("#run-round-000000000002")).to_be_in_viewport()
    page.goto(f"{report.as_uri()}#run-round-000000000001")
    page.reload()
    expect(page.locator("#run-round-000000000001")).to_be_visible()


def test_without_scripts_links_still_open_runs(browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    page.locator("#table-probes a.value").first.click()
    expect(page.locator(".run .body:target")).to_be_visible()
    context.close()


def test_search_filter_and_order(visit: Visit, report: Path) -> None:
    page = visit(report)
    expect(shown(page)).to_have_count(RUNS)
    page.get_by_label("Order", exact=True).select_option("seconds")
    expect(shown(page).first).to_have_attribute("data-kind", "round")
    page.get_by_label("Order", exact=True).select_option("value")
    values = [float(one.get_attribute("data-value") or "-inf") for one in shown(page).all()]
    assert values == sorted(values, reverse=True)
    assert values[0] == 78.0
    page.get_by_label("Order", exact=True).select_option("name")
    names = [one.get_attribute("data-name") for one in shown(page).all()]
    assert names == sorted(names, key=str)
    page.get_by_label("Stage", exact=True).select_option("round")
    expect(shown(page)).to_have_count(2)
    page.get_by_label("Search").fill("ROUND2")
    expect(shown(page)).to_have_count(1)
    page.get_by_label("Search").fill("no such thing")
    expect(page.locator("#tally")).to_have_text(f"0 of {RUNS} runs")
    expect(page.get_by_text("No run fits.")).to_be_visible()


def test_what_moved_is_said_and_leads_to_both_sides(visit: Visit, report: Path) -> None:
    page = visit(report)
    row = page.locator("#moved tbody tr").first
    expect(row).to_contain_text("+24.0")
    expect(row).to_contain_text("better")
    row.get_by_role("link", name="52.5").click()
    expect(page.locator("[id^='beside-']:target")).to_be_visible()


def test_names_are_text_whatever_they_hold(visit: Visit, report: Path) -> None:
    page = visit(report)
    assert page.title() == "Report of results"
    assert page.locator("img").count() == 0
    page.locator("#data summary", has_text="not decoded").click()
    expect(page.locator("#data")).to_contain_text(EVIL)
    page.locator("#data summary", has_text="not found").click()
    name = page.locator("#data bdi", has_text=ARABIC)
    assert name.evaluate("e => getComputedStyle(e).unicodeBidi") == "isolate"


def test_charts_are_of_the_colors_of_the_theme(visit: Visit, report: Path) -> None:
    strokes = {
        theme: visit(report, theme=theme)
        .locator(".chart .line")
        .first.evaluate("e => getComputedStyle(e).stroke")
        for theme in ("light", "dark")
    }
    assert strokes["light"] != strokes["dark"]
    page = visit(report)
    for chart in page.locator(".chart > svg").all():
        assert (chart.get_attribute("aria-label") or "").count(":") >= 1


def test_leaderboard_then_tables_then_curves(visit: Visit, report: Path) -> None:
    page = visit(report)
    headings = page.locator("h2").all_inner_texts()
    assert headings == [
        *("What moved", "Leaderboard", "Tables", "Curves", "Data", "Time and cost", "Environment", "Runs")
    ]
    page.locator("#board a.value", has_text="76.5").click()
    expect(shown(page)).to_have_count(2)
    page.get_by_role("button", name="linear_probe").click()
    expect(page.locator("#board th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    page.get_by_label("Pretraining data").select_option("Kinetics-400")
    expect(page.locator("#board-tally")).to_have_text("3 of 3 rows")


@pytest.mark.parametrize(("title", "suffix"), [("CSV", "csv"), ("LaTeX", "tex")])
def test_a_table_downloads_whole(visit: Visit, report: Path, title: str, suffix: str, tmp_path: Path) -> None:
    page = visit(report)
    with page.expect_download() as download:
        page.locator("#table-probes").get_by_role("link", name=title).click()
    assert download.value.suggested_filename == f"probes.{suffix}"
    download.value.save_as(tmp_path / "table")
    text = (tmp_path / "table").read_text()
    results = gather([report.parent / "results"])
    shown = next(table for table in page_data(results)["tables"] if table["name"] == "probes")
    written = next(one["link"] for one in shown["downloads"] if one["name"] == f"probes.{suffix}")
    assert text == base64.b64decode(written.partition(",")[2]).decode()
    assert "76.5" in text and (text.count("\\\\") > 3 if suffix == "tex" else text.count(",") > 20)


def test_a_modality_has_one_color_on_every_chart(visit: Visit, report: Path) -> None:
    page = visit(report)
    page.evaluate("document.querySelectorAll('#curves details').forEach(one => { one.open = true; })")
    colors = {
        modality: page.locator(f".overlay figure:has(.title:text('{modality}')) .line").evaluate_all(
            "all => [...new Set(all.map(e => getComputedStyle(e).stroke))]"
        )
        for modality in ("Video", "Audio")
    }
    assert len(colors["Video"]) == len(colors["Audio"]) == 1 and colors["Video"] != colors["Audio"]
    single = page.locator(".chain .chart").filter(has_text="video, labels a").first.locator(".line").first
    assert single.evaluate("e => getComputedStyle(e).stroke") == colors["Video"][0]


def test_points_say_their_values_and_a_method_stands_out(visit: Visit, report: Path) -> None:
    page = visit(report)
    loss = page.locator(".overlay").first
    titles = loss.locator(".dot title").all_text_contents()
    assert titles[0] == "XDC: 4 (epoch 1)"
    loss.get_by_text("Numbers").click()
    expect(loss.get_by_role("cell", name="4", exact=True)).to_be_visible()
    button = page.locator(".legend-of-lines").get_by_role("button", name="XDC")
    button.press("Enter")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#curves")).to_have_class("fade")


def test_sections_can_be_reached(visit: Visit, report: Path) -> None:
    page = visit(report)
    for link in page.get_by_role("navigation").get_by_role("link").all():
        link.click()
        target = page.locator(f"{link.get_attribute('href')} h2")
        expect(target).to_be_in_viewport()
        assert target.evaluate("e => e.getBoundingClientRect().top") >= page.locator(".bar").evaluate(
            "e => e.getBoundingClientRect().bottom"
        ), "not below the bar"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_usable_by_all(
    visit: Visit,
    report: Path,
    theme: str,
    width: int,
    serious_faults: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
) -> None:
    page = visit(report, width=width, theme=theme)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert serious_faults(page) == []
    assert sideways(page) <= 0


def test_a_folder_without_runs(
    visit: Visit,
    empty: Path,
    serious_faults: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
) -> None:
    page = visit(empty, width=390)
    expect(page.get_by_text("There is no complete run here yet.")).to_be_visible()
    assert serious_faults(page) == []
    assert sideways(page) <= 0
