"""Finished tables as the page shows them: each number with its interval, its marks and the runs behind it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from xdcbench.errors import UserError
from xdcbench.pipeline.catalog import rows
from xdcbench.reports.results.charts import Chart, Point, Series, chart
from xdcbench.reports.results.gather import Results
from xdcbench.results.published import MARKS
from xdcbench.results.records import Record
from xdcbench.results.statistics.predictions import cell_ends
from xdcbench.results.tables.build import PUBLISHED
from xdcbench.results.tables.grid import Cell, Grid
from xdcbench.results.tables.present import grids

_FIELDS = {"pretrain_data": "pretraining data", "pretrain_items": "pretraining items"}


def tables(results: Results) -> tuple[list[dict[str, Any]], list[str]]:
    """Every table of the library that some record fits, and why a number that could have an interval lacks it."""
    lacking: dict[str, None] = {}

    def ends(records: Sequence[Record]) -> tuple[float, float] | None:
        try:
            return cell_ends(records, results.stores)
        except UserError as error:
            lacking[results.placeless(str(error))] = None
            return None

    names = [name for name, _ in rows("tables")]
    made = grids(names, results.records, intervals=ends)
    measured = {name: grid for name, grid in made.items() if any(_runs(grid))}
    return [_view(name, grid) for name, grid in measured.items()], list(lacking)


def _runs(grid: Grid) -> list[str]:
    return [key for group in grid.groups for row in group.rows for cell in row.cells for key in cell.runs]


def _view(name: str, grid: Grid) -> dict[str, Any]:
    return {
        "name": name,
        "title": grid.title,
        "fields": [_FIELDS.get(field, field.removeprefix("hyperparameters.")) for field in grid.fields],
        "columns": grid.columns,
        "groups": [
            {
                "title": group.title,
                "published": _is_published(group.title),
                "rows": [{"labels": row.shown, "cells": list(map(_cell, row.cells))} for row in group.rows],
            }
            for group in grid.groups
        ],
        "notes": grid.footnotes,
        "figures": figures(grid),
    }


def _is_published(group: str) -> bool:
    return group.startswith(PUBLISHED)


def _cell(cell: Cell) -> dict[str, Any]:
    d = cell.digits
    return {
        "value": cell.text if cell.value is None else f"{cell.value:z.{d}f}",
        "spread": "" if cell.spread is None else f"± {cell.spread:z.{d}f}",
        "interval": "" if cell.interval is None else "[{:z.{d}f}, {:z.{d}f}]".format(*cell.interval, d=d),
        "mark": "" if not cell.status or cell.status == "measured" else MARKS[cell.status],
        "delta": cell.delta_text,
        "rank": cell.rank,
        "runs": cell.runs,
        "source": cell.source or cell.absent,
    }


# ---------------------------------------------------------------------------------------------- figures


def figures(grid: Grid) -> list[Chart]:
    """One chart per column of a table that names an axis; published lines are dashed.

    Lines of one name, measured or published, have one color.
    """
    if grid.chart is None:
        return []
    at = grid.fields.index(grid.chart.x)
    lines: dict[tuple[str, str], dict[float, tuple[Cell, ...]]] = {}
    for group in grid.groups:
        for row in group.rows:
            if row.labels[at].isdecimal() and int(row.labels[at]) > 0:
                name = [*row.labels[:at], *row.labels[at + 1 :], row.setting]
                line = lines.setdefault((", ".join(filter(None, name)), group.title), {})
                line[float(row.labels[at])] = row.cells
    names = list(dict.fromkeys(name for name, _ in lines))
    measured = Counter(name for name, group in lines if not _is_published(group))
    drawn = [
        chart(
            title,
            [
                Series(
                    name if measured[name] == 1 and not _is_published(group) else f"{name}, {group}",
                    tuple(_point(x, line[x][i]) for x in sorted(line) if line[x][i].value is not None),
                    style=names.index(name) % 6 + 1,
                    dashed=_is_published(group),
                )
                for (name, group), line in lines.items()
            ],
            x_title=grid.chart.title,
            log_x=grid.chart.log,
        )
        for i, title in enumerate(grid.columns)
    ]
    return [one for one in drawn if one]


def _point(x: float, cell: Cell) -> Point:
    value = float(cell.value or 0.0)
    if cell.spread is not None:
        return Point(x, value, value - cell.spread, value + cell.spread)
    return Point(x, value, *(cell.interval or (None, None)))
