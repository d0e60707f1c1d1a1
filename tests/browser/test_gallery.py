from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit, until
from tests.browser.galleries import CLASSES, EVIL, write

AUDIO, VIDEO = 5, 4


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("small"), audio=AUDIO, video=VIDEO)


@pytest.fixture(scope="module")
def unlabeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("unlabeled"), audio=AUDIO, video=VIDEO, classes=())


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The paper's numbers of clusters."""
    return write(tmp_path_factory.mktemp("large"), audio=128, video=64)


def shown(page: Page) -> Locator:
    return page.locator(".cluster:not([hidden])")


def values(page: Page, section: str, name: str) -> list[float]:
    found: list[float] = page.eval_on_selector_all(
        f"#{section} .cluster", f"all => all.map(one => Number(one.dataset.{name}))"
    )
    return found


def test_audio_plays_and_ends_the_one_before(visit: Visit, small: Path) -> None:
    page = visit(small)
    first, second = page.locator("#a .tile[data-audio]").nth(0), page.locator("#a .tile[data-audio]").nth(1)
    first.click()
    expect(first).to_have_attribute("aria-pressed", "true")
    until(
        page, "[...document.querySelectorAll('.tile')].some(e => e.style.getPropertyValue('--played') > 0.1)"
    )
    second.click()
    expect(first).to_have_attribute("aria-pressed", "false")
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(second).to_have_attribute("aria-pressed", "false", timeout=8000)


PLAYING = "() => [...document.querySelectorAll('video')].filter(v => !v.paused && v.currentTime > 0).length"


def test_videos_loop_where_they_are_seen_and_nowhere_else(visit: Visit, small: Path) -> None:
    page = visit(small)
    assert page.locator("video").count() == 0
    page.get_by_role("navigation").get_by_role("link", name="Visual").click()
    until(page, f"({PLAYING})() > 3")
    video = page.locator("video").first
    assert video.evaluate("v => v.muted && v.loop")
    page.get_by_role("button", name="Motion").evaluate("b => b.click()")
    until(page, f"({PLAYING})() === 0")
    tile = page.locator("#v .tile[data-video]").first
    tile.click()
    until(page, f"({PLAYING})() === 1")
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("video")).to_have_count(0)


def test_search_filter_and_order(visit: Visit, small: Path) -> None:
    page = visit(small)
    expect(shown(page)).to_have_count(AUDIO + VIDEO)
    assert values(page, "a", "purity") == sorted(values(page, "a", "purity"), reverse=True)
    page.get_by_label("Order", exact=True).select_option("spread")
    assert values(page, "v", "spread") == sorted(values(page, "v", "spread"))
    page.get_by_label("Order", exact=True).select_option("number")
    assert values(page, "a", "number") == list(range(AUDIO))
    item = page.locator("#v .card").first.get_attribute("data-item")
    assert item is not None
    page.get_by_label("Search").fill(item.upper())
    assert 1 <= shown(page).count() <= 2
    page.get_by_label("Search").fill("no such thing")
    expect(shown(page)).to_have_count(0)
    expect(page.get_by_role("status")).to_have_text(f"0 of {AUDIO + VIDEO} clusters")
    expect(page.get_by_text("No cluster fits.").first).to_be_visible()
    page.get_by_label("Search").fill("")
    label = page.locator(".cluster").first.get_attribute("data-label")
    assert label is not None
    page.get_by_label("Most frequent label", exact=True).select_option(value=label)
    assert {one.get_attribute("data-label") for one in shown(page).all()} == {label}


def test_a_link_leads_to_its_clusters(visit: Visit, small: Path) -> None:
    page = visit(small)
    page.get_by_role("navigation").get_by_role("link", name="Visual").click()
    expect(page.get_by_role("heading", name="Visual clusters")).to_be_in_viewport()
    page.get_by_role("link", name="Visual cluster 2", exact=True).click()
    assert page.url.endswith("#v-2")
    expect(page.locator("#v-2")).to_be_in_viewport()


def test_keyboard(visit: Visit, small: Path) -> None:
    page = visit(small)
    focused = "document.activeElement.id"
    clusters = [one.get_attribute("id") for one in page.locator(".cluster").all()]
    page.keyboard.press("j")
    assert page.evaluate(focused) == clusters[0]
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(focused) == clusters[2]
    page.keyboard.press("k")
    assert page.evaluate(focused) == clusters[1]
    page.keyboard.press("Space")
    tiles = page.locator(f"#{clusters[1]} .tile")
    expect(tiles.nth(0)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowRight")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("Space")
    expect(tiles.nth(1)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("/")
    page.keyboard.type("jk")
    expect(page.get_by_label("Search")).to_have_value("jk")


def test_names_are_text_whatever_they_hold(visit: Visit, small: Path) -> None:
    page = visit(small)
    assert page.title() == "Clusters of xdc, round 2"
    label = page.locator(f"h3 >> text={CLASSES[2]}").first
    assert label.evaluate("e => getComputedStyle(e).direction") == "rtl"
    assert EVIL in page.get_by_label("Most frequent label", exact=True).inner_text()
    assert page.locator("img[src=x]").count() == 0


def test_what_vanished_keeps_its_place(visit: Visit, small: Path) -> None:
    page = visit(small)
    assert page.locator("#gone").inner_text().startswith("1 of ")
    expect(page.locator(".tile.gone").first).to_contain_text("No such file")


def test_without_labels_the_order_is_by_size(visit: Visit, unlabeled: Path) -> None:
    page = visit(unlabeled)
    assert page.get_by_label("Most frequent label", exact=True).count() == 0
    assert values(page, "v", "size") == sorted(values(page, "v", "size"), reverse=True)
    assert page.get_by_label("Order", exact=True).input_value() == "size"
    assert page.locator(".measure").first.inner_text().endswith("items")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_usable_by_all(
    visit: Visit,
    small: Path,
    theme: str,
    width: int,
    serious_faults: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
) -> None:
    page = visit(small, width=width, theme=theme)
    assert serious_faults(page) == []
    assert sideways(page) <= 0
    for tile in page.locator("button.tile").all():
        assert tile.locator("img").first.get_attribute("alt")


def test_many_clusters_load_only_what_is_seen(visit: Visit, large: Path) -> None:
    page = visit(large)
    page.wait_for_load_state("networkidle")
    assert page.locator(".cluster").count() == 192
    assert page.locator(".card img").count() > 1800
    loaded = page.evaluate("[...document.images].filter(i => i.complete && i.naturalWidth > 0).length")
    assert loaded < 300
