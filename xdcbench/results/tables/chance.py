"""Rows of what guesses get, below the measured numbers of a group."""

from collections.abc import Iterator, Sequence

from xdcbench.results.tables.grid import Cell, Row

CHANCE, FREQUENT = "chance", "most frequent class"


def chance_rows(rows: Sequence[Row], labels: int, columns: int) -> tuple[Row, ...]:
    """What chance gets in each column, and what the most frequent class gets where that is more.

    A column has no guess where it is not known, or where its numbers disagree about it.
    """
    names = ("",) * (labels - 1)
    cells = [[row.cells[i] for row in rows] for i in range(columns)]
    known = [_guesses(column) for column in cells]
    made = [
        Row(
            (name, *names),
            "",
            tuple(_cell(of and of[which], column) for of, column in zip(known, cells, strict=True)),
        )
        for which, name in enumerate((CHANCE, FREQUENT))
    ]
    differ = any(most is not None and f"{one:.1f}" != f"{most:.1f}" for one, most in filter(None, known))
    return tuple(made[: 1 + differ] if any(known) else ())


def _guesses(column: Sequence[Cell]) -> tuple[float, float | None] | None:
    found = set(_rounded(column))
    return found.pop() if len(found) == 1 else None


def _rounded(column: Sequence[Cell]) -> Iterator[tuple[float, float | None]]:
    for cell in column:
        if cell.guesses is not None:
            chance, most = cell.guesses
            yield round(chance, 4), None if most is None else round(most, 4)


def _cell(value: float | None, column: Sequence[Cell]) -> Cell:
    metric = next((cell.metric for cell in column if cell.guesses is not None), "")
    return Cell(value=value, unit="%", status="chance", metric=metric if value is not None else "")
