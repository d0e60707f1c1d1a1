"""What commands tell; running is covered in test_run, the regression check in results/regression."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from xdcbench.cli.check import check_against, update_reference
from xdcbench.cli.output import TableRequest, plan_lines, report, run_plan, table_lines
from xdcbench.config.base import Config
from xdcbench.config.load import load_suite
from xdcbench.config.stages import IndexStage
from xdcbench.data.context import Context, Source
from xdcbench.errors import UserError
from xdcbench.pipeline.executor import StageResult
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.launch import Launch, Request, plan_launch
from xdcbench.pipeline.registry import STAGES
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import PRUNED, RunStore
from xdcbench.results.tables.texts import Look
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest
from xdcbench.utils.mapped_table import write_table

Maker = Callable[..., Record]

METHODS = ("scratch/seed0", "xdc/kinetics400/seed0")


def toy(config: Config, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stands for the code of every kind; an index lists no item."""
    if isinstance(config, IndexStage):
        columns = ["ok", "video", "audio"]
        table = pd.DataFrame({name: pd.Series(dtype=bool) for name in columns})
        for split in config.dataset.splits:
            table[f"split:{split}"] = pd.Series(dtype=str)
        splits = [f"split:{split}" for split in config.dataset.splits]
        write_table(work / "items.arrow", table, categories=splits)
        write_json(work / "index.json", {"classes": []})
    (work / "ran.txt").write_text(",".join(sorted(inputs)))


@pytest.fixture(autouse=True)
def toy_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, kind in STAGES.items():
        monkeypatch.setitem(STAGES, name, kind._replace(load=lambda: toy))


@pytest.fixture
def asked(tmp_path: Path) -> Request:
    return Request(suite="mini", seeds=(0,), results=tmp_path / "results", device="cpu", precision="fp32")


def statuses(outcomes: Sequence[StageResult]) -> dict[str, str]:
    return {outcome.stage.name: outcome.status for outcome in outcomes}


def the(launch: Launch, name: str) -> Stage:
    return next(stage for stage in launch.plan.stages if stage.name == name)


# -------------------------------------------------------------------------------------------- plan


def test_plan_tells_of_every_stage_whether_it_is_there(asked: Request) -> None:
    launch = plan_launch(asked)
    run_plan(launch, policy="missing")
    seeded = plan_launch(replace(asked, seeds=(0, 1)))
    *lines, last = plan_lines(seeded)
    assert len(lines) == len(seeded.plan.stages)
    assert [line.split()[-1] for line in lines] == [stage.name for stage in seeded.plan.stages]
    assert all(("to do" if "seed1" in line else "there") == line[:12].strip() for line in lines)
    counts = sum("seed1" in line for line in lines), sum("seed1" not in line for line in lines)
    assert last == f"{len(lines)} stages: {counts[1]} there, {counts[0]} to do"


def test_a_pruned_run_that_must_be_made_again_is_to_do(asked: Request) -> None:
    launch = plan_launch(asked)
    run_plan(launch, policy="missing")
    features = next(stage for stage in launch.plan.stages if stage.kind == "features")
    write_json(launch.store.path(features.key) / PRUNED, {"removed": ["features.npy"]})
    write_manifest(launch.store.path(features.key))

    def state() -> str:
        (line,) = [line for line in plan_lines(launch) if features.key in line]
        return line[:12].strip()

    assert state() == "there", "nothing is run again for what was pruned"
    reader = next(stage for stage in launch.plan.stages if features in [s for _, s in stage.inputs])
    shutil.rmtree(launch.store.path(reader.key))
    assert state() == "to do"
    shutil.rmtree(launch.store.path(features.key))
    assert state() == "to do"
    assert statuses(run_plan(launch, policy="missing"))[features.name] == "done"
    shutil.rmtree(launch.store.path(features.key))
    assert state() == "not needed"
    assert statuses(run_plan(launch, policy="missing"))[features.name] == "kept"


