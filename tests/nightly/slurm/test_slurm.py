"""Real Slurm on this machine: a suite's records are a local run's; jobs that are killed resume; failures stay apart."""

import json
import socket
from pathlib import Path

import pytest

from tests.integration.helpers import PICO, records, xdcbench
from tests.nightly.slurm.loopback import MAX_ARRAY_SIZE
from tests.nightly.slurm.suite import ROUND, Suite, tables

pytestmark = pytest.mark.nightly


def test_records_are_a_local_runs_though_a_job_reaches_its_time_limit(
    environment: dict[str, str], pico: Path, tmp_path: Path
) -> None:
    """A folder with a space in its name; arrays; a round whose job is warned saves, is queued again and resumes."""
    out = tmp_path / "a folder" / "out"
    out.parent.mkdir()
    suite = Suite(out, environment, "--checkpoint-seconds", 0)
    assert suite.run().startswith("submitted 26 stages as 18 jobs"), f"arrays of {MAX_ARRAY_SIZE} at most"
    assert "submitted 0 stages as 0 jobs; " in suite.run()
    key = suite.at_work("round")
    suite.warn(key)
    said = suite.wait()
    assert said.endswith("pico: 26 done\n"), said
    log = suite.log(key)
    assert "was asked to end; it is queued again and resumes" in log and "resumes after" in log
    assert records(out) == records(pico)
    assert tables(out) == tables(pico), "the last job has written them"
    assert suite.run().endswith("pico: 26 kept\n")


def test_a_node_that_dies(environment: dict[str, str], pico: Path, tmp_path: Path) -> None:
    """What Slurm may not queue again is failed and resumes by the same command; the rest Slurm queues again itself.

    The node is in service again once its daemon answers.
    """
    suite = Suite(tmp_path / "out", environment, "--filter", ROUND, "--checkpoint-seconds", 0)
    node = f"nodename={socket.gethostname().partition('.')[0]}"
    suite.ask(sbatch=["--no-requeue"])
    suite.run()
    key = suite.at_work("round")
    suite.slurm("scontrol", "update", node, "state=down", "reason=test")
    said = suite.wait()
    (failed,) = [line for line in said.splitlines() if line.startswith("failed")]
    assert "NODE_FAIL. Try: the command that submitted it" in failed and key in failed
    suite.ask()
    assert suite.run().startswith("submitted 1 stages as 1 jobs")
    suite.until(lambda: suite.slurm("squeue", "--noheader", "--format=%T") == "RUNNING")
    suite.slurm("scontrol", "update", node, "state=down", "reason=test")
    suite.until(lambda: suite.slurm("squeue", "--noheader", "--format=%T") == "PENDING")
    assert suite.wait().endswith("pico: 4 done\n")
    assert "resumes after" in suite.log(key)
    assert records(suite.out)[key] == records(pico)[key]


def test_a_part_of_smoke_has_the_records_of_a_local_run(environment: dict[str, str], tmp_path: Path) -> None:
    """Three methods with their evaluations on audio."""
    part = ("--suite", "smoke", "--methods", "scratch,sdc,xdc", "--filter", "*/audio_*")
    local = xdcbench("run", *part, "--results", tmp_path / "local", "--device", "cpu", env=environment)
    assert local.returncode == 0, local.stderr
    suite = Suite(tmp_path / "out", environment)
    suite.words = ["run", *part, "--results", suite.out, "--executor", suite.file]
    assert suite.run().startswith("submitted 51 stages as 30 jobs")
    assert suite.wait().endswith("smoke: 51 done\n"), suite.status()
    assert records(suite.out) == records(tmp_path / "local") != {}
    assert tables(suite.out) == tables(tmp_path / "local") != {}, "the last job has written them"


def test_a_failed_stage_is_named_and_what_needs_it_is_cancelled(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A diverging round; the other method's evaluations run."""
    part = ("--filter", "*/audio_retrieval/*", "--set", "pretrain.schedule.lr=1e30")
    suite = Suite(tmp_path / "out", environment, *part)
    suite.run()
    said = suite.wait()
    (failed,) = [line for line in said.splitlines() if line.startswith("failed")]
    assert ROUND in failed and "(log: " in failed
    blocked = [line for line in said.splitlines() if line.startswith("blocked")]
    assert len(blocked) == 3 and f"xdc/kinetics400/seed0/round2  (needs {ROUND})" in blocked[0]
    assert "scratch/seed0/audio_retrieval/esc50/1" in "".join(
        line for line in said.splitlines() if line.startswith("done")
    )


def test_processes_meet_and_the_class_of_the_nodes_decides_precision(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """A round in bf16 by two processes under srun, which is warned and resumes; its key is that of a local plan."""
    words = ("--filter", ROUND, "--set", "pretrain.precision=auto", "--checkpoint-seconds", "0")
    suite = Suite(tmp_path / "out", environment, *words, nodes="cpu_bf16")
    suite.ask(stages={"round": {"processes": 2, "cores": 2}})
    suite.run()
    key = suite.at_work("round")
    suite.warn(key)
    said = suite.wait()
    assert said.endswith("pico: 4 done\n"), said
    assert "was asked to end; it is queued again and resumes" in suite.log(key)
    assert "resumes after" in suite.log(key)
    (made,) = (tmp_path / "out" / "runs").glob("round-*")
    local = xdcbench("run", "--suite", PICO, *words, "--auto-precision", "bf16", "--plan-json", cwd=tmp_path)
    assert made.name in {stage["key"] for stage in json.loads(local.stdout)["stages"]}
    facts = json.loads((made / "run.json").read_text())
    assert (facts["config"]["pretrain"]["precision"], facts["world_size"]) == ("bf16", 2)


def test_a_cancelled_suite_is_submitted_again(environment: dict[str, str], tmp_path: Path) -> None:
    """And a partition that does not exist is told."""
    suite = Suite(tmp_path / "out", environment, "--filter", "init/*")
    (tmp_path / "wrong.yaml").write_text("device_class: cpu\ndefault: {partition: nope}\n")
    wrong = xdcbench(*suite.words, "--executor", tmp_path / "wrong.yaml", env=environment)
    assert wrong.returncode == 2 and "Invalid partition name specified. 0 stages are queued" in wrong.stderr
    suite.run()
    done = xdcbench("cancel", "--results", suite.out, env=environment)
    assert done.stdout == "cancelled 1 jobs; complete runs and checkpoints stay\n"
    said = suite.wait()
    assert "was cancelled)" in said and said.endswith("pico: 1 cancelled\n")
    suite.run()
    assert suite.wait().endswith("pico: 1 done\n")
