"""What became of stages: the results folder first, then Slurm, then what logs say."""

import os
import time

import pytest

from tests.unit.pipeline.slurm.conftest import Publish
from tests.unit.pipeline.slurm.fake import FakeSlurm
from xdcbench.pipeline.slurm.states import StageState, stage_states
from xdcbench.pipeline.slurm.submit import Target, submit_missing
from xdcbench.pipeline.slurm.submitted import JobsFolder

WORLD, INDEX, ROUND = "world", "index/kinetics400", "xdc/kinetics400/seed0/round1"
SVM = "xdc/kinetics400/seed0/audio_svm/esc50/1"


def states(target: Target) -> dict[str, StageState]:
    store = target.launch.store
    folder = JobsFolder(store.root)
    (suite,) = folder.suites()
    return {state.name: state for state in stage_states(suite, store, folder)}


def said(found: dict[str, StageState], name: str) -> tuple[str, str]:
    return found[name].state, found[name].detail


@pytest.fixture
def submitted(slurm: FakeSlurm, target: Target) -> Target:
    submit_missing(target)
    return target


def key(target: Target, name: str) -> str:
    return next(stage.key for stage in target.launch.plan.stages if stage.name == name)


def number(target: Target, name: str) -> str:
    return states(target)[name].job


def test_pending_running_and_done(slurm: FakeSlurm, submitted: Target, publish: Publish) -> None:
    publish(key(submitted, WORLD))
    slurm.mark(number(submitted, INDEX), "RUNNING")
    found = states(submitted)
    assert said(found, WORLD) == ("done", "")
    log = JobsFolder(submitted.launch.store.root).log(found[INDEX].job)
    assert said(found, INDEX) == ("running", f"log: {log}")
    assert said(found, ROUND) == ("pending", "Dependency")
    assert not any(state.has_failed for state in found.values())


def test_a_result_counts_whatever_slurm_says(slurm: FakeSlurm, submitted: Target, publish: Publish) -> None:
    slurm.mark(number(submitted, WORLD), "FAILED")
    publish(key(submitted, WORLD))
    assert states(submitted)[WORLD].state == "done"


def test_a_failed_stage_is_named_with_its_error_and_log(slurm: FakeSlurm, submitted: Target) -> None:
    attempt = submitted.launch.store.fail(key(submitted, WORLD), "no space left\n\ntraceback")
    slurm.mark(number(submitted, WORLD), "FAILED")
    slurm.mark(number(submitted, INDEX), "CANCELLED")
    found = states(submitted)
    assert said(found, WORLD) == ("failed", f"no space left (log: {attempt})")
    assert said(found, INDEX) == ("blocked", "needs world")


def test_a_job_that_a_person_cancelled(slurm: FakeSlurm, submitted: Target) -> None:
    slurm.mark(number(submitted, WORLD), "CANCELLED")
    found = states(submitted)
    assert said(found, WORLD) == ("cancelled", f"job {found[WORLD].job} was cancelled")


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("NODE_FAIL", "NODE_FAIL. Try: the command that submitted it"),
        ("OUT_OF_MEMORY", "OUT_OF_MEMORY. Try: more `memory` in the executor's file"),
        ("TIMEOUT", "TIMEOUT. Try: more `hours` in the executor's file"),
    ],
)
def test_how_a_job_ended_and_what_mends_it(
    slurm: FakeSlurm, submitted: Target, state: str, words: str
) -> None:
    job = number(submitted, WORLD)
    log = JobsFolder(submitted.launch.store.root).log(job)
    log.write_text("begun\nxdcbench: asked to end; run the same command to resume\n")
    slurm.mark(job, state)
    assert said(states(submitted), WORLD) == ("failed", f"job {job}: {words} (log: {log})")