def test_plan_tells_why_a_stage_cannot_run(asked: Request) -> None:
    lines = list(plan_lines(plan_launch(replace(asked, suite="real-small"))))
    (index,) = [line for line in lines if " index/grid " in line]
    assert index.startswith("unavailable  index-")
    assert "(no place given for grid; give --data-root" in index


# --------------------------------------------------------------------------------------------- run


def test_run_alone_takes_ready_inputs(asked: Request) -> None:
    launch = plan_launch(replace(asked, methods=("scratch",)))
    run_plan(launch, policy="missing")
    name = "scratch/seed0/linear_probe/kinetics400/official"
    one = plan_launch(replace(asked, stage=the(launch, name).key))
    assert statuses(run_plan(one, policy="always", alone=True)) == {name: "done"}
    assert statuses(run_plan(one, policy="missing", alone=True)) == {name: "kept"}


def test_run_alone_without_its_inputs_is_told(asked: Request) -> None:
    launch = plan_launch(replace(asked, stage="xdc/*/round2"))
    key = the(launch, "xdc/kinetics400/seed0/round2").key
    with pytest.raises(
        UserError, match=f"{key} needs xdc/kinetics400/seed0/round1, index/kinetics400, which"
    ):
        run_plan(launch, policy="missing", alone=True)
    assert launch.store.keys() == []


@pytest.mark.parametrize("methods", [(), ("xdc",), ("scratch",)])
def test_nothing_available_is_a_mistake(asked: Request, methods: tuple[str, ...]) -> None:
    launch = plan_launch(replace(asked, suite="real-small", methods=methods))
    with pytest.raises(UserError, match=r"data is not available: no place given for .*--data-root"):
        run_plan(launch, policy="missing")
    assert launch.store.keys() == []


