"""The check of a suite: what it tells, when it refuses, what it writes for machines."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.results.regression.helpers import NAME
from xdcbench.cli import check as check_command
from xdcbench.cli import trained
from xdcbench.cli.check import TIERS, TRAINED, CheckResult, check_against, tell, tiers_of, update_reference
from xdcbench.errors import UserError
from xdcbench.pipeline.executor import StageResult, Status
from xdcbench.pipeline.launch import Launch, Request
from xdcbench.results.records import Record, write_records
from xdcbench.results.regression.reference import load_reference
from xdcbench.utils.documents import read_json
from xdcbench.utils.manifest import write_manifest

Maker = Callable[..., Record]


class Check:
    """The check of the suite mini with one seed, with records in place of a run; seed s measures s more."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reference = folder / "mini.json"
        self.records: list[Record] = []
        self.statuses: dict[str, Status] = {}
        self.planned: list[tuple[tuple[int, ...], int, int]] = []
        self.request = Request(
            suite="mini", seeds=(0,), results=folder / "results", device="cpu", precision="fp32"
        )
        monkeypatch.setattr(trained, "run_plan", self.run_plan)
        monkeypatch.setattr(trained, "available_cores", lambda: 2)
        monkeypatch.setattr(trained, "wrong_items", lambda records, store: {})

    def run_plan(self, launch: Launch, **_: Any) -> Iterable[StageResult]:
        (stage, *others) = (s for s in launch.plan.stages if s.kind == "linear_probe")
        seeds = launch.plan.suite.seeds
        self.planned.append((seeds, launch.jobs, len(launch.plan.targets)))
        launch.store.path(stage.key).mkdir(exist_ok=True)
        measured = [
            record.model_copy(update={"seed": seed, "value": record.value + seed})
            for record in self.records
            for seed in seeds
        ]
        write_records(launch.store.path(stage.key), measured)
        write_manifest(launch.store.path(stage.key))
        return [StageResult(s, self.statuses.get(s.name, "done")) for s in (stage, *others)]

    def __call__(self) -> CheckResult:
        return check_against(self.request, self.reference, tiers=[TRAINED])

    def update(self, reason: str = "for a test", seeds: int = 4) -> CheckResult:
        return update_reference(self.request, self.reference, reason=reason, tiers=[TRAINED], seeds=seeds)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.delenv("CI", raising=False)
    return Check(tmp_path, monkeypatch)


def test_update_calibrates_over_seeds_and_threads(check: Check, make_record: Maker) -> None:
    check.records = [make_record(value=80.0)]
    lines, code, *_ = check.update()
    assert code == 0
    assert lines[0] == f"wrote 2 reference values to {check.reference}"
    assert lines[1].startswith(
        "mini: trained: over 4 seeds with 1 and 2 threads; a check sees shifts of top1 "
    )
    assert [(seeds, jobs) for seeds, jobs, _ in check.planned] == [((0, 1, 2, 3), 2), ((0, 1, 2, 3), 1)]
    kept = load_reference(check.reference)
    assert (kept.seeds, kept.threads) == ((0, 1, 2, 3), (1, 2))
    assert kept.values[NAME].mean == 81.5
    assert kept.values[NAME].deviation == pytest.approx(np.std([0, 1, 2, 3] * 2, ddof=1))


def test_a_check_passes_within_the_spread(check: Check, make_record: Maker) -> None:
    check.records = [make_record(value=80.0)]
    check.update()
    lines, code, *_ = check()
    assert (lines[-1], code) == ("mini: 2 reference values, 0 moved beyond tolerance", 0)
    assert any(line.startswith("mini: trained: sees shifts of top1 ") for line in lines)


def test_moved_number_exits_1_and_runs_again_with_another_seed(check: Check, make_record: Maker) -> None:
    check.records = [make_record(value=80.0)]
    check.update()
    check.records = [make_record(value=30.0)]
    check.planned.clear()
    lines, code, *_ = check()
    assert code == 1
    assert re.fullmatch(
        rf"{NAME}: expected 81.5 ± [\d.]+, found 30; with another seed 34, moved too", lines[1]
    )
    assert lines[2].startswith("mini: trained: 2 values, 2 moved (")
    assert lines[-1] == "mini: 2 reference values, 2 moved beyond tolerance"
    (_, _, whole), (seeds, _, part) = check.planned
    assert seeds == (4,), "a seed that the reference has not seen"
    assert 0 < part < whole, "only what is behind the number"


@pytest.mark.parametrize("seeds", [0, 2])
def test_a_spread_takes_three_seeds(check: Check, make_record: Maker, seeds: int) -> None:
    check.records = [make_record()]
    with pytest.raises(UserError, match=rf"--calibrate {seeds}: .* Try: at least 3"):
        check.update(seeds=seeds)
    assert not check.reference.exists()


