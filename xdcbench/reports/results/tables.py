"""Finished tables as the page shows them: each number with its interval, its marks and the runs behind it."""

import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from xdcbench.reports.gather import Results
from xdcbench.reports.html import download
from xdcbench.reports.results.charts import Chart, Point, Series, XAxis, chart
from xdcbench.reports.results.overlays import VARIANTS
from xdcbench.results.tables.build import PUBLISHED
from xdcbench.results.tables.figures import table_lines
from xdcbench.results.tables.grid import Cell, Grid
from xdcbench.results.tables.present import all_grids
from xdcbench.results.tables.render import Format, render
from xdcbench.utils.format import natural

FIRST_COLOR, COLORS = 4, 3
"""Colors of the page that stand for no modality."""
OPEN = 6
"""Tables that are open at first; the rest are folded below their titles."""
_PAPER = re.compile(r"table\d+")
DOWNLOADS: tuple[tuple[Format, str, str], ...] = (
    ("csv", "CSV", "text/csv"),
    ("tex", "LaTeX", "application/x-tex"),
)
"""Formats in which the page holds each table, with their titles and media types."""


def tables(results: Results) -> tuple[list[dict[str, Any]], list[str]]:
    """Every table that some record fits, and why a number that could have an interval lacks it."""
    lacking: dict[str, None] = {}
    statistics = results.statistics(lacking)
    made = all_grids(results.records, statistics, titles=results.titles)
    return [_view(name, made[name], at < OPEN) for at, name in enumerate(paper_first(made))], list(lacking)


def paper_first(made: Mapping[str, Grid]) -> list[str]:
    """Names of the tables that some record fits: those of the paper by their number, then the others in their order."""
    shown = [name for name, grid in made.items() if grid.runs]
    return sorted(shown, key=lambda name: natural(name) if _PAPER.fullmatch(name) else [(math.inf, "")])


def _view(name: str, grid: Grid, opened: bool) -> dict[str, Any]:
    return {
        "opened": opened,
        "downloads": [
            {"name": f"{name}.{fmt}", "title": title, "link": download(render(grid, fmt), media_type)}
            for fmt, title, media_type in DOWNLOADS
        ],
        "name": name,
        "title": grid.title,
        "fields": grid.header,
        "columns": grid.columns,
        "groups": [
            {
                "title": group.title,
                "published": _is_published(group.title),
                "rows": [
                    {"labels": row.shown, "cells": list(map(_cell, row.cells))}
                    for row in (*group.rows, *group.chance)
                ],
            }
            for group in grid.groups
        ],
        "notes": grid.footnotes,
        "figures": figures(grid),
    }


def _is_published(group: str) -> bool:
    return group.startswith(PUBLISHED)


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **cell.parts,
        "delta": cell.delta_text,
        "rank": cell.rank,
        "runs": cell.runs,
        "source": cell.source or cell.absent,
    }


def figures(grid: Grid) -> list[Chart]:
    """One chart per column of a table that names an axis; published lines are dashed.

    Lines of one name, measured or published, have one color and mark; none has the color of a modality.
    """
    if grid.chart is None:
        return []
    lines, _ = table_lines(grid, grid.chart)
    names = list(dict.fromkeys(line.name for line in lines))
    measured = Counter(line.name for line in lines if not _is_published(line.group))
    x = XAxis(grid.chart.title, log=grid.chart.log)
    drawn = []
    for i, title in enumerate(grid.columns):
        series = [
            Series(
                line.name
                if measured[line.name] == 1 and not _is_published(line.group)
                else f"{line.name}, {line.group}",
                tuple(Point(at, y, *(cell.ends or (None, None))) for at, y, cell in line.columns[i]),
                style=FIRST_COLOR + names.index(line.name) % COLORS,
                variant=names.index(line.name) % VARIANTS + 1,
                dashed=_is_published(line.group),
            )
            for line in lines
        ]
        drawn.append(chart(title, series, x))
    return [one for one in drawn if one]
