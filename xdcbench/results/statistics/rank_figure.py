"""The critical-difference diagram: mean ranks on an axis, methods that are not told apart joined (Demšar 2006)."""

from pathlib import Path
from typing import TYPE_CHECKING

from xdcbench.errors import UserError
from xdcbench.results.statistics.mean_ranks import MeanRanks
from xdcbench.results.statistics.significance import LEVEL, p_text
from xdcbench.utils.io import atomic_write, writing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".svg", ".pdf")
_LINE, _TOP, _BAR = 0.26, 0.75, 0.13
"""Inches: between names, above the axis, between bars."""
_AXIS, _SIDE, _LETTER = 3.5, 1.75, 0.085
"""Inches: the axis, least room for names on either side, and a letter."""


def require_suffix(path: Path) -> None:
    """Refuse a file that is neither SVG nor PDF, as a UserError."""
    if path.suffix not in SUFFIXES:
        raise UserError(f"--figure {path}: the name must end in {' or '.join(SUFFIXES)}")


def write_figure(ranks: MeanRanks, path: Path) -> None:
    """Draw to an SVG or PDF file; equal ranks give equal bytes.

    Raises:
        UserError: the file is of another kind, or cannot be written.
    """
    require_suffix(path)
    from xdcbench.results.tables.figures import STYLE
    from xdcbench.utils.plotting import Figure, FigureCanvasPdf, FigureCanvasSVG, rc_context

    sides = (len(ranks.ranks) + 1) // 2
    below = _BAR * (len(ranks.alike) + 1) + _LINE * sides + 0.5
    height = _TOP + below
    with rc_context(STYLE), writing(path, "give another file with --figure"), atomic_write(path) as part:
        side = max(_SIDE, 0.4 + _LETTER * max(len(f"{name}  1.00") for name in ranks.ranks))
        figure = Figure(figsize=(_AXIS + 2 * side, height))
        {".svg": FigureCanvasSVG, ".pdf": FigureCanvasPdf}[path.suffix](figure)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        room = side / _AXIS * (len(ranks.ranks) - 1)
        axes.set_xlim(1 - room, len(ranks.ranks) + room)
        axes.set_ylim(-below, _TOP)
        _axis(axes, ranks)
        _names(axes, ranks)
        dateless = {"Date": None} if path.suffix == ".svg" else {"CreationDate": None}
        metadata = {"Title": "Mean ranks", **dateless}
        figure.savefig(part, format=path.suffix[1:], transparent=True, metadata=metadata)


def _axis(axes: "Axes", ranks: MeanRanks) -> None:
    from xdcbench.results.tables.figures import INK

    methods = len(ranks.ranks)
    axes.plot([1, methods], [0, 0], color=INK, linewidth=1)
    for rank in range(1, methods + 1):
        axes.plot([rank, rank], [0, 0.06], color=INK, linewidth=1)
        axes.text(rank, 0.1, str(rank), ha="center", va="bottom", fontsize=8)
    reach = min(ranks.critical, methods - 1)
    said = f"critical difference {ranks.critical:.2f}" + ("" if reach == ranks.critical else " (longer)")
    axes.plot([1, 1 + reach], [0.36, 0.36], color=INK, linewidth=1.5, marker="|")
    axes.text(1, 0.44, said, fontsize=8)
    of = f"{len(ranks.evaluations)} evaluations on {ranks.datasets} data set{'s' * (ranks.datasets > 1)}"
    note = f"Mean ranks (1: best) over {of}; Friedman p {p_text(ranks.p)}; bars join what Nemenyi's test at "
    axes.text(
        axes.get_xlim()[0], axes.get_ylim()[0] + 0.08, f" {note}{LEVEL:g} does not tell apart.", fontsize=7
    )


def _names(axes: "Axes", ranks: MeanRanks) -> None:
    from xdcbench.results.tables.figures import COLOURS, INK

    for number, near in enumerate(ranks.alike, 1):
        ends = [ranks.ranks[near[0]] - 0.03, ranks.ranks[near[-1]] + 0.03]
        axes.plot(ends, [-_BAR * number] * 2, color=COLOURS[0], linewidth=3, solid_capstyle="butt")
    names = sorted(ranks.ranks, key=ranks.ranks.__getitem__)
    left, start = (len(names) + 1) // 2, -_BAR * (len(ranks.alike) + 1)
    for place, name in enumerate(names):
        first = place < left
        row = place if first else len(names) - 1 - place
        y, rank = start - _LINE * row - 0.1, ranks.ranks[name]
        edge = 1 - 0.05 * (len(names) - 1) if first else len(names) + 0.05 * (len(names) - 1)
        axes.plot([rank, rank, edge], [0, y, y], color=INK, linewidth=0.8)
        text = f"{name}  {rank:.2f} " if first else f" {rank:.2f}  {name}"
        axes.text(edge, y, text, ha="right" if first else "left", va="center", fontsize=9, parse_math=False)
