"""Columns without a number are left out, and named."""

from collections.abc import Callable

import pytest

from xdcbench.config.table import Column, Table
from xdcbench.results.published import Published
from xdcbench.results.records import Record
from xdcbench.results.tables.build import build
from xdcbench.results.tables.render import Format, render
from xdcbench.results.tables.unavailable import UnavailableResult

Maker = Callable[..., Record]
KNN = {"evaluation": "knn", "protocol": "knn", "dataset": "ucf101"}
TABLE = Table(
    title="Neighbors",
    columns=(
        Column(title="10-NN", hyperparameters={"neighbors": 10}, **KNN),
        Column(title="99-NN", hyperparameters={"neighbors": 99}, **KNN),
        Column(title="50-NN", hyperparameters={"neighbors": 50}, **KNN),
        Column(title="shots", evaluation="low_shot", dataset="ucf101"),
    ),
)
NOTE = "Columns left out, since they have no number: "


def neighbors(record: Maker, k: int, **changes: object) -> Record:
    return record(hyperparameters={"neighbors": k}, train_items_used=60, run=f"r{k}", **KNN, **changes)


def test_they_are_named_with_the_reason_that_is_known(record: Maker) -> None:
    grid = build(TABLE, [neighbors(record, 10)], [])
    assert grid.columns == ("10-NN",)
    assert [len(row.cells) for group in grid.groups for row in (*group.rows, *group.chance)] == [1]
    assert f"{NOTE}99-NN (60 training items), 50-NN, shots." in grid.footnotes


@pytest.mark.parametrize("fmt", ["txt", "md", "html", "tex"])
def test_no_format_has_them(record: Maker, fmt: Format) -> None:
    text = render(build(TABLE, [neighbors(record, 10), neighbors(record, 50)], []), fmt)
    assert all(name in text for name in ("10-NN", "50-NN"))
    assert ("99-NN (60 training items), shots" in text) == (fmt != "tex"), "LaTeX has notes when asked"
    assert text.count("99-NN") == (fmt != "tex"), "in the note alone"


def test_a_reason_for_no_number_keeps_a_column(record: Maker) -> None:
    lack = UnavailableResult("xdc", "kinetics400", "low_shot", "ucf101", "1", "no folder")
    grid = build(TABLE, [neighbors(record, 10)], [], lacks=[lack])
    assert grid.columns == ("10-NN", "shots")


def test_a_published_number_keeps_a_column(record: Maker, published: list[Published]) -> None:
    beside = Column(title="ESC-50", evaluation="e", protocol="finetune", dataset="esc50", split="1")
    own = Column(title="HMDB51", evaluation="e", protocol="finetune", dataset="hmdb51", split="1", frames=8)
    table = TABLE.model_copy(update={"columns": (*TABLE.columns, beside, own), "published": ("table:1",)})
    grid = build(table, [neighbors(record, 10)], published)
    assert "HMDB51" in grid.columns and "99-NN" not in grid.columns


def test_a_table_without_rows_keeps_its_columns() -> None:
    grid = build(TABLE, [], [])
    assert grid.columns == ("10-NN", "99-NN", "50-NN", "shots")
    assert not any(note.startswith(NOTE) for note in grid.footnotes)
