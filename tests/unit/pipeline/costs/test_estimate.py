import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.tiny import small_index
from xdcbench.config.models import AudioInput, AudioModel, Models, VideoInput, VideoModel
from xdcbench.config.stages import FeaturesStage, IndexStage
from xdcbench.pipeline.costs.estimate import Estimate, Machine, cost_lines, how_long, to_do
from xdcbench.pipeline.costs.rates import (
    RATES,
    Rates,
    load_rates,
    machine,
    measure_rates,
    save_rates,
    speed_lines,
)
from xdcbench.pipeline.costs.sizes import sizes_of
from xdcbench.pipeline.costs.work import Work, Works
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.utils.format import duration
from xdcbench.utils.manifest import write_manifest

SMALL = Models(
    video=VideoModel(width=4, blocks=(1, 1, 1, 1), input=VideoInput(frames=2, size=16, short_side=(16, 16))),
    audio=AudioModel(width=8, blocks=(1, 1, 1, 1), input=AudioInput(seconds=0.5)),
)


def launch(out: Path, suite: str = "smoke", *overrides: str) -> Launch:
    request = Request(suite=suite, results=out, device="cpu", precision="fp32", overrides=overrides)
    return plan_launch(request, write=False)


def row(lines: list[str], name: str) -> list[str]:
    return next(line for line in lines if line.startswith(name)).split()


def test_without_rates_there_is_work_and_no_hours(tmp_path: Path) -> None:
    lines = list(cost_lines(launch(tmp_path)))
    assert row(lines, "total")[-1] == row(lines, "round")[-1] == "?"
    assert "doctor --speed" in lines[-1]
    assert not any(line.startswith("not counted") for line in lines)


def test_hours_follow_from_rates_and_sum_over_kinds(tmp_path: Path) -> None:
    plan = launch(tmp_path)
    rates = Rates(
        machine=machine("cpu"),
        precision="fp32",
        models=plan.plan.suite.models,
        per_second=dict.fromkeys(RATES, 1e9) | {"read video": 1.0, "read audio": 1.0},
    )
    save_rates(plan.context.cache, rates)
    lines = list(cost_lines(plan))
    hours = {kind: float(row(lines, kind)[-1]) for kind in ("round", "features", "finetune", "total")}
    assert hours["total"] == pytest.approx(sum(hours.values()) - hours["total"], rel=0.01)
    assert hours["total"] > 1, "one clip a second"
    assert not any("no hours" in line or "paper's encoders" in line for line in lines)
    (path,) = plan.context.cache.glob("rates-*.json")
    for damage in (b"", b"\0" * 40, b"[3]", b'{"machine": 3}'):
        path.write_bytes(damage)
        assert "doctor --speed" in list(cost_lines(plan))[-1]


def test_rates_of_the_paper_stand_in_and_that_is_said(tmp_path: Path) -> None:
    plan = launch(tmp_path)
    rates = Rates(
        machine=machine("cpu"), precision="fp32", models=Models(), per_second=dict.fromkeys(RATES, 1e9)
    )
    save_rates(plan.context.cache, rates)
    assert "paper's encoders" in list(cost_lines(plan))[-2]
    assert load_rates(plan.context.cache, "cpu", "bf16", Models()) is None


def finish(plan: Launch, *kinds: str) -> None:
    """Leave complete runs of these kinds, all kinds without one; indices hold four of five items readable."""
    for stage in plan.plan.stages:
        if not kinds or stage.kind in kinds:
            run = plan.store.path(stage.key)
            run.mkdir(parents=True)
            if isinstance(stage.config, IndexStage):
                index = small_index([0, 0, 1, 1, 1], ["train", "train", "train", "test", "test"])
                index.items.loc[0, "ok"] = False
                columns = {
                    f"split:{split}": index.items["split:official"] for split in stage.config.dataset.splits
                }
                replace(index, items=index.items.assign(**columns)).save(run)
            write_manifest(run)


def test_a_finished_suite_has_nothing_to_do(tmp_path: Path) -> None:
    plan = launch(tmp_path)
    finish(plan)
    assert to_do(plan.plan, plan.store) == []
    assert row(list(cost_lines(plan)), "total")[1] == "0"


def test_what_only_finished_results_need_is_not_to_do(tmp_path: Path) -> None:
    plan = launch(tmp_path)
    finish(plan, *{stage.kind for stage in plan.plan.stages} - {"features", "world", "index"})
    assert to_do(plan.plan, plan.store) == []


def test_a_finished_index_replaces_what_was_expected(tmp_path: Path) -> None:
    plan = launch(tmp_path)
    before = row(list(cost_lines(plan)), "features")
    finish(plan, "world", "index")
    after = row(list(cost_lines(plan)), "features")
    clips = sum(
        s.config.num_clips * (2 if s.config.test_split else 4)
        for s in plan.plan.stages
        if isinstance(s.config, FeaturesStage) and s.config.modality == "video"
    )
    assert float(after[2]) == clips < 1000
    assert before[1] == after[1] and before[2] != after[2]


def test_the_last_line_says_how_long_by_clips_per_second(tmp_path: Path) -> None:
    """By hand: 233,071 PFLOP of table 1 (docs/explanation/costs.md), 126.2 GFLOP a clip."""
    plan = launch(tmp_path, "table1")
    one, eight = (list(cost_lines(plan, Machine(devices, 1000.0)))[-1] for devices in (1, 8))
    assert one == "about 21 d 12 h on 1 GPU; 7.68 GB of disk"
    assert eight == "about 2 d 16 h on 8 GPUs; 7.68 GB of disk"
    assert pytest.approx(2 + 16 / 24, rel=0.01) == 233_071e15 / (8000 * 126.2e9) / 86_400


