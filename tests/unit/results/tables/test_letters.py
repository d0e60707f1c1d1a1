"""Letters at published numbers whose protocol differs."""

from dataclasses import replace

import pytest

from xdcbench.results.tables.grid import Cell, Group, Row
from xdcbench.results.tables.latex import escape_latex
from xdcbench.results.tables.letters import LETTERS, lettered

OWN = Cell(value=90.0, unit="%", status="verified", differs="30 views")


def rows(*cells: Cell) -> Row:
    return Row(("GDT",), "", cells)


def test_equal_protocols_share_a_letter_in_the_order_of_the_table() -> None:
    best = replace(OWN, differs="the best test epoch counts")
    groups, notes = lettered([Group("published", (rows(OWN, Cell()), rows(best, OWN)))])
    assert [[cell.letter for cell in row.cells] for row in groups[0].rows] == [["ᵃ", ""], ["ᵇ", "ᵃ"]]
    assert notes == ["ᵃ protocol of its own: 30 views.", "ᵇ protocol of its own: the best test epoch counts."]


def test_the_letter_follows_the_mark_of_the_status() -> None:
    groups, _ = lettered([Group("published", (rows(replace(OWN, status="unverified")),))])
    assert groups[0].rows[0].cells[0].text == "90.0†ᵃ"


def test_more_protocols_than_letters_have_letters_of_their_own() -> None:
    cells = [replace(OWN, differs=f"views: {n}") for n in range(60)]
    groups, notes = lettered([Group("published", (rows(*cells),))])
    marks = [cell.letter for cell in groups[0].rows[0].cells]
    assert len(set(marks)) == len(notes) == 60


@pytest.mark.parametrize(("raised", "plain"), [("ᵃ", "a"), ("ᵖ", "p"), ("ʳ", "r"), ("ᶻ", "z")])
def test_latex_raises_the_plain_letter(raised: str, plain: str) -> None:
    assert escape_latex(raised) == rf"\textsuperscript{{{plain}}}"
    assert len(LETTERS) == len(set(LETTERS)) == 25
