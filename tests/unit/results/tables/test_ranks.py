"""Marks stand where a test tells numbers apart, and nowhere else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from xdcbench.results.records import Record
from xdcbench.results.tables.grid import Cell, Row
from xdcbench.results.tables.ranks import ranked


@pytest.fixture
def column(record: Callable[..., Record]) -> Callable[..., list[Row]]:
    def make(*values: float | None, higher: bool = True) -> list[Row]:
        cells = (
            Cell()
            if v is None
            else Cell(
                value=v, unit="%", status="measured", higher_is_better=higher, records=(record(value=v),)
            )
            for v in values
        )
        return [Row((f"m{i}",), "", (cell,)) for i, cell in enumerate(cells)]

    return make


def apart(first: Sequence[Record], others: Sequence[Sequence[Record]]) -> list[float | None]:
    """Five points are a difference; a value of 13 cannot be paired."""
    return [
        None if of[0].value == 13 else 0.01 if abs(first[0].value - of[0].value) >= 5 else 0.3
        for of in others
    ]


@pytest.mark.parametrize(
    ("values", "higher", "marked"),
    [
        ((60.0, 71.0, None), True, [1]),
        ((66.0, 71.0), False, [0]),
        ((70.0, 71.0, 60.0), True, [0, 1]),
        ((71.0, 71.0, 60.0), True, [0, 1]),
        ((69.0, 70.0, 71.0), True, []),  # none is told from another
        ((71.0,), True, []),
        ((71.0, None), True, []),
        ((None, None), True, []),
        ((), True, []),
        ((71.0, 60.0, 13.0), True, []),  # one that cannot be paired may be the best
    ],
)
def test_best_are_those_not_told_from_the_first(
    column: Callable[..., list[Row]], values: tuple[float | None, ...], higher: bool, marked: list[int]
) -> None:
    rows = ranked(column(*values, higher=higher), apart)
    assert [i for i, row in enumerate(rows) if row.cells[0].rank] == marked


def test_p_values_stay_with_their_cells(column: Callable[..., list[Row]]) -> None:
    assert [row.cells[0].p for row in ranked(column(60.0, 71.0, None, 70.0), apart)] == [
        0.01,
        None,
        None,
        0.3,
    ]


def test_nothing_is_marked_without_a_test(column: Callable[..., list[Row]]) -> None:
    assert not any(row.cells[0].rank for row in ranked(column(60.0, 71.0), None))


def test_a_best_number_at_chance_is_not_marked(column: Callable[..., list[Row]]) -> None:
    """Four classes, chance 25 %: 19.4 beats 10 and is nothing."""
    low, high = column(10.0, 19.4)
    rows = [replace(row, cells=(replace(row.cells[0], guesses=(25.0, 30.0)),)) for row in (low, high)]
    assert not any(row.cells[0].rank for row in ranked(rows, apart))
    rows = [replace(row, cells=(replace(row.cells[0], guesses=(10.0, 30.0)),)) for row in (low, high)]
    assert [row.cells[0].rank for row in ranked(rows, apart)] == ["", "best"]


@pytest.mark.parametrize(
    "changes", [{"subset": "5 per class"}, {"fingerprint": "dead"}, {"splits": ("1",)}, {"frames": 32}]
)
def test_no_best_among_different_test_items(
    column: Callable[..., list[Row]], changes: dict[str, Any]
) -> None:
    first, second = column(60.0, 71.0)
    other = replace(second, cells=(replace(second.cells[0], **changes),))
    assert [row.cells[0].rank for row in ranked([first, other], apart)] == ["", ""]
