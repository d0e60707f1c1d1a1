"""What commands tell of plans that run elsewhere."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.integration.helpers import PICO
from tests.unit.pipeline.slurm.fake import FakeSlurm
from xdcbench.cli.cluster import cancel_jobs, print_plan, status_lines, submit_plan
from xdcbench.cli.main import app
from xdcbench.cli.suite_options import RunOptions
from xdcbench.errors import UserError


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    cluster = FakeSlurm(tmp_path / "slurm")
    for name in ("PATH", "FAKE_SLURM"):
        monkeypatch.setenv(name, cluster.environment[name])
    return cluster


@pytest.fixture
def options(tmp_path: Path) -> RunOptions:
    """World, initialization, index and features, which have no tables."""
    return RunOptions(
        suite=str(PICO), results=tmp_path / "out", executor="slurm", filter="scratch/seed0/features/audio/*"
    )


def test_status_shows_what_was_submitted_and_cancel_ends_it(slurm: FakeSlurm, options: RunOptions) -> None:
    assert submit_plan(options) == 0
    lines, code = status_lines(options.results, "")
    assert code == 0
    assert lines[-1] == "pico: 4 pending"
    assert cancel_jobs(options.results, "pico") == "cancelled 4 jobs; complete runs and checkpoints stay"
    lines, code = status_lines(options.results, "pico")
    assert code == 1
    assert lines[-1] == "pico: 2 blocked, 2 cancelled"
    assert {job["state"] for job in slurm.jobs().values()} == {"CANCELLED"}
    assert cancel_jobs(options.results, "") == "cancelled 0 jobs; complete runs and checkpoints stay"


def names(results: Path) -> dict[str, str]:
    """The line of status of each stage, by its name."""
    lines, _ = status_lines(results, "")
    return {line[12:].split()[2]: line for line in lines[:-1]}


def submitted_again(options: RunOptions, capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    assert submit_plan(options) == 0
    return capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ("NODE_FAIL", "failed (job 2: NODE_FAIL. Try: the command that submitted it (log: LOG))"),
        ("PREEMPTED", "failed (job 2: PREEMPTED. Try: the command that submitted it (log: LOG))"),
        ("TIMEOUT", "failed (job 2: TIMEOUT. Try: more `hours` in the executor's file (log: LOG))"),
        (
            "OUT_OF_MEMORY",
            "failed (job 2: OUT_OF_MEMORY. Try: more `memory` in the executor's file (log: LOG))",
        ),
        ("CANCELLED", "cancelled (job 2 was cancelled)"),
        ("", "lost (Slurm says nothing of job 2 (log: LOG))"),
    ],
)
def test_after_a_job_has_ended_without_its_result_the_same_command_submits_it_again(
    slurm: FakeSlurm, options: RunOptions, ended: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what Slurm has cancelled with it; the initialization, which needs nothing, stays in the queue."""
    submit_plan(options)
    log = options.results / "jobs" / "logs" / "2.txt"
    log.write_text("begun\n")
    jobs = slurm.jobs()
    for number, job in jobs.items():
        job["state"] = "CANCELLED" if job["after"] else job["state"]
        job["state"] = ended if number == "2" else job["state"]
    slurm.save({number: job for number, job in jobs.items() if job["state"]})
    lines = names(options.results)
    state, _, detail = said.partition(" ")
    assert lines["world"].startswith(state) and lines["world"].endswith(detail.replace("LOG", str(log)))
    assert lines["index/esc50"].startswith("blocked") and lines["index/esc50"].endswith("(needs world)")
    assert lines["init/seed0"].startswith("pending")
    assert submitted_again(options, capsys) == "submitted 3 stages as 3 jobs; 1 were queued already"
    assert {line.split()[0] for line in names(options.results).values()} == {"pending"}
    assert cancel_jobs(options.results, "") == "cancelled 4 jobs; complete runs and checkpoints stay"


