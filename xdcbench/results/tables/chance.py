"""Rows of what guesses get, below the measured numbers of a group."""

from collections.abc import Iterator, Sequence

from xdcbench.results.tables.grid import Cell, Row

CHANCE, FREQUENT = "chance", "most frequent class"


def chance_rows(rows: Sequence[Row], labels: int, columns: int) -> tuple[Row, ...]:
    """What a guess gets in each column, and what the most frequent class gets where that is more.

    A column has no guess where it is not known, or where its numbers disagree about it.
    """
    names = ("",) * (labels - 1)
    known = [_guesses([row.cells[i] for row in rows]) for i in range(columns)]
    made = [
        Row((name, *names), "", tuple(_cell(guesses and guesses[which]) for guesses in known))
        for which, name in enumerate((CHANCE, FREQUENT))
    ]
    differ = any(other is not None and f"{one:.1f}" != f"{other:.1f}" for one, other in filter(None, known))
    return tuple(made[: 1 + differ] if any(known) else ())


def _guesses(column: Sequence[Cell]) -> tuple[float, float | None] | None:
    found = set(_rounded(column))
    return found.pop() if len(found) == 1 else None


def _rounded(column: Sequence[Cell]) -> Iterator[tuple[float, float | None]]:
    for cell in column:
        if cell.guesses is not None:
            chance, frequent = cell.guesses
            yield round(chance, 4), None if frequent is None else round(frequent, 4)


def _cell(value: float | None) -> Cell:
    return Cell(value=value, unit="%", status="chance", metric="top1" if value is not None else "")
