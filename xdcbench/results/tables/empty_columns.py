"""Columns without any number, which a table leaves out."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from xdcbench.config.table import Column, Table
from xdcbench.results.records import Record
from xdcbench.results.tables.grid import Group, Row


def without_empty(
    table: Table, groups: Sequence[Group]
) -> tuple[Table, tuple[Group, ...], tuple[Column, ...]]:
    """A table and its groups without the columns in which no row has a number, or a reason for none; and these."""
    rows = [row for group in groups for row in group.rows]
    kept = [
        i
        for i in range(len(table.columns))
        if not rows or any(row.cells[i].value is not None or row.cells[i].absent for row in rows)
    ]

    def of(some: Sequence[Row]) -> tuple[Row, ...]:
        return tuple(replace(row, cells=tuple(row.cells[i] for i in kept)) for row in some)

    return (
        table.model_copy(update={"columns": tuple(table.columns[i] for i in kept)}),
        tuple(replace(group, rows=of(group.rows), chance=of(group.chance)) for group in groups),
        tuple(column for i, column in enumerate(table.columns) if i not in kept),
    )


def empty_notes(left_out: Sequence[Column], records: Sequence[Record]) -> Iterator[str]:
    """Which columns are left out, and of neighbors that there are fewer training items, as far as ``records`` say."""
    if left_out:
        yield f"Columns left out, since they have no number: {', '.join(_in_words(c, records) for c in left_out)}."


def _in_words(column: Column, records: Sequence[Record]) -> str:
    same = [r for r in records if (r.evaluation, r.dataset) == (column.evaluation, column.dataset)]
    items = max((record.train_items_used for record in same), default=0)
    few = 0 < items < int(column.hyperparameters.get("neighbors", 0))
    return f"{column.title} ({items:,} training items)" if few else column.title
