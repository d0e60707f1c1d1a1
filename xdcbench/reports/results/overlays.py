"""Curves of all methods over each other: one figure per quantity, one panel per modality."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from xdcbench.reports.results.charts import HOVERED, Level, Point, Series, XAxis, chart, thinned
from xdcbench.utils.format import short

STYLES = {"video": 1, "audio": 2, "": 3}
"""Color of each modality, the same on every chart; what is of both has the third."""
WORDS = {"video": "Video", "audio": "Audio", "": "Audio and video"}
VARIANTS = 8
"""Dashes and marks by which lines of one color are told apart; so many lines share a panel at most."""


def modality_in(features: Sequence[str]) -> str:
    """The modality of what was clustered; "" of several."""
    return features[0] if len(features) == 1 and features[0] in WORDS else ""


@dataclass
class Panel:
    """Values of one modality by name of the line and place on the x axis, one for each seed."""

    lines: dict[str, dict[float, list[float]]] = field(default_factory=lambda: defaultdict(dict))
    levels: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, x: float, y: float) -> None:
        """Note the value of one seed."""
        self.lines[name].setdefault(x, []).append(y)

    @property
    def drawn_levels(self) -> list[Level]:
        """Levels in the order of their names."""
        return [Level(name, y) for name, y in sorted(self.levels.items())]


@dataclass(frozen=True)
class Quantity:
    """What a figure shows: its title, the ends of its y axis where they are known, and what it is drawn over."""

    title: str
    x: XAxis
    y_range: tuple[float, float] | None = None


def variants_of(names: Sequence[str]) -> dict[str, int]:
    """The dashes and marks of each name, from 1, the same on every figure of a page."""
    return {name: i % VARIANTS + 1 for i, name in enumerate(dict.fromkeys(names))}


def figure(
    quantity: Quantity, panels: Mapping[str, Panel], variants: Mapping[str, int]
) -> dict[str, Any] | None:
    """A figure of panels by modality, and its numbers; None where there is nothing to draw."""
    drawn = {
        modality: list(_series(modality, panels[modality], variants))
        for modality in WORDS
        if modality in panels
    }
    charts = [
        chart(WORDS[modality], of, quantity.x, y_range=quantity.y_range, levels=panels[modality].drawn_levels)
        for modality, of in drawn.items()
    ]
    if not any(charts):
        return None
    return {
        "title": quantity.title,
        "panels": [one for one in charts if one],
        "left_out": sorted({name for p in panels.values() for name in list(p.lines)[VARIANTS:]}),
        "numbers": _numbers(quantity.x.title, drawn),
    }


def _series(modality: str, panel: Panel, variants: Mapping[str, int]) -> Iterator[Series]:
    """Means over seeds, in a band from the least to the largest."""
    for name, values in list(panel.lines.items())[:VARIANTS]:
        points = []
        for x, ys in sorted(values.items()):
            finite = [y for y in ys if math.isfinite(y)]
            around = (min(finite), max(finite)) if len(finite) > 1 else (None, None)
            points.append(Point(x, fmean(finite) if finite else math.nan, *around))
        yield Series(name, tuple(points), STYLES[modality], band=True, variant=variants[name])


def _numbers(x_title: str, drawn: Mapping[str, Sequence[Series]]) -> dict[str, Any]:
    """The values of a figure as a table, for those who do not see it or have no pointer."""
    columns = [(one, modality) for modality, of in drawn.items() for one in of]
    xs = thinned(sorted({point.x for one, _ in columns for point in one.points}), HOVERED)
    held = [{point.x: point.y for point in one.points} for one, _ in columns]
    return {
        "x": x_title,
        "columns": [{"name": one.name, "modality": WORDS[modality].lower()} for one, modality in columns],
        "rows": [(short(x), [f"{of[x]:.4g}" if x in of else "" for of in held]) for x in xs],
    }
