import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.regression import (
    Reference,
    RegressionChange,
    Spread,
    empty_reference,
    fixed_changes,
    item_of,
    load_reference,
    metric_of,
    name_of,
    regression_changes,
    share_bound,
    spreads_of,
    values_of,
    visible_shifts,
    write_reference,
)
from xdcbench.utils.documents import read_json

Maker = Callable[..., Record]
NAME = "xdc/kinetics400/linear_probe/kinetics400/top1"
MEAN = "xdc/kinetics400/all/all/top1"


def reference(values: dict[str, Spread], seeds: int = 8) -> Reference:
    return Reference(suite="mini", plan="0", seeds=tuple(range(seeds)), threads=(1, 2), values=values)


# --------------------------------------------------------------------------------------- comparing


def test_name_says_which_number_it_is(make_record: Maker) -> None:
    assert name_of(make_record(), "top1") == NAME
    of_round = make_record(evaluation="round", metric="video_a_accuracy", hyperparameters={"round": 2})
    assert name_of(of_round, "accuracy") == "xdc/kinetics400/round/kinetics400/accuracy"


def test_value_is_the_mean_over_splits_rounds_heads_and_seeds(make_record: Maker) -> None:
    folds = [make_record(split=split, value=value) for split, value in (("1", 40.0), ("2", 60.0))]
    heads = [make_record(metric=f"{m}_accuracy", value=v) for m, v in (("video_a", 0.5), ("audio_v", 0.25))]
    validation = make_record(metric="val_video_a_accuracy", value=0.0)
    found = values_of([*folds, *heads, validation])
    assert found == {NAME: 50.0, MEAN: 50.0, NAME.replace("top1", "accuracy"): 0.375}
    seeds = [make_record(seed=0, value=40.0), make_record(seed=1, value=50.0)]
    assert values_of(seeds) == {NAME: 45.0, MEAN: 45.0}


def test_a_method_has_a_mean_over_its_evaluations(make_record: Maker) -> None:
    folds = [make_record(dataset="esc50", split=split, value=80.0) for split in "12345"]
    found = values_of([*folds, make_record(value=40.0), make_record(method="sdc", value=10.0)])
    assert found[MEAN] == 60.0, "each evaluation counts once"
    assert found[MEAN.replace("xdc", "sdc")] == 10.0


def test_name_does_not_hang_on_circumstances(make_record: Maker) -> None:
    other = make_record(run="x", value=1, seconds=9, device="cuda", commit="abc", versions={}, world_size=2)
    assert name_of(other, "top1") == NAME


def test_metrics_that_are_not_compared_are_not_kept(make_record: Maker) -> None:
    assert values_of([make_record(), make_record(metric="inertia", value=5.0)]).keys() == {NAME, MEAN}


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("top1", "top1"),
        ("video_top1", "top1"),
        ("top10", None),
        ("atop1", None),
        ("a_nmi_class", "nmi_class"),
        ("nmi", None),
        ("nmi_previous", None),
        ("audio_v_accuracy", "accuracy"),
        ("cluster_accuracy", "cluster_accuracy"),
    ],
)
def test_metric_is_the_longest_suffix_that_is_compared(metric: str, expected: str | None) -> None:
    assert metric_of(metric) == expected


# -------------------------------------------------------------------------------------- tolerances


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


def test_draws_of_the_same_items_count_once(make_record: Maker) -> None:
    draws = [make_record(items_used=40, hyperparameters={"draw": n}) for n in range(5)]
    assert item_of(draws) == 2.5
    assert item_of([make_record(metric="nmi_class", items_used=40)]) == 0.0
    assert item_of([make_record(metric="video_a_accuracy", items_used=40)]) == 0.025


def test_runs_of_different_numbers_are_refused(make_record: Maker) -> None:
    with pytest.raises(UserError, match="different numbers"):
        spreads_of([[make_record()], [make_record(method="sdc")]])


def moves_of(records: Sequence[Record], reference: Reference) -> list[RegressionChange]:
    return [value for value in regression_changes(records, reference) if value.moved]


def within(tolerance: float, mean: float) -> Spread:
    """A spread that two numbers over eight seeds know to this tolerance."""
    unit = reference({"a/top1": Spread(mean=0.0, deviation=1.0), "b": Spread(mean=0.0)}).tolerance("a/top1")
    return Spread(mean=mean, deviation=tolerance / unit)


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


def test_reference_that_is_no_number_is_refused(tmp_path: Path) -> None:
    write_reference(tmp_path / "mini.json", KNOWN)
    broken = read_json(tmp_path / "mini.json") | {"values": {NAME: {"mean": "NaN"}}}
    (tmp_path / "mini.json").write_text(json.dumps(broken))
    with pytest.raises(UserError, match="finite"):
        load_reference(tmp_path / "mini.json")


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


def test_the_smallest_visible_shifts_are_told() -> None:
    known = reference({"a/top1": within(1.0, 50.0), "b/top1": within(9.0, 50.0)})
    assert visible_shifts(known) == "top1 1 to 9, median 5"


# ------------------------------------------------------------------------------------------- files


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


# ------------------------------------------------------------------------------- before any training


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
