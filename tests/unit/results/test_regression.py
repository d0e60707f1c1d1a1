import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xdcbench.cli import output
from xdcbench.errors import UserError
from xdcbench.pipeline.executor import StageResult, Status
from xdcbench.pipeline.launch import Launch, Request
from xdcbench.results.records import Record, write_records
from xdcbench.results.regression import (
    TOLERANCES,
    Reference,
    load_reference,
    metric_of,
    name_of,
    regression_changes,
    values_of,
    write_reference,
)
from xdcbench.utils.documents import read_json
from xdcbench.utils.manifest import write_manifest

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


@pytest.mark.parametrize("found", [88.0, 90.0, 92.0])
def test_within_tolerance_is_no_move(make_record: Maker, found: float) -> None:
    assert regression_changes([make_record(value=found)], reference({NAME: 90.0})) == []


@pytest.mark.parametrize("found", [87.9, 92.1, float("nan"), float("inf")])
def test_beyond_tolerance_is_a_move(make_record: Maker, found: float) -> None:
    (move,) = regression_changes([make_record(value=found)], reference({NAME: 90.0}))
    assert (move.name, move.expected, move.tolerance) == (NAME, 90.0, 2.0)
    assert str(move) == f"{NAME}: expected 90 ± 2, found {found:.4g}"


def test_reference_that_is_no_number_is_refused(make_record: Maker, tmp_path: Path) -> None:
    write_reference(tmp_path / "mini.json", "mini", "0", [make_record()])
    broken = read_json(tmp_path / "mini.json") | {"values": {NAME: "NaN"}}
    (tmp_path / "mini.json").write_text(json.dumps(broken))
    with pytest.raises(UserError, match="finite"):
        load_reference(tmp_path / "mini.json")


@given(expected=st.floats(-1e3, 1e3), found=st.floats(-1e3, 1e3), tolerance=st.floats(0, 1e3))
def test_a_move_is_a_distance_beyond_the_tolerance(
    make_record: Maker, expected: float, found: float, tolerance: float
) -> None:
    moves = regression_changes([make_record(value=found)], reference({NAME: expected}, top1=tolerance))
    assert bool(moves) == (abs(found - expected) > tolerance)


def test_missing_and_new_numbers_are_moves(make_record: Maker) -> None:
    old = NAME.replace("xdc/", "sdc/")
    moves = regression_changes([make_record()], reference({old: 50.0}))
    assert [(m.name, m.expected, m.found) for m in moves] == [(old, 50.0, None), (NAME, None, 91.0)]
    assert str(moves[0]) == f"{old}: expected 50 ± 2, found nothing"
    assert str(moves[1]) == f"{NAME}: expected nothing ± 2, found 91"


def test_metrics_without_a_tolerance_are_not_kept(make_record: Maker) -> None:
    records = [make_record(), make_record(metric="inertia", value=5.0)]
    assert values_of(records, {"top1": 1.0}) == {NAME: 91.0}
    assert regression_changes(records, reference({NAME: 91.0})) == []


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


def test_new_reference_starts_from_the_tolerances_of_the_package(tmp_path: Path, make_record: Maker) -> None:
    path = tmp_path / "deep" / "mini.json"
    written = write_reference(path, "mini", "abc", [make_record()])
    assert load_reference(path) == written
    assert written.tolerances == TOLERANCES
    assert written.values == {NAME: 91.0}


def test_update_keeps_edited_tolerances(tmp_path: Path, make_record: Maker) -> None:
    path = tmp_path / "mini.json"
    write_reference(path, "mini", "abc", [make_record()])
    edited = read_json(path) | {"tolerances": {"top1": 0.5, "inertia": 3.0}}
    path.write_text(json.dumps(edited))
    records = [make_record(value=80.0), make_record(metric="inertia", value=7.0)]
    write_reference(path, "mini", "abd", records)
    kept = load_reference(path)
    assert kept.tolerances == {"top1": 0.5, "inertia": 3.0}
    assert kept.values == {NAME: 80.0, NAME.replace("top1", "inertia"): 7.0}
    assert kept.plan == "abd"


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


def test_reference_that_cannot_be_written_is_named(tmp_path: Path, make_record: Maker) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write the reference .*; give another with --baseline"):
        write_reference(tmp_path / "file" / "mini.json", "mini", "abc", [make_record()])


# --------------------------------------------------------------------------------------- the check


class Check:
    """The check of the suite mini, with records in place of a run."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reference = folder / "mini.json"
        self.records: list[Record] = []
        self.statuses: dict[str, Status] = {}
        self.request = Request(suite="mini", results=folder / "results", device="cpu", precision="fp32")
        monkeypatch.setattr(output, "run_plan", self.run_plan)

    def run_plan(self, launch: Launch, **_: Any) -> Iterable[StageResult]:
        (stage, *others) = (s for s in launch.plan.stages if s.kind == "linear_probe")
        launch.store.path(stage.key).mkdir(exist_ok=True)
        write_records(launch.store.path(stage.key), self.records)
        write_manifest(launch.store.path(stage.key))
        return [StageResult(s, self.statuses.get(s.name, "done")) for s in (stage, *others)]

    def __call__(self, *, update: bool = False) -> tuple[list[str], int]:
        return output.check_against(self.request, self.reference, update=update)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    return Check(tmp_path, monkeypatch)


def test_update_writes_and_check_passes(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    assert check(update=True) == ([f"wrote 1 reference values to {check.reference}"], 0)
    check.records = [make_record(value=91.0 + TOLERANCES["top1"])]
    assert check() == (["mini: 1 reference values, 0 moved beyond tolerance"], 0)


def test_moved_number_exits_1_and_is_told(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    check(update=True)
    check.records = [make_record(value=90.5 - TOLERANCES["top1"])]
    lines, code = check()
    assert code == 1
    assert lines == [
        f"{NAME}: expected 91 ± {TOLERANCES['top1']:g}, found {90.5 - TOLERANCES['top1']:.4g}",
        "mini: 1 reference values, 1 moved beyond tolerance",
    ]


@pytest.mark.parametrize("status", ["failed", "blocked"])
@pytest.mark.parametrize("update", [True, False])
def test_failed_stage_exits_2(check: Check, make_record: Maker, status: Status, update: bool) -> None:
    check.records = [make_record()]
    check(update=True)
    before = check.reference.read_text()
    check.records = [make_record(value=90.0)]
    check.statuses = {"scratch/seed0/linear_probe/kinetics400/official": status}
    lines, code = check(update=update)
    assert code == 2
    assert lines[-1] == "mini: cannot tell, since stages failed"
    assert check.reference.read_text() == before


def test_other_settings_are_refused_before_anything_runs(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    check(update=True)
    content = read_json(check.reference) | {"plan": "of another suite"}
    check.reference.write_text(json.dumps(content))
    check.statuses = {"scratch/seed0/linear_probe/kinetics400/official": "failed"}
    with pytest.raises(UserError, match=r"mini\.json was taken from other settings of 'mini'"):
        check()


def test_check_without_a_reference_is_refused(check: Check) -> None:
    with pytest.raises(UserError, match="no reference"):
        check()
