import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.reports.results.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Level,
    Point,
    Series,
    XAxis,
    chart,
)

NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda x: round(x, 6))


def drawn(points: list[tuple[float, float]], **how: object) -> Chart:
    made = chart("y", [Series("one", tuple(Point(x, y) for x, y in points))], XAxis("x"), **how)
    assert made is not None
    return made


def places(path: str) -> list[tuple[float, float]]:
    """Points of a path by the grammar of SVG, moves and lines alone."""
    return [tuple(map(float, pair.split(","))) for pair in path.replace("M", " ").replace("L", " ").split()]


def test_a_line_that_was_worked_out_by_hand() -> None:
    made = drawn([(0, 0.0), (10, 1.0)], y_range=(0.0, 1.0))
    assert places(made.lines[0].path) == [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]
    assert [tick.text for tick in made.y] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert made.y[0].at == HEIGHT - BOTTOM and made.y[-1].at == TOP
    assert made.words == "y by x. one: 0 to 1."


@given(st.lists(st.tuples(st.integers(0, 100_000), NUMBERS), min_size=1, max_size=30))
def test_everything_lies_inside_and_ticks_bound_the_values(points: list[tuple[int, float]]) -> None:
    made = drawn([(float(x), y) for x, y in points])
    for x, y in places(made.lines[0].path):
        assert LEFT <= x <= WIDTH - RIGHT
        assert TOP <= y <= HEIGHT - BOTTOM
    assert 2 <= len(made.y) <= 7
    ups = [tick.at for tick in made.y]
    assert ups == sorted(ups, reverse=True)
    xs = [tick.at for tick in made.x]
    assert all(b - a >= 36 for a, b in pairwise(xs))


def test_a_wide_range_of_positive_values_is_logarithmic() -> None:
    wide = drawn([(1, 0.01), (2, 0.1), (3, 100.0)], may_log=True)
    assert wide.y[0].text == "0.01"
    (_, first), (_, second), (_, third) = places(wide.lines[0].path)
    assert (first - third) == pytest.approx(4 * (first - second), abs=0.3)
    with_zero = drawn([(1, 0.0), (2, 0.1), (3, 100.0)], may_log=True)
    assert with_zero.y[0].text == "0"


def test_what_is_no_number_is_a_gap() -> None:
    made = drawn([(1, 1.0), (2, math.nan), (3, 2.0), (4, math.inf), (5, 3.0)])
    assert made.lines[0].path.count("M") == 3
    assert "nan" not in made.lines[0].path and "inf" not in made.lines[0].path


def test_nothing_to_draw_is_nothing() -> None:
    assert chart("y", [], XAxis("x")) is None
    assert chart("y", [Series("one", ())], XAxis("x")) is None
    assert chart("y", [Series("one", (Point(1, math.nan),))], XAxis("x")) is None


def test_ends_are_a_band_or_whiskers() -> None:
    points = (Point(1, 2.0, 1.0, 4.0), Point(2, 3.0, 2.0, 5.0))
    band = chart("y", [Series("one", points, band=True)], XAxis("x"))
    bars = chart("y", [Series("one", points)], XAxis("x"))
    assert band is not None and bars is not None
    assert len(places(band.lines[0].area.removesuffix(" Z"))) == 4 and not band.lines[0].whiskers
    assert len(bars.lines[0].whiskers) == 2 and not bars.lines[0].area
    assert band.y[-1].text == "5" and band.y[0].text == "1"


def test_faint_lines_give_way_to_the_others() -> None:
    plain = Series("loss", (Point(1, 1.0), Point(2, 2.0)))
    faint = Series("held out", (Point(1, 1.0), Point(2, 900.0)), faint=True)
    made = chart("Loss", [plain, faint], XAxis("epoch"))
    assert made is not None
    assert made.y[-1].text in ("2.5", "2.6") and [line.faint for line in made.lines] == [True, False]
    alone = chart("Loss", [faint], XAxis("epoch"))
    assert alone is not None and alone.y[-1].text == "1000"


def test_chance_is_a_line_within_the_axis_and_points_say_their_values() -> None:
    made = chart(
        "y", [Series("XDC", (Point(1, 5.0), Point(2, 4.0)))], XAxis("epoch"), levels=[Level("chance", 5.5)]
    )
    assert made is not None
    (level,) = made.levels
    assert level.text == "chance" and TOP <= level.at < made.lines[0].dots[0].y
    assert [dot.text for dot in made.lines[0].dots] == ["XDC: 5 (epoch 1)", "XDC: 4 (epoch 2)"]