@pytest.mark.parametrize("accounted", [True, False])
@pytest.mark.parametrize(
    "line",
    [
        "slurmstepd-vm: error: StepId=1.batch exceeded memory limit (646082560 > 209715200), being killed",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=1.0. Some of your processes may have been killed",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch. Some of the step tasks have been OOM Killed.",
        "srun: error: vm: task 0: Out Of Memory",
    ],
)
def test_a_job_whose_log_says_that_memory_ran_out(
    slurm: FakeSlurm, submitted: Target, line: str, accounted: bool
) -> None:
    """Slurm may call it FAILED, or has forgotten it."""
    job = number(submitted, WORLD)
    log = JobsFolder(submitted.launch.store.root).log(job)
    log.write_text(f"begun\n{line}\nxdcbench: asked to end; run the same command to resume\n")
    slurm.mark(job, "FAILED")
    if not accounted:
        slurm.forget()
    words = f"job {job}: OUT_OF_MEMORY. Try: more `memory` in the executor's file (log: {log})"
    assert said(states(submitted), WORLD) == ("failed", words)


def test_what_the_job_itself_said_comes_first(slurm: FakeSlurm, submitted: Target) -> None:
    job = number(submitted, WORLD)
    log = JobsFolder(submitted.launch.store.root).log(job)
    log.write_text(
        "xdcbench: first\nxdcbench: world on node1: no python\nslurmstepd: error: memory limit set\n"
    )
    slurm.mark(job, "FAILED")
    line = f"xdcbench: world on node1: no python (log: {log})"
    assert said(states(submitted), WORLD) == ("failed", line)


def test_a_job_without_a_log_may_not_see_the_folder(slurm: FakeSlurm, submitted: Target) -> None:
    slurm.mark(number(submitted, WORLD), "FAILED")
    state, detail = said(states(submitted), WORLD)
    assert state == "failed" and detail.endswith("without a log. Try: a results folder that the nodes see")


def test_jobs_that_slurm_has_forgotten_are_lost(slurm: FakeSlurm, submitted: Target) -> None:
    slurm.forget()
    found = states(submitted)
    assert (
        found[WORLD].state == "lost"
        and f"Slurm says nothing of job {found[WORLD].job}" in found[WORLD].detail
    )
    assert said(found, INDEX) == ("blocked", "needs world")


def test_a_job_that_completed_without_its_result_is_lost(slurm: FakeSlurm, submitted: Target) -> None:
    slurm.mark(number(submitted, WORLD), "COMPLETED")
    state, detail = said(states(submitted), WORLD)
    assert state == "lost" and "its result is not here" in detail


def test_an_error_of_an_earlier_job_is_not_this_ones(slurm: FakeSlurm, target: Target) -> None:
    attempt = target.launch.store.fail(key(target, WORLD), "an old error")
    past = attempt / "error.txt"
    os.utime(past, (1, 1))
    submit_missing(target)
    assert states(target)[WORLD].state == "pending"
    slurm.mark(number(target, WORLD), "CANCELLED")
    assert states(target)[WORLD].state == "cancelled"


@pytest.mark.parametrize("hours", [-5, 5])
def test_the_clock_of_the_login_node_decides_nothing(
    slurm: FakeSlurm, target: Target, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Errors bear the time of the disk."""
    store, world = target.launch.store, key(target, WORLD)
    store.fail(world, "of an earlier job")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3600 * hours)
    time.sleep(0.05)  # clocks of disks are coarse
    submit_missing(target)
    slurm.mark(number(target, WORLD), "CANCELLED")
    assert states(target)[WORLD].state == "cancelled"
    store.fail(world, "of this job")
    state, detail = said(states(target), WORLD)
    assert state == "failed" and detail.startswith("of this job (log: ")


def test_without_slurm_the_folder_is_asked_alone(
    submitted: Target, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(key(submitted, WORLD))
    monkeypatch.setenv("PATH", "/nowhere")
    found = states(submitted)
    assert found[WORLD].state == "done"
    assert found[INDEX].state == "unknown" and not found[INDEX].has_failed


def test_tasks_of_an_array_have_states_of_their_own(slurm: FakeSlurm, submitted: Target) -> None:
    slurm.mark(number(submitted, SVM), "RUNNING")
    found = states(submitted)
    assert "_" in found[SVM].job
    assert found[SVM].state == "running"
    assert found[SVM.replace("/1", "/2")].state == "pending"
