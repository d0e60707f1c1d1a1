from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.reports.leaderboard.made_board import write_board
from tests.unit.reports.results.made_results import record
from xdcbench.reports.leaderboard.board import Board, make_board
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.column_test import column_test
from xdcbench.results.tables.cells import CellStatistics


def apart(first: Sequence[Record], others: Sequence[Sequence[Record]]) -> list[float | None]:
    """A test that tells numbers ten points apart."""
    return [0.01 if first[0].value - other[0].value >= 10 else 0.5 for other in others]


def board(records: Sequence[Record]) -> Board:
    return make_board(records, CellStatistics(test=apart))


def probe(method: str, value: float, run: str = "", **changes: object) -> Record:
    key = run or f"linear_probe-{method}"
    return record(key, method, "linear_probe", "top1", value, **changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Board:
    folder = write_board(tmp_path_factory.mktemp("board") / "results")
    stores = [RunStore(folder)]
    statistics = CellStatistics(test=column_test(stores))
    return make_board(read_records(stores), statistics)


def places(of: Board, column: int) -> dict[str, str]:
    """By method, and pretraining data where it is not the usual."""
    return {
        row.method + row.pretrain_data.removeprefix("kinetics400"): row.cells[column].cell.rank
        for row in of.rows
        if column in row.cells
    }


def test_one_row_per_encoder_and_one_column_per_evaluation(made: Board) -> None:
    assert len(made.rows) == 7
    assert [(c.dataset, c.evaluation, c.splits) for c in made.columns] == [
        ("audioset", "multilabel_probe", ("official",)),
        ("esc50", "audio_probe", ("1",)),
        ("hmdb51", "knn", ("1",)),
        ("hmdb51", "knn", ("1",)),
        ("hmdb51", "retrieval", ("1",)),
        ("ucf101", "finetune", ("1", "2", "3")),
    ]
    xdc = next(row for row in made.rows if (row.method, row.pretrain_data) == ("xdc", "audioset"))
    assert xdc.modalities == ("audio", "video")
    finetuned = xdc.cells[5]
    assert finetuned.cell.n == 2
    assert len(finetuned.records) == 6
    assert finetuned.cell.items_used == 1200
    assert finetuned.cell.value == pytest.approx(sum(r.value for r in finetuned.records) / 6)


def test_marks_where_settings_agree(made: Board) -> None:
    best = {method for method, place in places(made, 3).items() if place}
    assert best == {"xdcaudioset", "xdc", "r3d_18", "cdc"}, "their skills are within 12 points; 300 items"
    assert made.unlike == {4: ("items used 297 and 300",)}
    assert set(places(made, 4).values()) == {""}


def test_the_best_are_those_that_the_test_does_not_tell_apart() -> None:
    of = board([probe("a", 70.0), probe("b", 65.0), probe("c", 60.0), probe("d", 50.0)])
    assert places(of, 0) == {"a": "best", "b": "best", "c": "", "d": ""}
    assert set(places(board([probe("a", 70.0), probe("b", 65.0)]), 0).values()) == {""}, (
        "nothing is told apart"
    )
    assert places(board([probe("a", 70.0)]), 0) == {"a": ""}, "nothing to be better than"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"items_used": 199}, "items used 199 and 200"),
        ({"train_items_used": 5}, "train items used 0 and 5"),
        ({"fingerprint": "0123456789abcdef"}, "fingerprint 0123456789ab and f00df00df00d"),
        ({"evaluation_version": 2}, "evaluation version 1 and 2"),
        ({"hyperparameters": {"num_clips": 10}}, "num clips 10 and not stated"),
        ({"subset": "5 per class"}, "subset none and 5 per class"),
        ({"epochs": 9}, "epochs 4 and 9"),
    ],
)
def test_no_mark_where_one_setting_differs(changes: dict[str, object], said: str) -> None:
    of = board([probe("a", 70.0), probe("b", 60.0), probe("c", 50.0, **changes)])
    assert of.unlike == {0: (said,)}
    assert set(places(of, 0).values()) == {""}


def test_other_splits_and_other_worlds_are_other_columns() -> None:
    both = [
        probe("a", v, f"linear_probe-a{s}", split=s, official_splits=("1", "2"))
        for s, v in (("1", 60.0), ("2", 80.0))
    ]
    one = probe("b", 70.0, split="1", official_splits=("1", "2"))
    real = probe("c", 90.0, world="real", split="1", official_splits=("1", "2"))
    of = board([*both, one, real])
    assert [(c.world, c.splits) for c in of.columns] == [
        ("real", ("1",)),
        ("synthetic", ("1",)),
        ("synthetic", ("1", "2")),
    ]
    assert [sorted(row.cells) for row in of.rows] == [[2], [1], [0]]
    assert of.rows[0].cells[2].cell.value == 70.0


def test_two_settings_of_a_method_are_two_rows() -> None:
    of = board(
        [
            probe("a", 60.0, "linear_probe-1", config_hash="x", pretrain_items=8),
            probe("a", 70.0, "linear_probe-2", config_hash="y", pretrain_items=16),
        ]
    )
    assert sorted(row.settings for row in of.rows) == [
        "config_hash x, pretrain_items 8",
        "config_hash y, pretrain_items 16",
    ]


def test_draws_are_no_setting() -> None:
    draws = [
        record(
            "low_shot-a",
            "a",
            "low_shot",
            "top1",
            value,
            train_items_used=n,
            hyperparameters={"shots": "1", "draw": draw},
        )
        for draw, (value, n) in enumerate([(50.0, 3), (70.0, 4)])
    ]
    of = board(draws)
    assert of.rows[0].cells[0].cell.value == 60.0
    assert of.unlike == {}


def test_nothing_measured(tmp_path: Path) -> None:
    assert board([]) == Board((), (), {})
