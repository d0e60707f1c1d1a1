"""Rows of what guesses get, from cells that know it."""

from xdcbench.results.tables.chance import CHANCE, FREQUENT, chance_rows
from xdcbench.results.tables.grid import Cell, Row


def test_the_most_frequent_class_has_a_row_where_it_beats_a_guess() -> None:
    recall, top1, unknown = Cell(guesses=(76.3, None)), Cell(guesses=(25.0, 34.1)), Cell()
    made = chance_rows([Row(("XDC", "none"), "", (recall, top1, unknown))], 2, 3)
    assert [(row.labels, [cell.value for cell in row.cells]) for row in made] == [
        ((CHANCE, ""), [76.3, 25.0, None]),
        ((FREQUENT, ""), [None, 34.1, None]),
    ]


def test_a_recall_has_chance_alone() -> None:
    (row,) = chance_rows([Row(("XDC",), "", (Cell(guesses=(76.3, None)),))], 1, 1)
    assert row.cells[0].text == "76.3"


def test_cells_that_disagree_have_none() -> None:
    rows = [
        Row((name,), "", (Cell(guesses=(chance, None)),)) for name, chance in (("XDC", 10.0), ("SDC", 25.0))
    ]
    assert chance_rows(rows, 1, 1) == ()
