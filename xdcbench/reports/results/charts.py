"""Line charts as plain numbers; the template makes them SVG in the page's own colors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypeVar

from xdcbench.results.tables.figures import apart
from xdcbench.utils.format import short

T = TypeVar("T")

WIDTH, HEIGHT = 300, 180
"""Of a chart, in its own units: about pixels."""
LEFT, RIGHT, TOP, BOTTOM = 40, 8, 10, 24
"""Margins that hold the numbers of the axes."""
TICKS_APART = 36
"""Room that the number of a place on the x axis takes."""
DOTS = 8
"""Points of a line up to which each is marked."""
HOVERED = 40
"""Points of a line, at most, that say their value under a pointer."""
STRAY = 0.5
"""How far faint lines may stretch the y axis beyond the others, as a share of its length."""
WIDE = 30.0
"""Ratio of largest to smallest positive value from which an axis is logarithmic, where it may be."""


@dataclass(frozen=True)
class Point:
    """A value ``y`` at ``x``, with the ends of what surrounds it (None: nothing does)."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """One line. ``style`` counts the page's colors from 1, ``variant`` the dashes and marks of lines of one color.

    The ends of its points show as a band, or as whiskers. What is ``faint`` is thin and behind the others, and gives
    way to them on the y axis.
    """

    name: str
    points: tuple[Point, ...]
    style: int = 1
    dashed: bool = False
    faint: bool = False
    band: bool = False
    variant: int = 1


@dataclass(frozen=True)
class Level:
    """A horizontal line that others are compared with, such as chance."""

    name: str
    y: float


@dataclass(frozen=True)
class XAxis:
    """What is drawn over: its name, whether it is logarithmic, and where something begins anew."""

    title: str
    log: bool = False
    breaks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Tick:
    """A labeled place on an axis, in the chart's units."""

    at: float
    text: str


@dataclass(frozen=True)
class Dot:
    """A point in the chart's units, what it says under a pointer, and whether it has a mark."""

    x: float
    y: float
    text: str
    marked: bool


