import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.errors import UserError
from xdcbench.results.records import Record
from xdcbench.results.regression import (
    TOLERANCES,
    Reference,
    RegressionChange,
    empty_reference,
    load_reference,
    metric_of,
    name_of,
    regression_changes,
    untrained_changes,
    values_of,
    write_reference,
)
from xdcbench.utils.documents import read_json

Maker = Callable[..., Record]
NAME = "xdc/kinetics400/seed0/linear_probe/kinetics400/top1"


def reference(values: dict[str, float], **tolerances: float) -> Reference:
    return Reference(suite="mini", plan="0", tolerances=tolerances or {"top1": 2.0}, values=values)


# --------------------------------------------------------------------------------------- comparing


def test_name_says_which_number_it_is(make_record: Maker) -> None:
    assert name_of(make_record(), "top1") == NAME
    of_round = make_record(evaluation="round", metric="video_a_accuracy", hyperparameters={"round": 2})
    assert name_of(of_round, "accuracy") == "xdc/kinetics400/seed0/round/kinetics400/accuracy"


def test_value_is_the_mean_over_splits_rounds_and_heads(make_record: Maker) -> None:
    folds = [make_record(split=split, value=value) for split, value in (("1", 40.0), ("2", 60.0))]
    heads = [make_record(metric=f"{m}_accuracy", value=v) for m, v in (("video_a", 0.5), ("audio_v", 0.25))]
    validation = make_record(metric="val_video_a_accuracy", value=0.0)
    found = values_of([*folds, *heads, validation], {"top1": 1.0, "accuracy": 0.1})
    assert found == {NAME: 50.0, NAME.replace("top1", "accuracy"): 0.375}


def test_name_does_not_hang_on_circumstances(make_record: Maker) -> None:
    other = make_record(run="x", value=1, seconds=9, device="cuda", commit="abc", versions={}, world_size=2)
    assert name_of(other, "top1") == NAME


def moves_of(records: Sequence[Record], reference: Reference) -> list[RegressionChange]:
    return [value for value in regression_changes(records, reference) if value.moved]


def test_every_number_is_listed_moved_or_not(make_record: Maker) -> None:
    (value,) = regression_changes([make_record(value=89.0)], reference({NAME: 90.0}))
    assert (value.name, value.expected, value.found, value.moved) == (NAME, 90.0, 89.0, False)


@pytest.mark.parametrize("found", [88.0, 90.0, 92.0])
def test_within_tolerance_is_no_move(make_record: Maker, found: float) -> None:
    assert moves_of([make_record(value=found)], reference({NAME: 90.0})) == []


@pytest.mark.parametrize("found", [87.9, 92.1, float("nan"), float("inf")])
def test_beyond_tolerance_is_a_move(make_record: Maker, found: float) -> None:
    (move,) = moves_of([make_record(value=found)], reference({NAME: 90.0}))
    assert (move.name, move.expected, move.tolerance) == (NAME, 90.0, 2.0)
    assert str(move) == f"{NAME}: expected 90 ± 2, found {found:.4g}"


def test_reference_that_is_no_number_is_refused(make_record: Maker, tmp_path: Path) -> None:
    write_reference(tmp_path / "mini.json", reference(values_of([make_record()], TOLERANCES)))
    broken = read_json(tmp_path / "mini.json") | {"values": {NAME: "NaN"}}
    (tmp_path / "mini.json").write_text(json.dumps(broken))
    with pytest.raises(UserError, match="finite"):
        load_reference(tmp_path / "mini.json")


@given(expected=st.floats(-1e3, 1e3), found=st.floats(-1e3, 1e3), tolerance=st.floats(0, 1e3))
def test_a_move_is_a_distance_beyond_the_tolerance(
    make_record: Maker, expected: float, found: float, tolerance: float
) -> None:
    moves = moves_of([make_record(value=found)], reference({NAME: expected}, top1=tolerance))
    assert bool(moves) == (abs(found - expected) > tolerance)


def test_missing_and_new_numbers_are_moves(make_record: Maker) -> None:
    old = NAME.replace("xdc/", "sdc/")
    moves = moves_of([make_record()], reference({old: 50.0}))
    assert [(m.name, m.expected, m.found) for m in moves] == [(old, 50.0, None), (NAME, None, 91.0)]
    assert str(moves[0]) == f"{old}: expected 50 ± 2, found nothing"
    assert str(moves[1]) == f"{NAME}: expected nothing ± 2, found 91"


def test_metrics_without_a_tolerance_are_not_kept(make_record: Maker) -> None:
    records = [make_record(), make_record(metric="inertia", value=5.0)]
    assert values_of(records, {"top1": 1.0}) == {NAME: 91.0}
    assert moves_of(records, reference({NAME: 91.0})) == []


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("top1", "top1"),
        ("video_top1", "top1"),
        ("top10", None),
        ("atop1", None),
        ("a_nmi_class", "nmi_class"),
        ("nmi", None),
        ("audio_class", "class"),
        ("nmi_previous", "nmi_previous"),
    ],
)
def test_metric_is_the_longest_suffix_with_a_tolerance(metric: str, expected: str | None) -> None:
    known = dict.fromkeys(("top1", "class", "nmi_class", "previous", "nmi_previous"), 1.0)
    assert metric_of(metric, known) == expected


# ------------------------------------------------------------------------------------------- files


def test_a_reference_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "mini.json"
    new = empty_reference("mini").model_copy(
        update={"values": {NAME: 91.0}, "untrained": {"inputs/k/frames": "abc", "inputs/k/mean": 0.5}}
    )
    write_reference(path, new)
    assert load_reference(path) == new
    assert new.tolerances == TOLERANCES


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
    of = reference({}).model_copy(update={"untrained": known})
    now = {"inputs/other": 1.0} | ({"inputs/x": found} if found is not None else {})
    values = {value.name: value for value in untrained_changes(now, of, ["inputs"])}
    assert values["inputs/x"].moved == moved
    assert not values["inputs/other"].moved
    assert str(values["inputs/x"]).startswith("inputs/x: expected ")


def test_only_tiers_that_are_asked_for_and_known_are_compared() -> None:
    of = reference({}).model_copy(update={"untrained": {"inputs/x": 1.0, "features/x": 1.0}})
    assert [v.name for v in untrained_changes({"inputs/x": 1.0}, of, ["inputs"])] == ["inputs/x"]
    assert untrained_changes({"algorithms/x": 1.0}, of, ["algorithms"]) == []