@pytest.mark.parametrize("state", ["PENDING", "REQUEUE_HOLD", "SUSPENDED"])
def test_a_job_that_slurm_queues_again_itself_is_left_to_it(
    slurm: FakeSlurm, options: RunOptions, state: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after a node has died, or when jobs that come before it take its place."""
    submit_plan(options)
    slurm.mark("2", state)
    assert names(options.results)["world"].split()[0] in ("pending", "running")
    assert submitted_again(options, capsys) == "submitted 0 stages as 0 jobs; 4 were queued already"
    assert cancel_jobs(options.results, "") == "cancelled 4 jobs; complete runs and checkpoints stay"


def test_a_job_that_is_held_says_how_to_release_it(slurm: FakeSlurm, options: RunOptions) -> None:
    """Slurm holds what could not be started on a node several times."""
    submit_plan(options)
    jobs = slurm.jobs()
    jobs["2"]["reason"] = "launch failed requeued held"
    slurm.save(jobs)
    assert names(options.results)["world"].endswith("(launch failed requeued held. Try: scontrol release 2)")


def test_of_a_full_queue_the_rest_is_submitted_by_the_same_command(
    slurm: FakeSlurm, options: RunOptions, capsys: pytest.CaptureFixture[str]
) -> None:
    slurm.set(max_submit=3)
    with pytest.raises(UserError) as error:
        submit_plan(options)
    assert str(error.value) == (
        "sbatch refused scratch/seed0/features/audio/esc50: QOSMaxSubmitJobPerUserLimit: Batch job submission failed: "
        "Job violates accounting/QOS policy (job submit limit). 3 stages are queued and stay. Try: the same command "
        "later"
    )
    lines = names(options.results)
    assert [line.split()[0] for line in lines.values()].count("pending") == 3
    assert lines["scratch/seed0/features/audio/esc50"].startswith("to do")
    slurm.set(max_submit=4)
    assert submitted_again(options, capsys) == "submitted 1 stages as 1 jobs; 3 were queued already"
    assert cancel_jobs(options.results, "") == "cancelled 4 jobs; complete runs and checkpoints stay"


@pytest.mark.parametrize(
    ("line", "other", "said"),
    [
        (
            "results=",
            "results=/nowhere",
            "this is not the results folder of the machine that submitted: /nowhere",
        ),
        ("python=", "python=/nowhere/python", "/nowhere/python is missing or lacks xdcbench. Try: `set_up`"),
    ],
)
def test_what_the_nodes_lack_is_told_by_the_job_and_by_status(
    slurm: FakeSlurm,
    options: RunOptions,
    line: str,
    other: str,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The results folder is not shared, or there is no environment; the scripts run."""
    submit_plan(options)
    jobs = slurm.jobs()
    for job in jobs.values():
        script = job["script"].splitlines()
        job["script"] = "\n".join(other if each.startswith(line) else each for each in script)
    slurm.save(jobs)
    slurm.run()
    lines = names(options.results)
    assert lines["world"].startswith("failed") and said in lines["world"]
    assert lines["init/seed0"].startswith("failed") and lines["index/esc50"].startswith("blocked")
    assert cancel_jobs(options.results, "") == "cancelled 0 jobs; complete runs and checkpoints stay"
    assert submitted_again(options, capsys) == "submitted 4 stages as 4 jobs; 0 were queued already"


def test_parts_of_a_suite_that_are_submitted_one_after_the_other_are_all_shown(
    slurm: FakeSlurm, options: RunOptions
) -> None:
    submit_plan(options)
    submit_plan(RunOptions(**vars(options) | {"filter": "index/ucf101"}))
    lines, _ = status_lines(options.results, "")
    assert lines[-1] == "pico: 5 pending"
    assert cancel_jobs(options.results, "").startswith("cancelled 5 jobs")


def test_a_suite_that_was_not_submitted_is_told(slurm: FakeSlurm, options: RunOptions) -> None:
    submit_plan(options)
    with pytest.raises(UserError, match=r"suite 'smoke' was not submitted to .*; known: pico"):
        status_lines(options.results, "smoke")


def test_a_folder_without_jobs_is_told(options: RunOptions) -> None:
    options.results.mkdir()
    (options.results / "results.json").write_text('{"schema_version": 3}')
    with pytest.raises(UserError, match=r"no suite was submitted to .*Try: xdcbench run"):
        status_lines(options.results, "")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device": "cuda"}, "--device does not go with --executor"),
        ({"jobs": 2}, "--jobs does not go with --executor"),
        ({"stage": "world-0"}, "--stage does not go with --executor"),
        ({"policy": "always"}, "--policy always does not go with --executor"),
        ({"executor": "slurn"}, "unknown executor 'slurn'; did you mean 'slurm'"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    options: RunOptions, change: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        submit_plan(RunOptions(**vars(options) | change))


def test_the_class_of_device_decides_the_keys(tmp_path: Path) -> None:
    """Two classes with bf16 have the same keys, one without has others; the option goes before the class."""

    def keys(device_class: str, *words: str) -> set[str]:
        file = tmp_path / f"{device_class}.yaml"
        file.write_text(f"device_class: {device_class}\n")
        given = ["run", "--suite", str(PICO), "--set", "pretrain.precision=auto", "--plan-json", *words]
        done = CliRunner().invoke(app, [*given, "--executor", str(file)], catch_exceptions=False)
        return {stage["key"] for stage in json.loads(done.stdout)["stages"]}

    assert keys("ampere") == keys("cpu_bf16")
    assert keys("ampere") != keys("volta") != keys("cpu")
    assert keys("ampere", "--auto-precision", "fp32") == keys("cpu")


def test_a_dry_run_needs_no_slurm(
    options: RunOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert submit_plan(RunOptions(**vars(options) | {"dry_run": True})) == 0
    assert capsys.readouterr().out.count("#!/bin/bash") == 4
    assert not options.results.exists()


@pytest.mark.parametrize("change", [{"stage": "world-0"}, {"policy": "always"}, {"policy": "never"}])
def test_a_plan_is_of_all_that_is_missing(options: RunOptions, change: dict[str, str]) -> None:
    (name,) = change
    with pytest.raises(UserError, match=f"--{name} does not go with --plan-json.* Try: leave --{name} out"):
        print_plan(RunOptions(**vars(options) | {"executor": "local"} | change))