@dataclass(frozen=True)
class Line:
    """A series in the chart's units: path of the line, area around it, points, whiskers (x, low, high)."""

    style: int
    variant: int
    dashed: bool
    faint: bool
    path: str
    area: str
    dots: tuple[Dot, ...]
    whiskers: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Chart:
    """A finished chart: what to draw, and what it says in words for those who do not see it."""

    title: str
    words: str
    x_title: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    breaks: tuple[float, ...]
    levels: tuple[Tick, ...]
    lines: tuple[Line, ...]
    legend: tuple[Series, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


@dataclass(frozen=True)
class _Axis:
    """Maps values between ``low`` and ``high`` to units between ``start`` and ``end``."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)


def chart(
    title: str,
    series: Sequence[Series],
    x_axis: XAxis,
    *,
    y_range: tuple[float, float] | None = None,
    may_log: bool = False,
    levels: Sequence[Level] = (),
) -> Chart | None:
    """Lay out a chart of what has points; values that are no finite numbers are gaps. None if there is nothing to draw.

    The y axis ends where ``y_range`` says, or else the values; ``may_log`` makes it logarithmic where positive
    values span more than ``WIDE``.
    """
    kept = [one for one in series if any(map(_finite, one.points))]
    if not kept:
        return None
    ys = _heights(kept, levels)
    xs = [point.x for one in kept for point in one.points if _finite(point)]
    log_y = may_log and min(ys) > 0 and max(ys) / min(ys) > WIDE
    low, high, marks = _scale(ys, y_range, log=log_y)
    x = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, log=x_axis.log)
    y = _Axis(low, high, HEIGHT - BOTTOM, TOP, log=log_y)
    behind = sorted(kept, key=lambda one: not one.faint)
    return Chart(
        title=title,
        words=f"{title} by {x_axis.title}. {' '.join(map(_in_words, kept))}",
        x_title=x_axis.title,
        x=tuple(Tick(x(value), short(value)) for value in apart(xs, x, TICKS_APART)),
        y=tuple(Tick(y(value), short(value)) for value in marks),
        breaks=tuple(x(value) for value in x_axis.breaks),
        levels=tuple(Tick(y(one.y), one.name) for one in levels if low <= one.y <= high),
        lines=tuple(_line(one, x, y, x_axis.title) for one in behind),
        legend=tuple(kept),
    )


def _heights(series: Sequence[Series], levels: Sequence[Level]) -> list[float]:
    """Values that the y axis holds; faint lines stretch it by ``STRAY`` at most, and leave it beyond that.

    Below positive values they do not stretch it at all, which would take decades of a logarithmic axis.
    """
    plain = [y for one in series if not one.faint for y in _values(one)]
    faint = [y for one in series if one.faint for y in _values(one)]
    firm = [*plain, *(level.y for level in levels)] if plain else faint
    room = STRAY * (max(firm) - min(firm) or abs(max(firm)))
    least = min(firm) if min(firm) > 0 else min(firm) - room
    return [*firm, *(min(max(y, least), max(firm) + room) for y in faint)]


def _values(series: Series) -> list[float]:
    points = filter(_finite, series.points)
    return [value for p in points for value in (p.y, p.low, p.high) if value is not None]


def _finite(point: Point) -> bool:
    return math.isfinite(point.y)


def _line(series: Series, x: _Axis, y: _Axis, x_title: str) -> Line:
    points = [point for point in series.points if _finite(point)]
    around = [(x(p.x), y(p.low), y(p.high)) for p in points if p.low is not None and p.high is not None]
    edge = [(at, high) for at, _, high in around] + [(at, low) for at, low, _ in reversed(around)]
    marked = {id(point) for point in thinned(points, DOTS)} if not series.faint else set()
    return Line(
        style=series.style,
        variant=series.variant,
        dashed=series.dashed,
        faint=series.faint,
        path=_runs(series.points, x, y),
        area=_path(edge, closed=True) if series.band else "",
        dots=tuple(
            Dot(x(p.x), y(p.y), f"{series.name}: {p.y:.4g} ({x_title} {short(p.x)})", id(p) in marked)
            for p in thinned(points, HOVERED)
        ),
        whiskers=() if series.band else tuple(around),
    )


def thinned(points: Sequence[T], most: int) -> list[T]:
    """About evenly spaced ones of ``points``, ``most`` of them at most, the last among them."""
    every = max(1, math.ceil(len(points) / most))
    return list(points[::-1][::every][::-1])


def _runs(points: Sequence[Point], x: _Axis, y: _Axis) -> str:
    """Path through the points, lifted at gaps."""
    parts = ([(x(p.x), y(p.y)) for p in part] for finite, part in groupby(points, _finite) if finite)
    return " ".join(map(_path, parts))


def _path(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    if not points:
        return ""
    several = points if len(points) > 1 else [*points, *points]  # a line without length is a dot
    return "M" + " L".join(f"{at:g},{up:g}" for at, up in several) + (" Z" if closed else "")


def _scale(
    values: Sequence[float], ends: tuple[float, float] | None, *, log: bool
) -> tuple[float, float, list[float]]:
    """Ends of the y axis and the values that are marked on it."""
    low, high = ends or (min(values), max(values))
    if log:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        every = max(1, math.ceil((last - first) / 4))
        return 10.0**first, 10.0**last, [10.0**power for power in range(first, last + 1, every)]
    step = _step(high - low or abs(high) or 1.0)
    below, above = math.floor(round(low / step, 9)), math.ceil(round(high / step, 9))
    above = max(above, below + 1)
    return below * step, above * step, [round(i * step, 12) for i in range(below, above + 1)]


def _step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides ``span`` into five parts or fewer."""
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 5 + 1e-9)


def _in_words(series: Series) -> str:
    points = [point for point in series.points if _finite(point)]
    ends = f"{points[0].y:.3g}" + (f" to {points[-1].y:.3g}" if len(points) > 1 else "")
    return f"{series.name}: {ends}."
