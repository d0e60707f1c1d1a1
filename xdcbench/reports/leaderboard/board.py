"""The leaderboard: one row per encoder, one column per evaluation, its best numbers where they may be compared."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from xdcbench.config.table import Column
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import (
    REPETITION,
    CellStatistics,
    ColumnTest,
    measured_cell,
    split_settings,
)
from xdcbench.results.tables.default import default_tables, measurements_of_records, modality_of
from xdcbench.results.tables.grid import Cell
from xdcbench.results.tables.placing import place, unique
from xdcbench.results.tables.ranks import ranked_column
from xdcbench.utils.format import natural

ALIKE = (
    *("protocol", "evaluation_version", "fingerprint", "subset", "selection", "epochs"),
    *("items_used", "items_expected", "train_items_used"),
)
"""Fields in which two numbers must agree to be ranked: protocol, test items and training items."""

ALIKE_SETTINGS = ("num_clips", "frames")
"""Hyperparameters in which they must agree too: the clips."""


class Heading(NamedTuple):
    """What a column holds; ``splits`` are those that its means are over, ``modality`` is empty for both."""

    world: str
    dataset: str
    evaluation: str
    title: str
    splits: tuple[str, ...]
    modality: str


@dataclass(frozen=True)
class BoardCell:
    """A number, and its records over seeds and splits."""

    cell: Cell
    records: tuple[Record, ...]


@dataclass(frozen=True)
class BoardRow:
    """One encoder: its method, what it learned from, the settings that tell it from its namesakes, its numbers."""

    method: str
    pretrain_data: str
    settings: str
    cells: Mapping[int, BoardCell]

    @property
    def records(self) -> list[Record]:
        """All its records."""
        return [record for cell in self.cells.values() for record in cell.records]

    @property
    def modalities(self) -> tuple[str, ...]:
        """What was measured: ``audio``, ``video`` or both."""
        found = {modality_of(record) for record in self.records}
        return ("audio", "video") if "" in found else tuple(sorted(found))


@dataclass(frozen=True)
class Board:
    """All rows and columns; ``unlike`` says of a column, by position, in what its numbers disagree."""

    columns: tuple[Heading, ...]
    rows: tuple[BoardRow, ...]
    unlike: Mapping[int, tuple[str, ...]]


def make_board(records: Sequence[Record], statistics: CellStatistics) -> Board:
    """The leaderboard of all numbers that speak for an evaluation: top-1, mAP, cluster accuracy, recall at least depth.

    A row is of one method, pretraining data and settings; the mean over its seeds stands in a column of its
    evaluation, dataset and set of splits. ``statistics`` gives the intervals of cells, and tells the best of a column.
    """
    parts = sorted(_parts(records).items())
    headings = sorted({heading for _, cells in parts for heading in cells}, key=_order)
    at = {heading: i for i, heading in enumerate(headings)}
    rows = [
        BoardRow(
            *named,
            {at[h]: BoardCell(measured_cell(of, statistics.intervals), tuple(of)) for h, of in cells.items()},
        )
        for named, cells in parts
    ]
    unlike = {i: said for i in range(len(headings)) if (said := tuple(_disagreements(_column(rows, i))))}
    return Board(tuple(headings), tuple(_marked(rows, unlike, statistics.test)), unlike)


_Named = tuple[str, str, str]


def _parts(records: Sequence[Record]) -> dict[_Named, dict[Heading, list[Record]]]:
    """Records by method, pretraining data and settings, then by column."""
    once, _ = unique(records)
    columns = [c for t in default_tables(measurements_of_records(once)).values() for c in t.columns]
    placed, _ = place(once, columns) if columns else ([], None)
    entries: dict[tuple[str, str, str], list[tuple[int, Record]]] = defaultdict(list)
    for i, record in placed:
        entries[record.method, record.pretrain_data, record.world].append((i, record))
    found: dict[_Named, dict[Heading, list[Record]]] = {}
    for (method, data, _), some in entries.items():
        for text, part in split_settings(some, columns):
            cells = found.setdefault((method, data, text), {})
            for i in sorted({i for i, _ in part}):
                own = [record for at, record in part if at == i]
                cells.setdefault(_heading(columns[i], own), []).extend(own)
    return found


def _heading(column: Column, records: Sequence[Record]) -> Heading:
    splits = tuple(sorted({record.split for record in records}, key=natural))
    first = records[0]
    modality = modality_of(first)
    return Heading(first.world, column.dataset, column.evaluation, column.title, splits, modality)


def _order(heading: Heading) -> tuple[Any, ...]:
    """Real data first, then as tables of a dataset have them."""
    splits = [natural(split) for split in heading.splits]
    return heading.world, natural(heading.dataset), natural(heading.title), splits


def _column(rows: Sequence[BoardRow], i: int) -> list[BoardCell]:
    return [row.cells[i] for row in rows if i in row.cells]


def _disagreements(cells: Sequence[BoardCell]) -> Iterator[str]:
    """In what the numbers of a column disagree, in words with the values."""
    for name in (*ALIKE, *ALIKE_SETTINGS):
        found = {tuple(sorted(_values(cell, name))) for cell in cells}
        if len(found) > 1:
            values = sorted({value for _, value in set().union(*found)}, key=natural)
            yield f"{name.replace('_', ' ')} {' and '.join(value[:12] or 'none' for value in values)}"


def _values(cell: BoardCell, name: str) -> set[tuple[str, str]]:
    """A field's values by split, in words; draws of training items differ in them, which is no setting."""
    drawn = any(REPETITION in record.hyperparameters for record in cell.records)
    if name == "train_items_used" and drawn:
        return set()
    held = (
        (r.split, r.hyperparameters.get(name) if name in ALIKE_SETTINGS else getattr(r, name))
        for r in cell.records
    )
    return {(split, "not stated" if value is None else str(value)) for split, value in held}


def _marked(
    rows: Sequence[BoardRow], unlike: Mapping[int, tuple[str, ...]], test: ColumnTest | None
) -> Iterator[BoardRow]:
    """The rows with the best numbers of each column whose settings agree, as in tables."""
    if test is None:
        return iter(rows)
    marked: list[dict[int, BoardCell]] = [dict(row.cells) for row in rows]
    for i in sorted({i for row in rows for i in row.cells} - unlike.keys()):
        have = [cells for cells in marked if i in cells]
        for cells, cell in zip(have, ranked_column([cells[i].cell for cells in have], test), strict=True):
            cells[i] = BoardCell(cell, cells[i].records)
    return (replace(row, cells=cells) for row, cells in zip(rows, marked, strict=True))
