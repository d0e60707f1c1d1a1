"""Plain text keeps its columns whatever letters names have, and fits a narrow terminal."""

import unicodedata

import pytest

from xdcbench.results.tables.plain import plain
from xdcbench.results.tables.texts import CellText, TextGroup, TextRow, Texts


def texts(columns: int, *names: str, long: str = "") -> Texts:
    rows = [
        TextRow([name, "Kinetics-400"], [CellText(f"{10 * i + j:.1f}") for j in range(columns)])
        for i, name in enumerate(names, 1)
    ]
    titles = [f"column {j}{long}" for j in range(columns)]
    note = "A note of many words that a narrow terminal has to wrap somewhere."
    group = TextGroup("measured", rows)
    return Texts("Title", ["method", "pretraining data"], titles, [group], [note], [])


def columns_of(text: str) -> int:
    """Columns of a terminal by Unicode's East Asian width; marks that combine have none."""
    wide = {"W": 2, "F": 2}
    return sum(0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1) for c in text)


def test_names_in_chinese_and_arabic_align() -> None:
    lines = plain(texts(2, "XDC", "自监督聚类", "تجميع", "é́")).split("\n\n")[1].splitlines()
    rows = [line for line in lines if "Kinetics" in line]
    assert {columns_of(line.split("Kinetics")[0]) for line in rows} == {columns_of("自监督聚类  ")}
    assert len({columns_of(line) for line in rows}) == 1


def test_thirty_columns_become_blocks_that_fit() -> None:
    made = texts(30, "XDC", "SDC")
    whole = plain(made)
    assert len(whole.split("\n\n")) == 3, "without a width one block"
    text = plain(made, 80)
    assert max(map(len, text.splitlines())) <= 80
    blocks = text.split("\n\n")[1:-1]
    assert all(block.count("XDC") == 1 and block.startswith("method") for block in blocks)
    numbers = [word for block in blocks for word in block.split() if word.endswith(".0")]
    assert sorted(numbers) == sorted(f"{10 * i + j:.1f}" for i in (1, 2) for j in range(30))
    assert " ".join(text.split("\n\n")[-1].split()) == made.notes[0]


@pytest.mark.parametrize("width", [20, 40])
def test_where_labels_leave_no_room_rows_are_lists(width: int) -> None:
    made = texts(2, "a method with a long name", "XDC", long=", of a long title")
    text = plain(
        made._replace(groups=[made.groups[0]._replace(title="measured, and a title of many words")]), width
    )
    assert max(map(len, text.splitlines())) <= width
    assert "XDC, Kinetics-400\n  column 0, of" in text
    assert " ".join(text.split()).count("title: 2") == 2


def test_a_mark_stands_before_its_number() -> None:
    made = texts(1, "XDC")
    row = TextRow(["XDC", ""], [CellText("72.0", "(+0.1)", best=True)])
    text = plain(made._replace(groups=[TextGroup("measured", [row])]))
    assert "*72.0 (+0.1)" in text


def test_a_row_without_any_cell_in_a_block_is_left_out_of_it() -> None:
    made = texts(2, "XDC")
    chance = TextRow(["chance", ""], [CellText(""), CellText("25.0")])
    group = made.groups[0]._replace(rows=[*made.groups[0].rows, chance])
    _, first, second, _ = plain(made._replace(groups=[group]), 35).split("\n\n")
    assert "column 0" in first and "chance" not in first
    assert "column 1" in second and second.splitlines()[-1].split() == ["chance", "25.0"]
