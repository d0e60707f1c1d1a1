from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.results.published import Status
from xdcbench.results.records import Record
from xdcbench.results.tables.cells import measured_cell, value_of
from xdcbench.results.tables.grid import Cell, Reference, Row

PER_CENT = st.floats(0, 100)


def test_one_run_has_no_spread(record: Callable[..., Record]) -> None:
    cell = measured_cell([record(value=74.249)])
    assert (cell.text, cell.n, cell.spread, cell.runs) == ("74.2", 1, None, ("run0",))
    assert (cell.items_used, cell.items_expected, cell.items_failed) == (49, 50, 1)


@given(values=st.lists(PER_CENT, min_size=2, max_size=6))
def test_mean_and_spread_over_seeds_are_numpys(record: Callable[..., Record], values: list[float]) -> None:
    cell = measured_cell(
        [record(value=v, pretrain_seed=i, seed=i, run=f"r{i}") for i, v in enumerate(values)]
    )
    assert cell.value == pytest.approx(np.mean(values))
    assert cell.spread == pytest.approx(np.std(values, ddof=1), abs=1e-9)
    assert cell.n == len(values) and len(cell.runs) == len(values)
    assert "±" in cell.text


def test_spread_is_over_seed_means_not_over_splits(record: Callable[..., Record]) -> None:
    # Seed 0: (60 + 80) / 2 = 70; seed 1: (62 + 86) / 2 = 74; mean 72, sample std 2 * sqrt(2).
    values = {(0, "1"): 60, (0, "2"): 80, (1, "1"): 62, (1, "2"): 86}
    cell = measured_cell(
        [record(value=v, seed=s, pretrain_seed=s, split=f, run=f"{s}{f}") for (s, f), v in values.items()]
    )
    assert (cell.value, cell.n, cell.text) == (72, 2, "72.0 ± 2.8")
    assert (cell.items_used, cell.items_expected, cell.items_failed) == (98, 100, 2)
    assert cell.splits_missing == ("3",)


def test_evaluation_seeds_of_one_pretraining_do_not_add_to_n(record: Callable[..., Record]) -> None:
    values = {(0, 0): 60.0, (0, 1): 70.0, (1, 0): 75.0, (1, 1): 75.0}
    cell = measured_cell(
        [record(value=v, pretrain_seed=p, seed=s, run=f"{p}{s}") for (p, s), v in values.items()]
    )
    assert (cell.value, cell.n) == (70.0, 2)
    assert cell.spread == pytest.approx(np.std([65, 75], ddof=1))
    assert cell.seeds == ("0", "0/1", "1", "1/0")


def test_a_split_that_one_seed_lacks_is_missing(record: Callable[..., Record]) -> None:
    runs = [(0, "1"), (0, "2"), (0, "3"), (1, "1"), (1, "3")]
    cell = measured_cell([record(pretrain_seed=s, seed=s, split=f, run=f"{s}{f}") for s, f in runs])
    assert cell.splits == ("1", "2", "3") and cell.splits_missing == ("2",)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Cell(), "—"),
        (Cell(value=74.25, unit="%"), "—"),  # a number of unknown status is never shown
        (Cell(value=74.2, unit="%", status="unverified"), "74.2†"),
        (Cell(value=74.2, unit="%", status="unverified-low"), "74.2‡"),
        (Cell(value=74.2, unit="%", status="verified"), "74.2"),
        (Cell(value=-0.0001, unit="", status="measured"), "0.000"),
        (Cell(value=0.58149, unit="", spread=0.01, n=3, status="measured"), "0.581 ± 0.010"),
    ],
)
def test_text(cell: Cell, text: str) -> None:
    assert cell.text == text


@pytest.mark.parametrize(
    ("value", "status", "text"),
    [
        (75.0, "unverified", "(+0.8†)"),
        (72.04, "verified", "(−2.2)"),
        (74.2, "unverified-low", "(+0.0‡)"),
        (74.199, "verified", "(+0.0)"),
        (None, "verified", ""),
    ],
)
def test_a_difference_has_its_sign_and_the_mark_of_the_published(
    value: float | None, status: Status, text: str
) -> None:
    cell = Cell(value=value, unit="%", status="measured", reference=Reference(74.2, status, "t1-016"))
    assert cell.delta_text == text


def test_absent_is_not_missing() -> None:
    assert (Cell().text, Cell(absent="no folder").text) == ("—", "n/a")


@pytest.mark.parametrize(
    ("label", "shown"),
    [("65000000", "65,000,000"), ("1024", "1024"), ("kinetics400", "kinetics400"), ("", "")],
)
def test_long_numbers_are_labeled_with_separators(label: str, shown: str) -> None:
    assert Row(("xdc", label), "", ()).shown == ("xdc", shown)


@pytest.mark.parametrize(
    ("hyperparameters", "k"),
    [
        ({"k_a": 64, "k_v": 64}, 64),
        ({"k_v": 64, "k_a": 128}, "128/64"),
        ({"k": 7, "k_a": 64}, 7),
        ({"k_joint": 32, "frames": 8}, 32),
        ({"frames": 8}, None),
    ],
)
def test_k_of_a_record(record: Callable[..., Record], hyperparameters: dict[str, int], k: object) -> None:
    assert value_of(record(hyperparameters=hyperparameters), "hyperparameters.k") == k


def test_an_interval_is_shown_beside_the_spread(record: Callable[..., Record]) -> None:
    runs = [record(value=70 + 4 * s, seed=s, pretrain_seed=s, run=f"r{s}") for s in (0, 1)]
    asked: list[list[str]] = []

    def ends(records: list[Record]) -> tuple[float, float]:
        asked.append([r.run for r in records])
        return 68.25, 75.0

    cell = measured_cell(runs, ends)
    assert cell.text == "72.0 ± 2.8 [68.2, 75.0]"
    assert asked == [["r0", "r1"]]
    assert measured_cell(runs, lambda _: None).text == "72.0 ± 2.8"


@pytest.mark.parametrize(
    ("metric", "outcomes", "guesses"),
    [
        ("top1", {"chance": 25.0, "most_frequent_class": 34.1}, (25.0, 34.1)),
        ("recall_at_5", {"chance": 76.3}, (76.3, None)),
        ("mAP", {"chance": 2.5}, (2.5, None)),
        ("cluster_accuracy", {"chance": 41.0}, (41.0, None)),
        ("top1_gain", {"chance": 25.0}, None),
        ("top1", {}, None),
    ],
)
def test_a_cell_knows_what_a_guess_gets(
    record: Callable[..., Record], metric: str, outcomes: dict[str, float], guesses: tuple[float, ...] | None
) -> None:
    assert measured_cell([record(metric=metric, outcomes=outcomes)]).guesses == guesses
