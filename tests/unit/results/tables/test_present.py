import re
from collections.abc import Callable
from pathlib import Path

import pytest

from xdcbench.config.models import PretrainedEncoders, PretrainedVideo
from xdcbench.errors import UserError
from xdcbench.pipeline.catalog import rows
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.results.tables.present import (
    FORMATS,
    Named,
    grids,
    load_tables,
    method_titles,
    write_tables,
)
from xdcbench.results.tables.render import render
from xdcbench.results.tables.texts import Look

Maker = Callable[..., Record]


def test_grid_holds_the_records_of_its_columns(make_record: Maker) -> None:
    text = render(grids(load_tables(["probes"]), [make_record(value=91.25)])["probes"], "txt")
    assert "XDC" in text
    assert "91.2" in text or "91.3" in text


def test_chance_is_a_row_below_the_numbers(make_record: Maker) -> None:
    outcomes = {"chance": 25.0, "most_frequent_class": 34.09}
    grid = grids(load_tables(["probes"]), [make_record(value=91.25, outcomes=outcomes)])["probes"]
    text = render(grid, "txt")
    assert re.search(r"^chance +25\.0$", text, re.MULTILINE)
    assert re.search(r"^most frequent class +34\.1$", text, re.MULTILINE)
    assert "chance 25.0 %, the most frequent class 34.1 %." in render(grid, "txt", Look(details=True))


@pytest.mark.parametrize(
    ("stated", "every", "items", "shown"),
    [
        *((True, False, 498, 1), (False, False, 498, 0), (False, True, 498, 1)),
        *((False, False, 200, 0), (False, False, 199, 1)),
    ],
)
def test_intervals_of_tables_that_state_them_and_of_few_items(
    tmp_path: Path, make_record: Maker, stated: bool, every: bool, items: int, shown: int
) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(
        f"title: Mine\nintervals: {str(stated).lower()}\n"
        "columns:\n  - {title: video, evaluation: linear_probe, dataset: kinetics400}\n"
    )
    made = grids(
        load_tables([str(own)]),
        [make_record(value=91.25, items_used=items)],
        statistics=CellStatistics(lambda _: (80.0, 99.0), every=every),
    )
    assert render(made["mine"], "txt").count("[80.0, 99.0]") == shown


def test_datasets_have_their_titles_in_rows() -> None:
    labels = {
        row.labels[1] for group in grids(load_tables(["table5"]), [])["table5"].groups for row in group.rows
    }
    assert {"none", "Kinetics-400", "AudioSet", "IG-Random"} <= labels


def test_grids_are_named_by_table_also_where_given_by_path(tmp_path: Path, make_record: Maker) -> None:
    own = tmp_path / "mine.yaml"
    own.write_text(
        "title: Mine\ncolumns:\n  - {title: video, evaluation: linear_probe, dataset: kinetics400}\n"
    )
    made = grids(load_tables(["rounds", str(own)]), [make_record()])
    assert list(made) == ["rounds", "mine"]
    assert "Mine" in render(made["mine"], "txt")


def test_unknown_table_is_told() -> None:
    with pytest.raises(UserError, match="unknown table 'probe'; did you mean 'probes'"):
        grids(load_tables(["probe"]), [])


def test_methods_are_titled_as_in_the_library() -> None:
    assert method_titles() == dict(rows("methods"))
    assert method_titles()["xdc"] == "XDC"


def test_tables_are_written_in_every_format(tmp_path: Path, make_record: Maker) -> None:
    made = grids(load_tables(["probes", "rounds"]), [make_record()])
    written = write_tables(made, tmp_path / "deep" / "tables")
    assert {path.name for path in written} == {f"{name}.{fmt}" for name in made for fmt in FORMATS}
    for path in written:
        assert path.read_text(encoding="utf-8") == render(made[path.stem], path.suffix[1:])  # type: ignore[arg-type]


def test_folder_that_cannot_be_written_is_named(tmp_path: Path, make_record: Maker) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"cannot write tables to {tmp_path / 'file'}: .*with --output"):
        write_tables(grids(load_tables(["probes"]), [make_record()]), tmp_path / "file")


def test_releases_are_compared_with_the_numbers_of_their_method(make_record: Maker) -> None:
    """By the name of the registry, and by any name that a suite gives to its weights."""
    release = "r2plus1d_18_xdc_ig65m_kinetics"
    given = PretrainedEncoders(title="Official XDC", video=PretrainedVideo(weights=release))
    runs = [
        make_record(
            **{"run": f"{name}{split}", "method": name, "pretrain_data": "ig_kinetics", "world": "real"},
            **{"evaluation": "finetune32", "protocol": "finetune", "dataset": "ucf101", "value": 95.2},
            **{"split": split, "official_splits": tuple("123"), "hyperparameters": {"frames": 32}},
            architecture="R(2+1)D-18",
        )
        for name in (release, "mine")
        for split in "123"
    ]
    grid = grids(load_tables(["table6"]), runs, named=Named(encoders={"mine": given}))["table6"]
    shown = {row.labels[0]: row.cells[0].delta_text for row in grid.groups[0].rows}
    assert shown == {"XDC pretrained on IG-Kinetics": "(−0.3)", "Official XDC": "(−0.3)"}
