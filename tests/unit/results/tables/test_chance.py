"""Rows of chance below measured numbers."""

from xdcbench.results.tables.chance import chance_rows
from xdcbench.results.tables.grid import Cell, Row


def rows(*columns: list[tuple[float, float | None] | None]) -> list[Row]:
    """A row for each place in the columns, which hold what is known of chance."""
    return [
        Row(
            ("xdc",),
            "",
            tuple(Cell(value=50.0, unit="%", metric=f"m{i}", guesses=of) for i, of in enumerate(known)),
        )
        for known in zip(*columns, strict=True)
    ]


def shown(made: tuple[Row, ...]) -> list[tuple[str, list[tuple[float | None, str]]]]:
    return [(row.labels[0], [(cell.value, cell.metric) for cell in row.cells]) for row in made]


def test_recall_has_chance_and_no_most_frequent_class() -> None:
    made = chance_rows(rows([(25.0, 40.0)], [(33.3, None)]), 1, 2)
    assert shown(made) == [
        ("chance", [(25.0, "m0"), (33.3, "m1")]),
        ("most frequent class", [(40.0, "m0"), (None, "")]),
    ]
    assert len(chance_rows(rows([(33.3, None)]), 1, 1)) == 1


def test_a_column_that_disagrees_has_none() -> None:
    made = chance_rows(rows([(25.0, 25.0), (25.0, 25.0)], [(10.0, None), (20.0, None)]), 1, 2)
    assert shown(made) == [("chance", [(25.0, "m0"), (None, "")])]


def test_without_any_there_are_no_rows() -> None:
    assert chance_rows(rows([None], [None]), 1, 2) == ()
