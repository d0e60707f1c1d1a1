"""A table drawn as SVG or PDF: one panel per column over a number that names rows, such as k or a size."""

import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from xdcbench.config.table import Chart
from xdcbench.results.published import LEGEND, MARKS
from xdcbench.results.tables.grid import Cell, Grid, Row
from xdcbench.utils.format import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FigureFormat = Literal["svg", "pdf"]
FIGURE_FORMATS: tuple[FigureFormat, ...] = get_args(FigureFormat)

INK = "#767676"
COLOURS = ("#3f7fd0", "#c8641e", "#2b8f5a", "#cc4a55", "#8f66c9", "#1f8a96", "#9a7430", "#b8559c", "#6f7f2f")
"""Text and lines: each at least 3:1 against white and against a dark page, since the background is clear."""
SHAPES = "osD^vPX*"

_TITLES, _PANEL, _LABELS, _ENTRY, _NOTE, _GAP = 0.55, 2.2, 0.5, 0.165, 0.15, 0.12
"""Heights of parts of the figure, in inches."""
_BETWEEN = 0.75
"""Height between two rows of panels, inches: the axis of one and the title of the other."""
ACROSS = 4
"""Panels side by side, at most."""
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "xdcbench",  # the same table gives the same bytes
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class DrawnCell(NamedTuple):
    """A number and its place on the axis."""

    x: float
    y: float
    cell: Cell


@dataclass(frozen=True)
class TableLine:
    """Points of one name and group by column; measured and published share a name."""

    name: str
    group: str
    columns: tuple[tuple[DrawnCell, ...], ...]

    @property
    def cells(self) -> list[Cell]:
        """Of all columns."""
        return [point.cell for points in self.columns for point in points]

    @property
    def label(self) -> str:
        """Name and group, with the marks of unverified numbers."""
        statuses = {cell.status for cell in self.cells}
        words = f"{self.name} ({self.group})" if self.name else self.group
        return words + "".join(mark for status, mark in MARKS.items() if status in statuses)


def draw(grid: Grid, chart: Chart, fmt: FigureFormat) -> bytes | None:
    """The figure, with text as text, on a clear background, the same bytes for the same table.

    Measured numbers are filled and joined by a solid line, with bars of one standard deviation over seeds,
    or else the 95 % interval where the table has it; published ones are hollow and dashed, with their mark
    in the legend. Rows without a number on the axis are named below. None where there is nothing to draw.
    """
    lines, left_out = table_lines(grid, chart)
    if not lines:
        return None
    from xdcbench.utils.plotting import Figure, FigureCanvasPdf, FigureCanvasSVG, rc_context

    notes = _notes(lines, left_out)
    below = [_LABELS, _ENTRY * math.ceil(len(lines) / 2) + _GAP, _NOTE * len(notes) + _GAP]
    down, across = layout(len(grid.columns))
    height = _TITLES + _PANEL * down + _BETWEEN * (down - 1) + sum(below)
    with rc_context(STYLE):
        figure = Figure(figsize=(max(6.4, 3.2 * across), height))
        {"svg": FigureCanvasSVG, "pdf": FigureCanvasPdf}[fmt](figure)
        _panels(figure, grid, chart, lines)
        figure.subplots_adjust(
            left=0.07,
            right=0.98,
            top=1 - _TITLES / height,
            bottom=sum(below) / height,
            wspace=0.25,
            hspace=_BETWEEN / _PANEL,
        )
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(),
            loc="upper center",
            bbox_to_anchor=(0.5, sum(below[1:]) / height),
            ncols=2,
            frameon=False,
            fontsize=8,
            borderpad=0,
            labelspacing=0.4,
        )
        for i, note in enumerate(reversed(notes)):
            figure.text(0.02, (_GAP / 2 + _NOTE * i) / height, note, fontsize=7)
        file = io.BytesIO()
        dateless = {"Date": None} if fmt == "svg" else {"CreationDate": None}
        figure.savefig(file, format=fmt, transparent=True, metadata={"Title": grid.title, **dateless})
    return file.getvalue()


def layout(panels: int) -> tuple[int, int]:
    """Rows of panels, and panels in each but the last."""
    down = math.ceil(panels / ACROSS)
    return down, math.ceil(panels / down)


