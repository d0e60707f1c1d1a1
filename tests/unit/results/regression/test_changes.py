"""Numbers beside those of a reference."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.results.regression.helpers import MEAN, NAME, reference, within
from xdcbench.results.records import Record
from xdcbench.results.regression.changes import RegressionChange, fixed_changes, regression_changes
from xdcbench.results.regression.reference import (
    Reference,
    Spread,
)

Maker = Callable[..., Record]


def moves_of(records: Sequence[Record], reference: Reference) -> list[RegressionChange]:
    return [value for value in regression_changes(records, reference) if value.moved]


KNOWN = reference({NAME: within(2.0, 90.0), MEAN: within(50.0, 90.0)})


def test_every_number_is_listed_moved_or_not(make_record: Maker) -> None:
    _, value = regression_changes([make_record(value=89.0)], KNOWN)
    assert (value.name, value.expected, value.found, value.moved) == (NAME, 90.0, 89.0, False)


@pytest.mark.parametrize("found", [88.01, 90.0, 91.99])
def test_within_tolerance_is_no_move(make_record: Maker, found: float) -> None:
    assert moves_of([make_record(value=found)], KNOWN) == []


@pytest.mark.parametrize("found", [87.9, 92.1, float("nan"), float("inf")])
def test_beyond_tolerance_is_a_move(make_record: Maker, found: float) -> None:
    *_, move = moves_of([make_record(value=found)], KNOWN)
    assert (move.name, move.expected, move.tolerance) == (NAME, 90.0, pytest.approx(2.0))
    assert str(move) == f"{NAME}: expected 90 ± 2, found {found:.4g}"


@pytest.mark.parametrize(
    ("again", "said"),
    [(70.0, "; with another seed 70, moved too"), (91.0, "; with another seed 91, as expected")],
)
def test_a_move_is_told_with_another_seed_and_its_items(again: float, said: str) -> None:
    move = RegressionChange(NAME, 90.0, 60.0, 2.0, again=again, items=tuple("abcdefg"))
    assert str(move) == f"{NAME}: expected 90 ± 2, found 60{said}; now wrong: a, b, c, d, e and 2 more"


@given(expected=st.floats(-1e3, 1e3), found=st.floats(-1e3, 1e3), tolerance=st.floats(0.2, 1e3))
def test_a_move_is_a_distance_beyond_the_tolerance(
    make_record: Maker, expected: float, found: float, tolerance: float
) -> None:
    known = reference(dict.fromkeys((NAME, MEAN), within(tolerance, expected)))
    moves = moves_of([make_record(value=found)], known)
    assert bool(moves) == (abs(found - expected) > known.tolerance(NAME))


def test_missing_and_new_numbers_are_moves(make_record: Maker) -> None:
    old = NAME.replace("xdc/", "sdc/")
    known = reference({old: within(2.0, 50.0), MEAN: Spread(mean=91.0)})
    moves = moves_of([make_record()], known)
    assert [(m.name, m.expected, m.found) for m in moves] == [(old, 50.0, None), (NAME, None, 91.0)]
    assert str(moves[0]) == f"{old}: expected 50 ± 2, found nothing"
    assert str(moves[1]) == f"{NAME}: expected nothing ± 0, found 91"


@pytest.mark.parametrize(
    ("expected", "found", "moved"),
    [
        ("abc", "abc", False),
        ("abc", "abd", True),
        ("abc", None, True),
        (None, "abc", True),
        (2.0, 2.0001, False),
        (2.0, 2.0003, True),
        (0.5, 0.50009, False),
        (0.5, 0.5002, True),
        (-3000.0, -3000.2, False),
        (1.0, "abc", True),
        (1.0, float("nan"), True),
    ],
)
def test_digests_are_equal_and_numbers_agree_to_rounding(
    expected: float | str | None, found: float | str | None, moved: bool
) -> None:
    known = {"inputs/other": 1.0} | ({"inputs/x": expected} if expected is not None else {})
    of = reference({}).model_copy(update={"fixed": known})
    now = {"inputs/other": 1.0} | ({"inputs/x": found} if found is not None else {})
    values = {value.name: value for value in fixed_changes(now, of, ["inputs"])}
    assert values["inputs/x"].moved == moved
    assert not values["inputs/other"].moved
    assert str(values["inputs/x"]).startswith("inputs/x: expected ")


def test_only_tiers_that_are_asked_for_and_known_are_compared() -> None:
    of = reference({}).model_copy(update={"fixed": {"inputs/x": 1.0, "features/x": 1.0}})
    assert [v.name for v in fixed_changes({"inputs/x": 1.0}, of, ["inputs"])] == ["inputs/x"]
    assert fixed_changes({"algorithms/x": 1.0}, of, ["algorithms"]) == []
