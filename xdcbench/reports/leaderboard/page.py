"""The page of the leaderboard: a pure function of what lies in results folders."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from xdcbench.reports.gather import Results, gather
from xdcbench.reports.html import render
from xdcbench.reports.leaderboard.board import Board, BoardCell, BoardRow, make_board
from xdcbench.reports.leaderboard.panel import panel
from xdcbench.reports.leaderboard.ranks import SHOWN, Ranking, rankings
from xdcbench.results.licenses import licenses_of
from xdcbench.results.tables.present import method_titles
from xdcbench.utils.io import atomic_write, writing

FILTERS = {
    "backbone": "Backbone",
    "data": "Pretraining data",
    "license": "License",
    "modality": "Modality",
}
"""Fields of a row by which the page filters, with their labels."""


def write_leaderboard(folders: Sequence[Path], out: Path) -> Iterator[str]:
    """Write the leaderboard of results ``folders``, read as one.

    ``out`` is the file, or the folder in which it is to be ``leaderboard.html``; made where it is not there.

    Raises:
        UserError: a folder is not a results folder or cannot be read, or the page cannot be written.
    """
    path = out if out.suffix in (".html", ".htm") else out / "leaderboard.html"
    results = gather(folders)
    data = leaderboard_data(results)
    with writing(path, "give another with --output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(render("leaderboard", data | {"table": data}, parts=("board",)), encoding="utf-8")
    left = f"; {len(results.damaged)} damaged and left out" if results.damaged else ""
    yield f"leaderboard {path} ({len(data['rows'])} rows, {len(data['columns'])} columns{left})"


def leaderboard_data(results: Results) -> dict[str, Any]:
    """What the template shows; text is raw, the template escapes it."""
    lacking: dict[str, None] = {}
    board = make_board(results.records, results.statistics(lacking))
    shown = board_data(results, board, list(lacking))
    names = {row["at"]: row["name"] for row in shown["rows"]}
    panels = [
        panel(f"cell-{at}-{i}", name, board.columns[i], one, results.titles)
        for at, name in names.items()
        for i, one in sorted(board.rows[at].cells.items())
    ]
    return shown | {"name": results.name, "damaged": len(results.damaged), "panels": panels}


def board_data(results: Results, board: Board, lacking: Sequence[str]) -> dict[str, Any]:
    """The board alone, as ``board.html`` shows it; ``lacking`` says why numbers lack their interval."""
    ranked = rankings(board, results.stores)
    rows = [_row(at, row, board, ranked, results) for at, row in enumerate(board.rows)]
    return {
        "worlds": sorted({heading.world for heading in board.columns}),
        "rankings": [_ranking(one, board, results.titles) for one in ranked if one.ranks],
        "groups": _groups(board, results.titles),
        "columns": [_column(i, board, results.titles) for i in range(len(board.columns))],
        "rows": sorted(rows, key=_first_ranks),
        "filters": {
            name: {"label": label, "values": sorted({v for row in rows for v in row["filters"][name]})}
            for name, label in FILTERS.items()
        },
        "lacking": lacking,
    }


def _first_ranks(row: dict[str, Any]) -> tuple[Any, ...]:
    """Rows by their first rank, those without one last."""
    return *((rank is None, rank and rank["value"]) for rank in row["ranks"]), row["title"], row["data"]


def _groups(board: Board, titles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Columns that stand side by side by dataset; ``titles`` are those of datasets."""
    found = groupby(board.columns, key=lambda heading: (heading.dataset, heading.world))
    return [
        {"dataset": titles.get(dataset, dataset), "world": world, "width": len(list(of))}
        for (dataset, world), of in found
    ]


def _column(i: int, board: Board, titles: Mapping[str, str]) -> dict[str, Any]:
    heading = board.columns[i]
    name, _, measure = heading.title.partition(", ")
    return {
        "name": name,
        "measure": measure,
        "splits": ("split " if len(heading.splits) == 1 else "splits ") + ", ".join(heading.splits),
        "dataset": titles.get(heading.dataset, heading.dataset),
        "first": i == 0 or board.columns[i - 1][:2] != heading[:2],
        "modality": heading.modality or "audio video",
        "unlike": board.unlike.get(i, ()),
    }


def _ranking(one: Ranking, board: Board, titles: Mapping[str, str]) -> dict[str, Any]:
    def named(columns: Sequence[int]) -> list[str]:
        headings = (board.columns[i] for i in columns)
        return [f"{of.title} on {titles.get(of.dataset, of.dataset)}" for of in headings]

    return {
        "title": SHOWN[one.modality],
        "modality": one.modality or "audio video",
        "columns": named(one.columns),
        "fixed": named(one.fixed),
        "drawn": len(one.fixed) < len(one.columns),
        "rows": len(one.ranks),
    }


def _row(at: int, row: BoardRow, board: Board, ranked: Sequence[Ranking], results: Results) -> dict[str, Any]:
    title, data = method_titles().get(row.method, row.method), results.title(row.pretrain_data)
    parts = {part for record in row.records for part in record.architecture.split(" + ")}
    architectures = ", ".join(sorted(parts))
    stated = ", ".join(
        sorted({text for record in row.records for text in licenses_of(record, results.stores)})
    )
    name = f"{title}, {data}" + (f", {row.settings}" if row.settings else "")
    cells = [_cell(at, i, row.cells.get(i), board) for i in range(len(board.columns))]
    return {
        "at": at,
        "title": title,
        "name": name,
        "data": data,
        "settings": row.settings,
        "backbone": architectures,
        "license": stated,
        "filters": {
            "backbone": [architectures],
            "data": [data],
            "license": [stated],
            "modality": list(row.modalities),
        },
        "ranks": [_rank(one, at, board) for one in ranked if one.ranks],
        "cells": cells,
    }


def _rank(one: Ranking, at: int, board: Board) -> dict[str, Any] | None:
    if at not in one.ranks:
        return None
    rank = one.ranks[at]
    ends = "" if rank.ends is None else f"[{rank.ends[0]:.2f}, {rank.ends[1]:.2f}]"
    return {"value": rank.value, "text": f"{rank.value:.2f}", "interval": ends}


def _cell(at: int, i: int, one: BoardCell | None, board: Board) -> dict[str, Any] | None:
    """A number as the board shows it; None where there is none."""
    if one is None:
        return None
    cell = one.cell
    assert cell.value is not None
    return {
        **cell.parts,
        "anchor": f"cell-{at}-{i}",
        "runs": cell.runs,
        "sort": cell.value if cell.higher_is_better else -cell.value,
        "items": f"{cell.items_used:,} items",
        "short": (cell.items_used or 0) < (cell.items_expected or 0),
        "expected": f"{cell.items_expected:,}",
        "place": cell.rank,
        "bar": _bar(one, i, board),
    }


def _bar(one: BoardCell, i: int, board: Board) -> dict[str, float] | None:
    """Where the interval and the value lie between the ends of the column, in per cent of its width."""
    cells = [row.cells[i].cell for row in board.rows if i in row.cells]
    ends = [end for cell in cells for end in (cell.interval or (cell.value, cell.value)) if end is not None]
    low, high = min(ends), max(ends)
    if one.cell.interval is None or one.cell.value is None or high <= low:
        return None
    left, right, at = (100 * (end - low) / (high - low) for end in (*one.cell.interval, one.cell.value))
    return {"left": round(left, 1), "width": round(right - left, 1), "at": round(at, 1)}
