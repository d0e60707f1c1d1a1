"""Finished tables as the page shows them: each number with its interval, its marks and the runs behind it."""

from collections import Counter
from typing import Any

from xdcbench.reports.results.charts import Chart, Point, Series, XAxis, chart
from xdcbench.reports.results.gather import Results
from xdcbench.results.statistics.column_test import column_ps
from xdcbench.results.tables.build import PUBLISHED
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.results.tables.figures import table_lines
from xdcbench.results.tables.grid import Cell, Grid
from xdcbench.results.tables.present import all_grids


def tables(results: Results) -> tuple[list[dict[str, Any]], list[str]]:
    """Every table that some record fits, and why a number that could have an interval lacks it."""
    lacking: dict[str, None] = {}
    statistics = CellStatistics(
        results.ends_or_reason(lacking),
        lambda first, others: column_ps(first, others, results.stores),
        every=True,
    )
    made = all_grids(results.records, statistics)
    return [_view(name, grid) for name, grid in made.items() if grid.runs], list(lacking)


def _view(name: str, grid: Grid) -> dict[str, Any]:
    return {
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

    Lines of one name, measured or published, have one color.
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
                style=names.index(line.name) % 6 + 1,
                dashed=_is_published(line.group),
            )
            for line in lines
        ]
        drawn.append(chart(title, series, x))
    return [one for one in drawn if one]
