import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit, until
from tests.browser.galleries import CLASSES, EVIL, write, write_two

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


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two(tmp_path_factory.mktemp("two"))


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
    page.get_by_role("navigation").get_by_role("link", name="Visual").click()
    until(page, f"({PLAYING})() > 3")
    video = page.locator("video").first
    assert video.evaluate("v => v.muted && v.loop")
    page.get_by_role("button", name="Motion").evaluate("b => b.click()")
    until(page, f"({PLAYING})() === 0")
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#v .list > :last-child video")).to_have_count(0)


@pytest.mark.parametrize("section", ["a", "v"])
def test_a_tile_plays_its_video_and_its_audio(visit: Visit, small: Path, section: str) -> None:
    page = visit(small)
    page.get_by_role("button", name="Motion").click()
    until(page, f"({PLAYING})() === 0")
    tile = page.locator(f"#{section} .tile[data-video][data-audio]").first
    tile.click(position={"x": 30, "y": 60})
    expect(tile).to_have_attribute("aria-pressed", "true")
    until(page, f"({PLAYING})() === 1")
    until(page, "[...document.querySelectorAll('.tile')].some(e => e.style.getPropertyValue('--played') > 0)")
    tile.click(position={"x": 30, "y": 60})
    expect(tile).to_have_attribute("aria-pressed", "false")
    until(page, f"({PLAYING})() === 0")


def test_an_item_enlarges_with_both_media(
    visit: Visit, small: Path, serious_faults: Callable[[Page], list[str]]
) -> None:
    page = visit(small, width=390)
    cards = page.locator("#a .cluster").first.locator(".card")
    cards.first.get_by_role("button", name="Enlarge").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text(cards.nth(0).get_attribute("data-item") or "")
    for media in ("video", "audio", "img.spectrogram"):
        expect(dialog.locator(media)).to_be_visible()
    assert serious_faults(page) == []
    page.keyboard.press("ArrowRight")
    expect(dialog).to_contain_text(cards.nth(1).get_attribute("data-item") or "")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(cards.nth(1).locator(".enlarge")).to_be_focused()
    page.keyboard.press("e")
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_purity_and_nmi_stand_beside_chance(visit: Visit, small: Path) -> None:
    page = visit(small)
    expect(page.locator(".measures tbody tr").first).to_contain_text("50 % by chance")
    expect(page.locator(".cluster .measure").first).to_contain_text("chance")
    page.get_by_text("What purity, NMI and chance mean").click()
    expect(page.locator(".explained")).to_contain_text("normalized mutual information")


@pytest.mark.parametrize("width", [1280, 800])
def test_the_last_row_of_items_is_not_ragged(visit: Visit, two: Path, small: Path, width: int) -> None:
    for path in (two, small):
        page = visit(path, width=width)
        gaps: list[float] = page.eval_on_selector_all(
            ".cards",
            "all => all.map(e => e.getBoundingClientRect().right - e.lastElementChild.getBoundingClientRect().right)",
        )
        assert max(map(abs, gaps)) < 1


def test_two_rounds_stand_side_by_side(
    visit: Visit,
    two: Path,
    serious_faults: Callable[[Page], list[str]],
    sideways: Callable[[Page], int],
) -> None:
    page = visit(two)
    assert page.title() == "Clusters of XDC, round 1 and XDC, round 2"
    left, right = (page.locator(f"#video-0 .part >> nth={n}") for n in (0, 1))
    assert (left.bounding_box() or {})["y"] == (right.bounding_box() or {})["y"]
    expect(left.locator(".cluster")).to_have_count(3)
    expect(right.locator(".cluster")).to_have_count(2)
    expect(page.locator("#audio-0 > header")).to_contain_text("NMI between both sides 1.00")
    link = page.locator("#A-v-2 .match a")
    expect(link).to_have_text("100 % of its items are in cluster 1 of the other side")
    link.click()
    expect(page).to_have_url(re.compile("#B-v-1$"))
    expect(page.locator("#B-v-1")).to_be_in_viewport()
    assert serious_faults(page) == []
    narrow = visit(two, width=390, theme="dark")
    assert sideways(narrow) <= 0
    assert serious_faults(narrow) == []


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
    expect(shown(page).first).to_contain_text(item)
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
    expect(page).to_have_url(re.compile("#v-2$"))
    expect(page.locator("#v-2")).to_be_in_viewport()


def test_keyboard(visit: Visit, small: Path) -> None:
    page = visit(small)
    clusters = [page.locator(f"[id='{one.get_attribute('id')}']") for one in page.locator(".cluster").all()]
    page.keyboard.press("j")
    expect(clusters[0]).to_be_focused()
    page.keyboard.press("j")
    page.keyboard.press("ArrowDown")
    expect(clusters[2]).to_be_focused()
    page.keyboard.press("k")
    expect(clusters[1]).to_be_focused()
    page.keyboard.press("Space")
    tiles = clusters[1].locator(".tile")
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
    assert page.title() == "Clusters of XDC, round 2"
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
    assert loaded < 400
    page.locator(".index summary").first.click()
    link = page.locator("#a .index a").nth(100)
    anchor = link.get_attribute("href") or ""
    page.get_by_label("Search").fill("no such thing")
    link.click()
    expect(page.locator(anchor)).to_be_in_viewport()
