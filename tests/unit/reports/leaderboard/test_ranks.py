"""Mean ranks against hand-worked cases and a bootstrap of the test's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from tests.unit.reports.leaderboard.made_board import write_board
from tests.unit.reports.results.made_results import record, run
from xdcbench.reports.leaderboard.board import make_board
from xdcbench.reports.leaderboard.ranks import Ranking, rankings
from xdcbench.results.records import read_records, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.tables.cells import CellStatistics
from xdcbench.utils.manifest import write_manifest

ITEMS = 60


def results(folder: Path, right: Mapping[tuple[str, str], np.ndarray], **changes: Any) -> list[Ranking]:
    """Rankings of probes by method and dataset, with who was right of `ITEMS` items."""
    store = RunStore(folder)
    names = [f"{i:02d}" for i in range(ITEMS)]
    for (method, dataset), of in right.items():
        key = f"linear_probe-{method}{dataset}"
        path = run(store, key, "linear_probe", key)
        fields = {"dataset": dataset, "items_used": ITEMS, "fingerprint": dataset} | changes
        write_records(path, [record(key, method, "linear_probe", "top1", 100.0 * of.mean(), **fields)])
        table = pd.DataFrame({"id": names, "group": names, "label": 1, "prediction": of.astype(int)})
        table.to_parquet(path / "predictions.parquet", index=False)
        write_manifest(path)
    return rankings(make_board(read_records([store]), CellStatistics()), [store])


def first(count: int) -> np.ndarray:
    return np.arange(ITEMS) < count


def last(count: int) -> np.ndarray:
    return first(count)[::-1]


def test_mean_of_ranks_with_ties(tmp_path: Path) -> None:
    """On x: b, then a and c level (2.5 each). On y: a, b, c."""
    counts = {"x": {"a": 20, "b": 30, "c": 20}, "y": {"a": 50, "b": 40, "c": 10}}
    right = {(m, d): first(n) for d, of in counts.items() for m, n in of.items()}
    (found,) = results(tmp_path, right)
    assert [found.ranks[i].value for i in range(3)] == [(2.5 + 1) / 2, (1 + 2) / 2, (2.5 + 3) / 2]
    assert found.modality == "audio"
    assert found.fixed == ()


def test_ends_are_those_of_a_bootstrap(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    right = {
        ("a", "x"): rng.random(ITEMS) < 0.6,
        ("b", "x"): rng.random(ITEMS) < 0.5,
        ("c", "x"): rng.random(ITEMS) < 0.3,
    }
    (found,) = results(tmp_path, right)
    table = np.stack(list(right.values()))
    own = np.random.default_rng(7)
    ranks = np.stack(
        [rankdata(-table[:, own.integers(0, ITEMS, ITEMS - 1)].sum(axis=1)) for _ in range(4000)]
    )
    ends = np.quantile(ranks, [0.025, 0.975], axis=0)
    assert [found.ranks[i].ends for i in range(3)] == [pytest.approx(tuple(of), abs=0.5) for of in ends.T]
    assert all(low <= found.ranks[i].value <= high for i, (low, high) in enumerate(ends.T))


def test_columns_on_the_same_items_move_together_and_others_do_not(tmp_path: Path) -> None:
    """Two methods that are right on disjoint halves: in each replicate the rank is 1 or 2, or 1.5 where they tie."""
    pair = {"a": first(30), "b": last(30)}
    apart = {(m, d): of for d in ("x", "y") for m, of in pair.items()}
    (found,) = results(tmp_path / "apart", apart)
    assert found.ranks[0].value == 1.5
    assert found.ranks[0].ends == (1.0, 2.0)
    many = {(m, d): of for d in "stuvwxyz" for m, of in pair.items()}
    (found,) = results(tmp_path / "many", many)
    low, high = found.ranks[0].ends or (0.0, 0.0)
    assert 1.05 < low < 1.3 < 1.7 < high < 1.95, "the mean of eight independent coins"


def test_a_row_that_lacks_a_column_has_no_rank(tmp_path: Path) -> None:
    right = {(m, d): first(n) for m, n in (("a", 20), ("b", 30)) for d in "xy"} | {("c", "x"): first(50)}
    (found,) = results(tmp_path, right)
    assert sorted(found.ranks) == [0, 1]
    assert found.lacking == {2: (1,)}
    assert found.columns == (0, 1)
    assert found.ranks[1].value == 1.0, "c, which has no rank, is not above b"


def test_what_few_have_does_not_count(tmp_path: Path) -> None:
    right = {(m, "x"): first(n) for m, n in (("a", 20), ("b", 30), ("c", 40))} | {("a", "y"): first(60)}
    (found,) = results(tmp_path, right)
    assert found.columns == (0,)
    assert [found.ranks[i].value for i in range(3)] == [3.0, 2.0, 1.0]


def test_by_modality_weighted_and_without_predictions(tmp_path: Path) -> None:
    store = RunStore(write_board(tmp_path / "results"))
    board = make_board(read_records([store]), CellStatistics())
    video, audio = rankings(board, [store])
    assert (video.modality, video.columns) == ("video", (2, 3, 5)), "retrieval has other item counts"
    assert (audio.modality, audio.columns, audio.fixed) == ("audio", (0, 1), (0,))
    values = {i: [row.cells[i].cell.value for row in board.rows] for i in video.columns}
    ranks = {i: rankdata([-v for v in of]) for i, of in values.items()}
    knn = (ranks[2] + ranks[3]) / 2  # two numbers of neighbors weigh as one evaluation
    assert [video.ranks[i].value for i in range(7)] == pytest.approx(list((knn + ranks[5]) / 2))


def test_no_two_rows_that_share_anything(tmp_path: Path) -> None:
    assert results(tmp_path, {("a", "x"): first(20), ("b", "y"): first(20)}) == []
