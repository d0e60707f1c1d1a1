"""Tolerances against hand-worked bounds and simulated checks; the file of a reference."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.results.regression.helpers import NAME, reference, within
from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.regression.reference import (
    Spread,
    empty_reference,
    load_reference,
    share_bound,
    spreads_of,
    visible_shifts,
    write_reference,
)
from xdcbench.utils.documents import read_json

Maker = Callable[..., Record]


def test_tolerance_is_the_prediction_bound_of_all_numbers_together() -> None:
    """Hand-worked: of two numbers, 1 - 0.05 / 4 of t with 7 degrees of freedom is 2.8412."""
    known = reference(
        {"a/top1": Spread(mean=50.0, deviation=2.0), "b/top1": Spread(mean=50.0, deviation=0.0)}
    )
    assert known.tolerance("a/top1") == pytest.approx(2.8412 * 2.0 * math.sqrt(1 + 1 / 8), rel=1e-4)
    assert known.tolerance("a/top1", seeds=4) == pytest.approx(
        2.8412 * 2.0 * math.sqrt(1 / 4 + 1 / 8), rel=1e-4
    )


def test_tolerance_is_at_least_rounding() -> None:
    known = reference({"b/nmi_class": Spread(mean=0.5)})
    assert known.tolerance("b/nmi_class") == pytest.approx(1e-4)
    assert known.tolerance("new/top1") == 0.0


def test_shares_without_spread_are_bound_by_binomial_draws() -> None:
    """Hand-worked: Jeffreys' beta (64.5, 0.5) after 64 of 64 right; a further 8 items give 7 or 8 right."""
    weights = [
        math.comb(8, right) * math.exp(log_beta(right + 64.5, 8 - right + 0.5) - log_beta(64.5, 0.5))
        for right in range(9)
    ]
    error = 0.05 / 4
    assert weights[8] < 1 - error < weights[8] + weights[7]
    known = reference({"a/top1": Spread(mean=100.0, item=12.5), "b/accuracy": Spread(mean=1.0, item=1 / 8)})
    assert known.tolerance("a/top1") == 12.5
    assert known.tolerance("b/accuracy") == 1 / 8


def log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@given(
    right=st.integers(0, 64),
    items=st.sampled_from([1, 8, 30]),
    seeds=st.integers(1, 4),
    m=st.integers(1, 500),
)
def test_a_share_may_be_the_likeliest_one_and_never_out_of_range(
    right: int, items: int, seeds: int, m: int
) -> None:
    share = right / 64
    bound = share_bound(share, 64, items * seeds, error=0.05 / (2 * m))
    assert bound <= max(share, 1 - share)
    likeliest = round(share * items * seeds) / (items * seeds)
    assert abs(likeliest - share) <= bound + 1e-12


def test_shares_of_unchanged_code_rarely_move() -> None:
    """Of binomial shares of 8 items, most of them always right, at most one check in twenty sees any move."""
    rng = np.random.default_rng(0)
    right = np.repeat([0.5, 0.9, 0.99, 1.0], 5)
    alarms, checks, seeds = 0, 200, 8
    for _ in range(checks):
        runs = rng.binomial(8, right, size=(seeds + 1, len(right))) / 0.08
        spreads = {
            f"{n}/top1": Spread(mean=float(of.mean()), deviation=float(of.std(ddof=1)), item=12.5)
            for n, of in enumerate(runs[1:].T)
        }
        known = reference(spreads, seeds)
        alarms += any(
            abs(runs[0, n] - of.mean) > known.tolerance(k) for n, (k, of) in enumerate(spreads.items())
        )
    assert alarms / checks <= 0.05


def test_false_alarms_are_as_rare_as_promised() -> None:
    """Of normal numbers, at most one check in twenty sees any of them move."""
    rng = np.random.default_rng(0)
    alarms, checks, numbers, seeds = 0, 400, 20, 8
    for _ in range(checks):
        runs = rng.normal(size=(seeds, numbers))
        spreads = {
            f"{n}/top1": Spread(mean=float(of.mean()), deviation=float(of.std(ddof=1)))
            for n, of in enumerate(runs.T)
        }
        known, new = reference(spreads, seeds), rng.normal(size=numbers)
        alarms += any(
            abs(new[n] - spread.mean) > known.tolerance(name)
            for n, (name, spread) in enumerate(spreads.items())
        )
    assert alarms / checks < 0.05 + 3 * math.sqrt(0.05 * 0.95 / checks)
    assert alarms, "the bound is not so wide that nothing is ever seen"


def test_spread_is_that_of_runs_and_an_item_is_one_of_all_splits(make_record: Maker) -> None:
    def run(value: float) -> list[Record]:
        return [make_record(split=split, items_used=20, value=value) for split in ("1", "2")]

    spread = spreads_of([run(80.0), run(90.0), run(100.0)])[NAME]
    assert spread == Spread(mean=90.0, deviation=10.0, item=2.5)


def test_runs_of_different_numbers_are_refused(make_record: Maker) -> None:
    with pytest.raises(UserError, match="different numbers"):
        spreads_of([[make_record()], [make_record(method="sdc")]])


def test_reference_that_is_no_number_is_refused(tmp_path: Path) -> None:
    write_reference(tmp_path / "mini.json", reference({NAME: within(2.0, 90.0)}))
    broken = read_json(tmp_path / "mini.json") | {"values": {NAME: {"mean": "NaN"}}}
    (tmp_path / "mini.json").write_text(json.dumps(broken))
    with pytest.raises(UserError, match="finite"):
        load_reference(tmp_path / "mini.json")


def test_the_smallest_visible_shifts_are_told() -> None:
    known = reference({"a/top1": within(1.0, 50.0), "b/top1": within(9.0, 50.0)})
    assert visible_shifts(known) == "top1 1 to 9, median 5"


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mini.json"
    new = empty_reference("mini").model_copy(
        update={
            "values": {NAME: Spread(mean=91.0, deviation=1.5)},
            "fixed": {"inputs/k/frames": "abc", "inputs/k/mean": 0.5},
        }
    )
    write_reference(path, new)
    assert load_reference(path) == new


def test_missing_reference_is_told_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"no reference .*mini\.json; make one with `xdcbench check --update`"
    ):
        load_reference(tmp_path / "mini.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not readable JSON"), ("[]", "--update"), ('{"suite": 3}', "suite"), ('{"suite": "a"}', "plan")],
)
def test_file_that_is_no_reference_is_named(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "mini.json"
    path.write_text(content)
    with pytest.raises(UserError) as error:
        load_reference(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_reference_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the reference .*; give another with --baseline"):
        write_reference(tmp_path / "file" / "mini.json", empty_reference("mini"))
