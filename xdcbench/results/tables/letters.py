"""Letters at published numbers whose protocol differs, each explained by a footnote."""

from collections.abc import Sequence
from dataclasses import replace

from xdcbench.results.tables.grid import Cell, Group

LETTERS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"
"""Raised; every font of a browser and a terminal has them."""


def lettered(groups: Sequence[Group]) -> tuple[tuple[Group, ...], list[str]]:
    """Groups whose published cells have the letter of what their protocol does otherwise, and the footnotes."""
    found: dict[str, str] = {}

    def mark(cell: Cell) -> Cell:
        if not cell.differs:
            return cell
        n = len(found)
        letter = found.setdefault(cell.differs, LETTERS[n % len(LETTERS)] * (1 + n // len(LETTERS)))
        return replace(cell, letter=letter)

    marked = tuple(
        replace(group, rows=tuple(replace(row, cells=tuple(map(mark, row.cells))) for row in group.rows))
        for group in groups
    )
    return marked, [f"{letter} protocol of its own: {differs}." for differs, letter in found.items()]