def test_what_nobody_counted_makes_it_a_bound(tmp_path: Path) -> None:
    plan = launch(tmp_path, "table1")
    work = Estimate(Work(flop=Counter(train=10**15), unknown=frozenset({"items of mine"})), None)
    said = how_long(work, plan.plan.suite.models, Machine(1, 1.0))
    assert said.startswith("at least 2 h ")
    assert "clips-per-second" in how_long(work, plan.plan.suite.models, Machine())


def test_data_that_is_not_here_is_apart_and_what_nobody_counted_is_named(tmp_path: Path) -> None:
    lines = list(cost_lines(launch(tmp_path, "table3")))
    assert row(lines, "unavailable")[2] != "0"
    assert "by published sizes: ig_kinetics 65 M, ig_random 65 M, kinetics400 240 k" in lines
    assert not any(line.startswith("not counted") for line in lines)


def test_what_is_prepared_is_counted_with_what_it_saves(tmp_path: Path) -> None:
    """By hand: 240,000 and 19,906 items of ten seconds; originals take ten times as long to read."""
    prepared = launch(tmp_path, "table1", "prepare=auto")
    speed = dict.fromkeys(RATES, 1e18) | {
        "prepare": 100.0,
        "read video": 1000.0,
        "read prepared video": 10_000.0,
    }
    save_rates(
        prepared.context.cache,
        Rates(machine=machine("cpu"), precision="fp32", models=Models(), per_second=speed),
    )
    lines = list(cost_lines(prepared))
    (said,) = (line for line in lines if line.startswith("prepare "))
    clips = sum(
        Works(lambda index: sizes_of(index, prepared.store)).of(stage).clips["read prepared video"]
        for stage in prepared.plan.stages
    )
    assert 1.8e9 < clips < 1.9e9
    times = (duration(seconds) for seconds in (clips / 10_000, 259_906 / 100, clips / 1000))
    after, once, instead = times
    assert said == (
        "prepare kinetics400: 260 k items, 224 GB, of which 1.88 G clips are read, "
        f"in {after} of processor time after {once} of preparing, in place of {instead}"
    )
    assert lines[-1].endswith(" of disk") and "231 GB" in lines[-1]


def test_rates_of_an_older_version_are_measured_again(tmp_path: Path) -> None:
    plan = launch(tmp_path)
    rates = Rates(
        machine=machine("cpu"), precision="fp32", models=Models(), per_second=dict.fromkeys(RATES, 1.0)
    )
    path = save_rates(plan.context.cache, rates)
    content = json.loads(path.read_text())
    del content["per_second"]["prepare"]
    path.write_text(json.dumps(content))
    assert load_rates(plan.context.cache, "cpu", "fp32", Models()) is None


def test_an_estimate_does_not_import_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from xdcbench.pipeline.launch import Request, plan_launch; "
        "from xdcbench.pipeline.costs.estimate import cost_lines; "
        f"r = Request(suite='smoke', results=Path({str(tmp_path)!r}), device='cpu', precision='fp32'); "
        "print(len(list(cost_lines(plan_launch(r, write=False)))), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    count, imported = done.stdout.split()
    assert int(count) > 5 and imported == "False"


@pytest.fixture(scope="module")
def measured() -> Rates:
    return measure_rates("cpu", "fp32", models=SMALL, seconds=0.02)


def test_calibration_measures_all_that_an_estimate_asks_for(measured: Rates) -> None:
    assert measured.per_second.keys() == set(RATES)
    assert all(rate > 0 for rate in measured.per_second.values())


def test_rates_are_found_again(measured: Rates, tmp_path: Path) -> None:
    save_rates(tmp_path, measured)
    assert load_rates(tmp_path, "cpu", "fp32", SMALL) == measured
    assert load_rates(tmp_path, "cpu", "fp32", Models()) is None


def test_speed_is_said_and_kept(measured: Rates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xdcbench.pipeline.costs.rates.measure_rates", lambda *_, **__: measured)
    lines = list(speed_lines("cpu", tmp_path, precision="fp32", models=SMALL))
    assert {line[:21].strip() for line in lines[1:-1]} == set(RATES)
    assert load_rates(tmp_path / "cache", "cpu", "fp32", SMALL) == measured


def test_the_full_suite_plans_65_million_items(tmp_path: Path) -> None:
    """By hand: ten rounds of 45 epochs of a million clips; a thousandth of the items is held out."""
    planned = launch(tmp_path, "full")
    stages = {stage.name: stage for stage in planned.plan.stages}
    own = {name.rsplit("/", 1)[1]: stage for name, stage in stages.items() if "ig_random" in name}
    rounds = [own[f"round{number}"] for number in range(1, 11)]
    before = [stages["init/seed0"], *rounds[:-1]]
    for stage, encoders in zip(rounds, before, strict=True):
        assert dict(stage.inputs) == {"data": stages["index/ig_random"], "encoders": encoders}
        assert stage.reason.startswith("no place given for ig_random")
    works = Works(lambda index: sizes_of(index, planned.store))
    work = works.of(rounds[0])
    assert work.clips["train video"] == work.clips["train audio"] == 45 * 10**6
    assert work.clips["encode video"] == 65 * 10**6 + 45 * 65_000
    used = [name for name, stage in stages.items() if rounds[-1] in dict(stage.inputs).values()]
    assert len(used) == 13 and not any("round" in name.rsplit("/", 1)[1] for name in used)