def table_lines(grid: Grid, chart: Chart) -> tuple[list[TableLine], list[str]]:
    """Lines in the order of the table, and names of the rows that have no place on the axis."""
    lines: list[TableLine] = []
    left_out: dict[str, None] = {}
    at = grid.fields.index(chart.x)
    places = names_of(grid, chart)
    for group in grid.groups:
        found: dict[str, list[tuple[float, Row]]] = defaultdict(list)
        for row in group.rows:
            x = _place(row.labels[at], chart, places)
            if x is not None:
                name = [*row.labels[:at], *row.labels[at + 1 :], row.setting]
                found[", ".join(filter(None, name))].append((x, row))
            elif any(cell.value is not None for cell in row.cells):
                left_out[" ".join(filter(None, row.shown))] = None
        for line, rows in found.items():
            rows.sort(key=lambda entry: entry[0])
            cells = ([(x, row.cells[i]) for x, row in rows] for i in range(len(grid.columns)))
            columns = (tuple(DrawnCell(x, c.value, c) for x, c in of if c.value is not None) for of in cells)
            lines.append(TableLine(line, group.title, tuple(columns)))
    return [line for line in lines if line.cells], list(left_out)


def names_of(grid: Grid, chart: Chart) -> list[str]:
    """The names on the axis, in the order of the table; none where it holds numbers."""
    at = grid.fields.index(chart.x)
    every = (row.labels[at] for group in grid.groups for row in group.rows)
    return list(dict.fromkeys(every)) if chart.names else []


def _place(label: str, chart: Chart, names: Sequence[str]) -> float | None:
    """Where a label stands on the axis; None for one that has no place."""
    if chart.names:
        return float(names.index(label))
    if not _NUMBER.fullmatch(label) or (chart.log and float(label) <= 0):
        return None
    return float(label)


def _notes(lines: Sequence[TableLine], left_out: Sequence[str]) -> list[str]:
    cells = [cell for line in lines for cell in line.cells]
    bars = {_bar(cell)[1] for cell in cells} - {""}
    statuses = {cell.status for cell in cells}
    return [
        *([f"Bars: {' or '.join(sorted(bars))}."] if bars else []),
        *(f"{MARKS[status]} {words}." for status, words in LEGEND.items() if status in statuses),
        *([f"Not drawn: {'; '.join(left_out)}."] if left_out else []),
    ]


def _bar(cell: Cell) -> tuple[tuple[float, float], str]:
    """Lengths below and above the number, and what they are; 0 and "" without."""
    if cell.ends is None or cell.value is None:
        return (0.0, 0.0), ""
    low, high = cell.ends
    kind = "95 % interval from the test items" if cell.spread is None else "standard deviation over seeds"
    # The end at 100 % may lie a rounding error below it.
    return (max(cell.value - low, 0.0), max(high - cell.value, 0.0)), kind


def _panels(figure: "Figure", grid: Grid, chart: Chart, lines: Sequence[TableLine]) -> None:
    names = list(dict.fromkeys(line.name for line in lines))
    down, across = layout(len(grid.columns))
    panels = figure.subplots(down, across, squeeze=False, sharex=True).flatten()
    for axes in panels[len(grid.columns) :]:
        axes.remove()
    for i, (axes, title) in enumerate(zip(panels, grid.columns, strict=False)):
        if chart.log:
            axes.set_xscale("log")
        for line in lines:
            _plot(axes, line, i, place=names.index(line.name), joined=not chart.names)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(chart.title)
        _ticks(axes, grid, chart, lines)
        axes.margins(x=0.1, y=0.12)
    figure.suptitle(grid.title, fontsize=10)


def _ticks(axes: "Axes", grid: Grid, chart: Chart, lines: Sequence[TableLine]) -> None:
    axes.tick_params(labelbottom=True)
    if named := names_of(grid, chart):
        axes.set_xticks(range(len(named)), named, fontsize=7)
        return
    xs = {point.x for line in lines for points in line.columns for point in points}
    place: Callable[[float], float] = math.log if chart.log else float
    ticks = apart(xs, place, 0.15 * (place(max(xs)) - place(min(xs))))
    axes.set_xticks(ticks, [short(x) for x in ticks])
    axes.set_xticks([], minor=True)


def _plot(axes: "Axes", line: TableLine, column: int, *, place: int, joined: bool = True) -> None:
    points = line.columns[column]
    bars = [_bar(point.cell)[0] for point in points]
    color = COLOURS[place % len(COLOURS)]
    measured = any(cell.status == "measured" for cell in line.cells)
    axes.errorbar(
        [point.x for point in points],
        [point.y for point in points],
        yerr=list(zip(*bars, strict=True)) if any(map(any, bars)) else None,
        label=line.label,
        color=color,
        marker=SHAPES[place % len(SHAPES)],
        markersize=5,
        markerfacecolor=color if measured else "none",
        linestyle="none" if not joined else "-" if measured else "--",
        linewidth=1.2,
        capsize=2,
    )


def apart(values: Iterable[float], place: Callable[[float], float], room: float) -> list[float]:
    """Those of ``values``, ascending, whose places leave room for their labels, the first among them."""
    kept: list[float] = []
    for value in sorted(set(values)):
        if not kept or place(value) - place(kept[-1]) >= room:
            kept.append(value)
    return kept