def test_what_is_available_is_run_unless_all_is_required(
    asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Source(unavailable="no folder for grid")
    found = {
        "esc10": Source("abc"),
        **{name: lacking for name in load_suite("real-small").datasets if name != "esc10"},
    }
    monkeypatch.setattr("xdcbench.pipeline.launch.find_sources", lambda *_, **__: found)
    launch = plan_launch(replace(asked, suite="real-small"))
    with pytest.raises(UserError, match="data is not available: no folder for grid"):
        run_plan(launch, policy="missing", require_all=True)
    assert launch.store.keys() == []
    outcomes = run_plan(launch, policy="missing")
    done = {name for name, status in statuses(outcomes).items() if status == "done"}
    scratch = {f"scratch/seed0/audio_svm/esc10/{fold}" for fold in ("1", "2", "3", "5")}
    assert done == scratch | {"init/seed0", "index/esc10", "scratch/seed0/features/audio/esc10"}
    lines, code = report(launch, outcomes)
    assert code == 0
    assert [line for line in lines if line.startswith("unavailable")] == ["unavailable: no folder for grid"]


# ------------------------------------------------------------------------------------------ report


def test_report_prints_tables_and_where_things_are(asked: Request, make_record: Maker) -> None:
    launch = plan_launch(asked)
    outcomes = run_plan(launch, policy="missing")
    stage = the(launch, "xdc/kinetics400/seed0/linear_probe/kinetics400/official")
    write_records(launch.store.path(stage.key), [make_record(run=stage.key)])
    write_manifest(launch.store.path(stage.key))
    lines, code = report(launch, outcomes)
    assert code == 0
    assert "The paper's comparison in miniature" in lines[0]
    tables = launch.store.root / "tables" / "mini"
    assert f"table   {tables / 'mini'}.{{md,tex,csv,html,txt,svg,pdf}}" in lines
    quiet, _ = report(launch, outcomes, quiet=True)
    assert quiet == [line for line in lines if line.startswith("table   ")]
    assert (tables / "mini.md").is_file()
    count = len(outcomes)
    assert any(line.startswith(f"runs    {launch.store.runs} ({count} of {count}") for line in lines)
    assert lines[-1] == f"mini: {len(outcomes)} done"


def test_a_suite_of_parts_reports_a_table_of_each(asked: Request, make_record: Maker) -> None:
    launch = plan_launch(replace(asked, suite="full", synthetic="small"))
    outcomes = run_plan(launch, policy="missing")
    learned = {"xdc/kinetics400/seed0": {"k_a": 6}, "xdc/kinetics400/k=8/seed0": {"k_a": 8}}
    for where, hyperparameters in learned.items():
        stage = the(launch, f"{where}/finetune/ucf101/1")
        finetune = make_record(
            run=stage.key,
            evaluation="finetune",
            protocol="finetune",
            dataset="ucf101",
            split="1",
            official_splits=("1", "2", "3"),
            config_hash=where,
            value=10.0 * hyperparameters["k_a"],
            hyperparameters={"frames": 8, "k_v": hyperparameters["k_a"], **hyperparameters},
        )
        write_records(launch.store.path(stage.key), [finetune])
        write_manifest(launch.store.path(stage.key))
    lines, code = report(launch, outcomes)
    assert code == 0
    written = launch.store.root / "tables" / "full-small"
    shown = {name: (written / f"{name}.csv").read_text() for name in ("table1", "table2", "table3", "table7")}
    assert {name: (",60.0" in text, ",80.0" in text) for name, text in shown.items()} == {
        "table1": (True, False),
        "table2": (True, True),  # 6 is one of its k
        "table3": (True, False),
        "table7": (False, False),
    }
    assert lines[-1] == f"full-small: {len(outcomes)} done"


def test_report_names_failures_and_exits_1(asked: Request) -> None:
    launch = plan_launch(asked)
    first, second, third = launch.plan.stages[:3]
    outcomes = [
        StageResult(first, "failed", "no disk (log: somewhere)"),
        StageResult(second, "blocked", "needs that"),
        StageResult(third, "done"),
    ]
    lines, code = report(launch, outcomes)
    assert code == 1
    assert f"failed: {first.name}: no disk (log: somewhere)" in lines
    assert lines[-1] == "mini: 1 blocked, 1 done, 1 failed"
    assert report(launch, outcomes[1:])[1] == 1
    assert report(launch, outcomes[2:])[1] == 0


def written(launch: Launch) -> dict[str, bytes]:
    """The files of the suite's tables."""
    return {path.name: path.read_bytes() for path in launch.store.root.glob("tables/mini/*")}


@pytest.mark.parametrize("last", [0, 1])
def test_of_commands_for_one_stage_each_the_last_writes_the_tables(
    asked: Request, make_record: Maker, last: int
) -> None:
    """Two stages end in either order; the tables are those of a run of the whole suite, byte for byte."""
    launch = plan_launch(asked)
    outcomes = run_plan(launch, policy="missing")
    ends = [the(launch, f"{method}/linear_probe/kinetics400/official") for method in METHODS]
    for stage in ends:
        write_records(
            launch.store.path(stage.key), [make_record(run=stage.key, method=stage.name.partition("/")[0])]
        )
        write_manifest(launch.store.path(stage.key))
    report(launch, outcomes)
    local = written(launch)
    assert "mini.md" in local
    shutil.rmtree(launch.store.root / "tables")
    runs = {stage.key: launch.store.path(stage.key) for stage in ends}
    for key, run in runs.items():
        run.rename(launch.store.root / key)

    def told_after(stage: Stage) -> list[str]:
        (launch.store.root / stage.key).rename(runs[stage.key])
        one = plan_launch(replace(asked, stage=stage.key))
        lines, code = report(one, run_plan(one, policy="missing", alone=True), alone=True)
        assert code == 0
        return lines

    count = len(outcomes)
    assert told_after(ends[1 - last]) == [
        f"runs    {launch.store.runs} ({count - 1} of {count} of this suite; `xdcbench show KEY` opens one)",
        "mini: 1 kept",
    ]
    assert written(launch) == {}
    first, *others = told_after(ends[last])
    assert first.startswith("table   ") and others[-1] == "mini: 1 kept"
    assert written(launch) == local


def test_of_what_a_filter_selects_the_last_stage_writes_the_tables_of_a_local_run(
    asked: Request, make_record: Maker
) -> None:
    """Byte for byte, whichever of the stages ends last; the other method is missing in both."""
    part = replace(asked, filter="xdc/*")
    local = plan_launch(part)
    outcomes = run_plan(local, policy="missing")
    last = the(local, f"{METHODS[1]}/linear_probe/kinetics400/official")
    run = local.store.path(last.key)
    write_records(run, [make_record(run=last.key, method="xdc")])
    write_manifest(run)
    report(local, outcomes)
    expected = written(local)
    assert expected
    shutil.rmtree(local.store.root / "tables")

    def told_after(stage: Stage, filter_: str) -> dict[str, bytes]:
        one = plan_launch(replace(asked, filter=filter_, stage=stage.key))
        report(one, run_plan(one, policy="missing", alone=True), alone=True)
        return written(one)

    assert told_after(last, "") == {}, "of the whole suite, something is missing"
    run.rename(local.store.root / "aside")
    first = local.plan.stages[0]
    assert told_after(first, part.filter) == {}
    (local.store.root / "aside").rename(run)
    assert told_after(last, part.filter) == expected
    shutil.rmtree(local.store.root / "tables")
    assert told_after(first, part.filter) == expected


def test_of_several_processes_one_reads_records_and_writes_the_tables(
    asked: Request, make_record: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch = plan_launch(asked)
    outcomes = run_plan(launch, policy="missing")
    stage = the(launch, f"{METHODS[1]}/linear_probe/kinetics400/official")
    write_records(launch.store.path(stage.key), [make_record(run=stage.key, method="xdc")])
    write_manifest(launch.store.path(stage.key))
    failed = [*outcomes, StageResult(stage, "failed", "no disk")]
    monkeypatch.setenv("RANK", "1")
    assert report(launch, outcomes) == report(launch, outcomes, alone=True) == ([], 0)
    assert report(launch, failed) == ([], 1), "all processes end with the same code"
    assert written(launch) == {}
    monkeypatch.setenv("RANK", "0")
    report(launch, outcomes)
    assert written(launch) != {}


def test_a_stage_that_cannot_run_here_keeps_no_tables_back(
    asked: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {name: Source(unavailable="no folder") for name in load_suite("real-small").datasets}
    found |= {"esc10": Source("abc")}
    monkeypatch.setattr("xdcbench.pipeline.launch.find_sources", lambda *_, **__: found)
    launch = plan_launch(replace(asked, suite="real-small"))
    outcomes = run_plan(launch, policy="missing")
    lines, _ = report(launch, outcomes, alone=True)
    assert lines[0].startswith("table   ")
    evaluation = next(
        stage for stage in launch.plan.stages if stage.kind == "linear_svm" and not stage.reason
    )
    shutil.rmtree(launch.store.path(evaluation.key))
    lines, _ = report(launch, outcomes, alone=True)
    assert lines[0].startswith("runs    ")


# ------------------------------------------------------------------------------------------- check


def test_a_world_has_a_reference_of_its_own(asked: Request) -> None:
    with pytest.raises(UserError, match=r"no reference \S*/regression/table4-small\.json"):
        check_against(replace(asked, suite="table4", synthetic="small"), None)


def test_a_reference_of_parts_is_of_the_settings_of_each(
    asked: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    parts = tmp_path / "parts.yaml"
    parts.write_text("parts: [table4, table7]\n")
    both, reference = replace(asked, suite=str(parts), synthetic="small"), tmp_path / "reference.json"
    assert update_reference(both, reference, reason="a test", tiers=["algorithms"]).code == 0
    assert check_against(both, reference, tiers=["algorithms"]).code == 0
    in_table7_alone = replace(both, overrides=("evaluations.audio_svm.num_clips=2",))
    with pytest.raises(UserError, match="taken from other settings of 'parts-small'"):
        check_against(in_table7_alone, reference)


# ------------------------------------------------------------------------------------------- table


def kept(root: Path, record: Record) -> Path:
    """A results folder with one run."""
    store = RunStore(root)
    store.path(record.run).mkdir()
    write_records(store.path(record.run), [record])
    write_manifest(store.path(record.run))
    return root


def test_tables_read_several_folders_as_one(tmp_path: Path, make_record: Maker) -> None:
    one = kept(tmp_path / "one", make_record(run="a-1", value=61.5))
    two = kept(tmp_path / "two", make_record(run="b-2", method="sdc", value=42.5))
    text = "\n".join(table_lines(TableRequest(["probes"], "csv"), [one, two]))
    assert "61.5" in text
    assert "42.5" in text


def test_tables_are_also_written(tmp_path: Path, make_record: Maker) -> None:
    one = kept(tmp_path / "one", make_record())
    lines = list(table_lines(TableRequest(["probes"], "md", tmp_path / "out"), [one]))
    assert f"table   {tmp_path / 'out' / 'probes'}.{{md,tex,csv,html,txt}}" in lines
    assert (tmp_path / "out" / "probes.tex").is_file()


def test_without_names_tables_that_are_empty_are_left_out(tmp_path: Path, make_record: Maker) -> None:
    one = kept(tmp_path / "one", make_record())
    text = "\n".join(table_lines(TableRequest(), [one]))
    assert "Linear probes in the synthetic world" in text
    assert "ESC-10: linear SVM on frozen" not in text


def test_without_names_a_number_that_no_table_shows_has_a_default_one(
    tmp_path: Path, make_record: Maker
) -> None:
    one = kept(tmp_path / "one", make_record(run="own-1", dataset="mine", value=33.25))
    lines = list(table_lines(TableRequest(output=tmp_path / "out"), [one]))
    assert lines[0] == "Results on mine (%)"
    text = "\n".join(lines)
    assert "33.2" in text and "mine, split official: 498 of 500" in text
    assert "[published]" not in text, "where something is measured, that is what is shown"
    assert (tmp_path / "out" / "dataset-mine.csv").is_file()


def test_published_numbers_alone_are_shown_when_asked_for(tmp_path: Path) -> None:
    RunStore(tmp_path)
    assert list(table_lines(TableRequest(), [tmp_path])) == [
        f"No measured number in {tmp_path}. Try: `xdcbench table --published`, for published ones."
    ]
    text = "\n".join(table_lines(TableRequest(published=True), [tmp_path]))
    assert "[published]" in text and "Table 1" in text and "Linear probes in the synthetic" not in text


def test_published_numbers_are_left_out_when_asked_for(tmp_path: Path, make_record: Maker) -> None:
    fields = {"evaluation": "finetune", "protocol": "finetune", "dataset": "ucf101", "world": "real"}
    fields |= {"architecture": "R(2+1)D-18"}
    one = kept(tmp_path / "one", make_record(**fields, hyperparameters={"frames": 8}, split="1", value=74.5))
    beside = "\n".join(table_lines(TableRequest(["table1"]), [one]))
    assert "[published]" in beside and "(+0.3†)" in beside
    alone = "\n".join(table_lines(TableRequest(["table1"], published=False), [one]))
    assert "74.5" in alone and "ublished" not in alone and "†" not in alone


def test_a_narrow_terminal_gets_lists(tmp_path: Path, make_record: Maker) -> None:
    one = kept(tmp_path / "one", make_record(value=61.5))
    lines = list(table_lines(TableRequest(["probes"], look=Look(width=40)), [one]))
    assert max(map(len, lines)) <= 40 and any("61.5" in line for line in lines)


def test_folder_that_holds_no_results_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=f"{tmp_path} is not a results folder. Try: run a suite with --results {tmp_path}"
    ):
        list(table_lines(TableRequest(), [tmp_path]))
