"""A finished table as texts, before a format escapes and aligns them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xdcbench.results.tables.grid import Cell, Grid, Group, Row

MARKED = (
    "the best measured number of its group in a column, and those that a paired test (5 %, Holm over all pairs) does "
    "not tell from it."
)
UNMARKED = (
    "No best number is marked: no paired test (5 %, Holm over all pairs) tells one from another, or none is above "
    "chance."
)
UNPAIRED = "Without a best number, since frames, splits or test items differ in the column: "


@dataclass(frozen=True)
class Look:
    """How a table is written.

    Attributes:
        details: whether what the numbers come from follows the footnotes.
        width: of plain text, in columns of a terminal; 0: as wide as the table is.
        notes: whether LaTeX has the footnotes below the table.
        caption: of a LaTeX table, as LaTeX; without it and a label there is no float, only what is inside.
        label: of a LaTeX table.
    """

    details: bool = False
    width: int = 0
    notes: bool = False
    caption: str = ""
    label: str = ""


class CellText(NamedTuple):
    """A cell: the number with its parts, the difference behind it, and whether it is marked."""

    text: str
    delta: str = ""
    best: bool = False

    @property
    def whole(self) -> str:
        """Number and difference."""
        return f"{self.text} {self.delta}".rstrip()


class TextRow(NamedTuple):
    """Labels and cells of a row."""

    labels: list[str]
    cells: list[CellText]


class TextGroup(NamedTuple):
    """Rows under a title."""

    title: str
    rows: list[TextRow]


class Texts(NamedTuple):
    """All texts of a table, on one line each: ``labels`` and ``columns`` are its header."""

    title: str
    labels: list[str]
    columns: list[str]
    groups: list[TextGroup]
    notes: list[str]
    details: list[str]


def flat(text: object) -> str:
    """Text on one line, without control characters."""
    return " ".join("".join(c for c in str(text) if c.isprintable() or c.isspace()).split())


def texts_of(grid: Grid, best: str) -> Texts:
    """The texts of a grid; ``best`` is the name of the emphasis, which the first note explains."""
    return Texts(
        flat(grid.title),
        list(map(flat, grid.header)),
        list(map(flat, grid.columns)),
        [
            TextGroup(flat(group.title), [_row(row) for row in (*group.rows, *group.chance)])
            for group in grid.groups
        ],
        [flat(note) for note in (*_mark_notes(grid, best), *grid.footnotes)],
        [flat(note) for note in grid.details],
    )


def _row(row: Row) -> TextRow:
    return TextRow(list(map(flat, row.shown)), list(map(_cell, row.cells)))


def _cell(cell: Cell) -> CellText:
    return CellText(flat(cell.text), flat(cell.delta_text), cell.rank == "best")


def _mark_notes(grid: Grid, best: str) -> list[str]:
    cells = [cell for group in grid.groups for row in group.rows for cell in row.cells]
    notes = [f"{best}: {MARKED}"] if any(cell.rank for cell in cells) else []
    if not notes and any(cell.p is not None for cell in cells):
        notes = [UNMARKED]
    unpaired = dict.fromkeys(title for group in grid.groups for title in _unpaired(group, grid.columns))
    return [*notes, *([f"{UNPAIRED}{', '.join(unpaired)}."] if unpaired else [])]


def _unpaired(group: Group, columns: Sequence[str]) -> Iterator[str]:
    """Columns whose measured per cents are of different test items, so that none is tested against another."""
    for title, column in zip(columns, zip(*(row.cells for row in group.rows), strict=True), strict=True):
        shares = [cell for cell in column if cell.status == "measured" and cell.unit == "%"]
        if len({cell.test_items for cell in shares}) > 1:
            yield title