def test_where_a_number_moved_other_versions_are_named(
    check: Check, make_record: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_command, "versions", lambda: {"torch": "2.11"})
    monkeypatch.setattr(check_command, "commit", lambda: "abc")
    check.records = [make_record()]
    check.update()
    monkeypatch.setattr(check_command, "versions", lambda: {"torch": "2.12"})
    other = "Other than in the reference: torch 2.11 -> 2.12"
    assert other not in check().lines, "nothing moved"
    check.records = [make_record(value=0.0)]
    assert other in check().lines, "and no commit, which is the same"


def test_an_update_keeps_other_tiers(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    check.update()
    edited = read_json(check.reference) | {"fixed": {"inputs/x": "abc"}}
    check.reference.write_text(json.dumps(edited))
    check.records = [make_record(value=80.0)]
    check.update()
    kept = load_reference(check.reference)
    assert kept.fixed == {"inputs/x": "abc"}
    assert kept.values[NAME].mean == 81.5
    other = read_json(check.reference) | {"plan": "of another suite"}
    check.reference.write_text(json.dumps(other))
    with pytest.raises(UserError, match="Try: update all tiers"):
        check.update()


def test_a_tier_that_the_reference_lacks_is_told(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    check.update()
    result = check_against(check.request, check.reference, tiers=["algorithms"])
    assert result.code == 0
    assert f"mini: algorithms: not in {check.reference}. Try: write it with --update" in result.lines


@pytest.mark.parametrize(("text", "tiers"), [("", TIERS), ("trained, inputs", ("trained", "inputs"))])
def test_tiers_are_named(text: str, tiers: tuple[str, ...]) -> None:
    assert tiers_of(text) == tiers
    with pytest.raises(UserError, match="--tiers: unknown tier 'input'; did you mean 'inputs'"):
        tiers_of("input")


@pytest.mark.parametrize("status", ["failed", "blocked"])
@pytest.mark.parametrize("update", [True, False])
def test_failed_stage_exits_2(check: Check, make_record: Maker, status: Status, update: bool) -> None:
    check.records = [make_record()]
    check.update()
    before = check.reference.read_text()
    check.records = [make_record(value=90.0)]
    check.statuses = {"scratch/seed0/linear_probe/kinetics400/official": status}
    lines, code, *_ = check.update() if update else check()
    assert code == 2
    assert lines[-1] == "mini: cannot tell, since stages failed"
    assert check.reference.read_text() == before


def test_other_settings_are_refused_before_anything_runs(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    check.update()
    content = read_json(check.reference) | {"plan": "of another suite"}
    check.reference.write_text(json.dumps(content))
    check.statuses = {"scratch/seed0/linear_probe/kinetics400/official": "failed"}
    with pytest.raises(UserError, match=r"mini\.json was taken from other settings of 'mini'"):
        check()


def test_check_without_a_reference_is_refused(check: Check) -> None:
    with pytest.raises(UserError, match="no reference"):
        check()


def test_an_update_says_what_changes_and_keeps_why(check: Check, make_record: Maker) -> None:
    check.records = [make_record()]
    check.update()
    check.records = [make_record(value=85.0)]
    assert f"{NAME}: 92.5 -> 86.5" in check.update("another optimizer").lines
    assert load_reference(check.reference).reason == "another optimizer"


def test_an_update_without_a_reason_is_refused(check: Check) -> None:
    with pytest.raises(UserError, match="say why, with --reason TEXT"):
        check.update(" ")


@pytest.mark.parametrize(("ci", "refused"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_an_update_is_refused_in_ci(
    check: Check, make_record: Maker, monkeypatch: pytest.MonkeyPatch, ci: str, refused: bool
) -> None:
    monkeypatch.setenv("CI", ci)
    check.records = [make_record()]
    if not refused:
        assert check.update().code == 0
        return
    with pytest.raises(UserError, match="refused in CI"):
        check.update()
    assert not check.reference.exists()


def test_machines_are_told_where_they_ask(
    check: Check, make_record: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check.records = [make_record()]
    check.update()
    check.records = [make_record(value=0.0)]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    lines = tell(check(), "mini", junit=tmp_path / "check.xml", json=tmp_path / "check.json")
    assert lines[0].startswith("::error title=xdcbench check mini::")
    assert lines[-1].endswith("moved beyond tolerance"), "the verdict comes last"
    assert {path.name for path in tmp_path.iterdir()} >= {"check.xml", "check.json", "summary.md"}
