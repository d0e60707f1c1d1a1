"""Real Slurm on this machine: jobs that it ends for their time, their memory or others, and a user's limit of jobs."""

import shutil
from pathlib import Path

import pytest

from tests.integration.helpers import records, xdcbench
from tests.nightly.slurm.loopback import ACCOUNTING, MAX_SUBMIT, cluster, lacking
from tests.nightly.slurm.suite import ROUND, Suite, tables

pytestmark = pytest.mark.nightly

ENDLESS = ("--filter", ROUND, "--checkpoint-seconds", 0, "--set", "pretrain.schedule.epochs=100000")


def failed(said: str) -> str:
    """The line of status of the one stage that has failed."""
    (line,) = [line for line in said.splitlines() if line.startswith("failed")]
    return line


def test_a_job_that_reaches_its_time_limit(environment: dict[str, str], tmp_path: Path) -> None:
    """The limit is shorter than the warning, which comes before the stage begins; what it then saves is resumed.

    Slurm looks at limits twice in a minute.
    """
    suite = Suite(tmp_path / "out", environment, *ENDLESS)
    suite.ask(set_up=["case $key in round-*) sleep 35;; esac"], stages={"round": {"sbatch": ["--time=1"]}})
    suite.run()
    said = suite.wait()
    line = failed(said)
    assert ROUND in line and "TIMEOUT. Try: more `hours` in the executor's file" in line, said
    (building,) = suite.out.glob("runs/.building/round-*/")
    first = suite.log(building.name)
    assert "queued again" not in first
    assert list(building.glob("checkpoint-*.pt")), first
    suite.ask()
    assert suite.run().startswith("submitted 1 stages as 1 jobs")
    suite.until(lambda: "resumes after" in suite.log(building.name))
    assert xdcbench("cancel", "--results", suite.out, env=environment).stdout.startswith("cancelled 1 jobs")
    suite.wait()


def test_jobs_whose_place_others_take(environment: dict[str, str], tmp_path: Path) -> None:
    """Canceled by Slurm, a job resumes by the same command; queued again by Slurm, by itself."""
    suite = Suite(tmp_path / "out", environment, *ENDLESS[:-1], "pretrain.schedule.epochs=60")
    urgent = ("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    suite.ask(stages={"round": {"partition": "canceled"}})
    suite.run()
    key = suite.at_work("round")
    suite.slurm(*urgent)
    line = failed(suite.wait())
    assert ROUND in line and "PREEMPTED. Try: the command that submitted it" in line
    suite.ask()
    assert suite.run().startswith("submitted 1 stages as 1 jobs")
    suite.until(lambda: "resumes after" in suite.log(key))
    suite.slurm(*urgent)
    said = suite.wait()
    assert said.endswith("pico: 4 done\n"), said
    log = suite.log(key)
    assert "DUE TO PREEMPTION" in log and log.count("resumes after") == 2, log


def test_a_job_that_exceeds_its_memory(environment: dict[str, str], tmp_path: Path) -> None:
    """Slurm says FAILED of it, and the reason in its log."""
    suite = Suite(tmp_path / "out", environment, "--filter", "init/*")
    suite.ask(memory=0.05)
    suite.run()
    assert "OUT_OF_MEMORY. Try: more `memory` in the executor's file" in failed(suite.wait())
    (key,) = [path.name.partition(".")[0] for path in suite.out.glob("jobs/init-*.job.json")]
    ended = suite.slurm(
        "squeue", "--states=all", "--noheader", "--format=%T|%r", f"--jobs={suite.number(key)}"
    )
    assert ended == "FAILED|JobLaunchFailure"
    suite.ask()
    suite.run()
    assert suite.wait().endswith("pico: 1 done\n")


def test_a_user_may_have_few_jobs_at_a_time(
    pico: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same command submits the rest, of an array a part. Accounting knows a job that the queue has forgotten."""
    if reason := lacking(*ACCOUNTING):
        pytest.skip(reason)
    with cluster(tmp_path_factory.mktemp("accounted"), accounting=True) as known:
        suite = Suite(
            tmp_path / "out", known | {"OMP_NUM_THREADS": "1"}, "--filter", "scratch/seed0/audio_[sr]*"
        )
        refused = []
        while (done := xdcbench(*suite.words, env=suite.environment)).returncode == 2:
            refused.append(done.stderr)
            suite.wait()
        assert len(refused) == 2, refused
        for said in refused:
            assert "AssocMaxSubmitJobLimit: Batch job submission failed" in said
            assert f"{MAX_SUBMIT} stages are queued and stay. Try: the same command later" in said
        assert done.stdout.startswith("submitted 1 stages as 1 jobs")
        assert suite.wait().endswith("pico: 7 done\n")
        by_the_last_job = tables(suite.out)
        assert suite.run().endswith("pico: 7 kept\n")
        assert tables(suite.out) == by_the_last_job != {}, "a local run with the same filter writes the same"
        mine, local = records(suite.out), records(pico)
        assert len(mine) == 3 and all(mine[key] == local[key] for key in mine)
        (world,) = suite.out.glob("runs/world-*")
        number = suite.number(world.name)
        listed = ("squeue", "--states=all", "--noheader", "--format=%A")
        suite.until(lambda: number not in suite.slurm(*listed).split())
        shutil.rmtree(world)
        assert f"job {number} has completed, and its result is not here" in suite.status()
