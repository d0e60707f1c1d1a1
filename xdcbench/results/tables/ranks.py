"""The best numbers of a column: the first one, and those that a paired test does not tell from it."""

from collections.abc import Sequence
from dataclasses import replace

from xdcbench.results.tables.cells import ColumnTest
from xdcbench.results.tables.grid import Cell, Row

LEVEL = 0.05


def ranked(rows: Sequence[Row], test: ColumnTest | None) -> tuple[Row, ...]:
    """The rows, the best numbers of each column named so.

    A column has best numbers only where ``test`` tells some of its numbers from the first. It has none with numbers
    that cannot be paired, and none where the first is not above chance.
    """
    if test is None:
        return tuple(rows)
    columns = [ranked_column(column, test) for column in zip(*(row.cells for row in rows), strict=True)]
    return tuple(replace(row, cells=tuple(column[i] for column in columns)) for i, row in enumerate(rows))


def ranked_column(column: Sequence[Cell], test: ColumnTest) -> list[Cell]:
    """The cells of one column, the best named so; see `ranked`."""
    numbers = {i: cell.value for i, cell in enumerate(column) if cell.value is not None}
    if len(numbers) < 2 or len({column[i].test_items for i in numbers}) > 1:
        return list(column)
    higher = column[next(iter(numbers))].higher_is_better
    first = max(numbers, key=lambda i: numbers[i] if higher else -numbers[i])
    others = [i for i in numbers if i != first]
    ps = test(column[first].records, [column[i].records for i in others])
    tested = {i: p for i, p in zip(others, ps, strict=True) if p is not None}
    told = len(tested) == len(others) and any(p < LEVEL for p in tested.values())
    alike = {first, *(i for i, p in tested.items() if p >= LEVEL)} if told else set()
    if at_chance(column[first]):
        alike = set()
    return [
        replace(cell, p=tested.get(i), rank="best" if i in alike else "") for i, cell in enumerate(column)
    ]


def at_chance(cell: Cell) -> bool:
    """Whether a number is not above what a uniform guess gets, as far as that is known."""
    return cell.guesses is not None and cell.value is not None and cell.value <= cell.guesses[0]
