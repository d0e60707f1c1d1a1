"""Submitting: each stage once, after what it reads; what stays when something goes wrong."""

import signal
from dataclasses import replace

import pytest

from tests.unit.pipeline.slurm.conftest import Publish
from tests.unit.pipeline.slurm.fake import FakeSlurm
from xdcbench.config.executors import Resources
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.slurm.batches import inputs_of
from xdcbench.pipeline.slurm.submit import Target, dry_lines, submit_missing
from xdcbench.pipeline.slurm.submitted import JobsFolder
from xdcbench.utils.locks import lock


def named(target: Target, name: str) -> Stage:
    (stage,) = [stage for stage in target.launch.plan.stages if stage.name == name]
    return stage


def numbers(target: Target) -> dict[str, str]:
    folder = JobsFolder(target.launch.store.root)
    return {key: job.number for key, job in folder.jobs(target.launch.keys).items()}


def live(slurm: FakeSlurm) -> list[str]:
    return [number for number, job in slurm.jobs().items() if job["state"] == "PENDING"]


def test_every_stage_is_submitted_once_after_its_inputs(slurm: FakeSlurm, target: Target) -> None:
    done = submit_missing(target)
    known = numbers(target)
    assert (done.jobs, done.stages, done.queued) == (8, 13, 0)
    assert known.keys() == {stage.key for stage in target.launch.plan.stages}
    assert sorted(known.values()) == sorted(slurm.jobs())
    for stage in target.launch.plan.stages:
        assert set(slurm.jobs()[known[stage.key]]["after"]) == {known[key] for key in inputs_of(stage)}


def test_what_is_queued_or_there_is_not_submitted_again(
    slurm: FakeSlurm, target: Target, publish: Publish
) -> None:
    submit_missing(target)
    before = numbers(target)
    again = submit_missing(target)
    assert (again.jobs, again.queued) == (0, 13)
    world = named(target, "world").key
    publish(world)
    slurm.mark(before[world], "COMPLETED")
    assert submit_missing(target).queued == 12
    assert numbers(target) == before


def test_a_job_that_was_cancelled_is_submitted_again_with_what_waits_for_it(
    slurm: FakeSlurm, target: Target
) -> None:
    submit_missing(target)
    before = numbers(target)
    first = named(target, "xdc/kinetics400/seed0/round1")
    slurm.mark(before[first.key], "CANCELLED")  # what waits for it is still in the queue
    submit_missing(target)
    after = numbers(target)
    changed = {key for key in before if before[key] != after[key]}
    downstream = {first.key}
    for stage in target.launch.plan.stages:
        if downstream.intersection(inputs_of(stage)):
            downstream.add(stage.key)
    assert changed == downstream
    assert all(slurm.jobs()[before[key]]["state"] == "CANCELLED" for key in changed)
    assert sorted(live(slurm)) == sorted(after.values())


def test_a_number_that_slurm_has_given_to_another_job_is_not_ours(slurm: FakeSlurm, target: Target) -> None:
    submit_missing(target)
    jobs = slurm.jobs()
    slurm.save({number: job | {"name": "theirs"} for number, job in jobs.items()})
    assert submit_missing(target).stages == 13


def test_a_stale_job_is_submitted_again(slurm: FakeSlurm, target: Target) -> None:
    submit_missing(target)
    slurm.forget()
    assert submit_missing(target).stages == 13


@pytest.mark.parametrize(
    "note",
    [
        "{",
        *(
            f'{{"number": "{number}", "name": "a", "submitted": 1}}'
            for number in ("abc", "-1", "../1", "1_a")
        ),
    ],
)
def test_a_damaged_note_of_a_job_counts_as_none(slurm: FakeSlurm, target: Target, note: str) -> None:
    submit_missing(target)
    last = target.launch.plan.stages[-1].key
    (target.launch.store.root / "jobs" / f"{last}.job.json").write_text(note)
    done = submit_missing(target)
    assert (done.stages, done.queued) == (1, 12)


def test_a_partition_that_does_not_exist_is_one_message_and_the_rest_resumes(
    slurm: FakeSlurm, target: Target
) -> None:
    wrong = {"round": Resources(partition="nope")}
    bad = replace(target, settings=target.settings.model_copy(update={"stages": wrong}))
    with pytest.raises(UserError) as error:
        submit_missing(bad)
    kept = len({number.partition("_")[0] for number in live(slurm)})
    assert kept > 0
    assert str(error.value) == (
        "sbatch refused xdc/kinetics400/seed0/round1: Batch job submission failed: Invalid partition name specified. "
        f"{kept} stages are queued and stay. Try: mend mine.yaml, then the same command"
    )
    done = submit_missing(target)
    assert done.jobs == 8 - kept
    assert sorted(live(slurm)) == sorted(numbers(target).values()) and len(live(slurm)) == 13


def test_a_full_queue_keeps_what_it_took_and_takes_the_rest_later(slurm: FakeSlurm, target: Target) -> None:
    slurm.set(max_submit=5)
    with pytest.raises(
        UserError, match=r"job submit limit\)\. 5 stages are queued and stay\. Try: the same comm"
    ):
        submit_missing(target)
    assert len(live(slurm)) == 5
    slurm.set(max_submit=1000)
    submit_missing(target)
    assert len(live(slurm)) == 13


def test_of_an_array_that_the_queue_does_not_take_whole_parts_are_submitted(
    slurm: FakeSlurm, target: Target
) -> None:
    """Seven stages and four of six evaluations; else an array above the limit would wait forever."""
    slurm.set(max_submit=11)
    with pytest.raises(UserError, match=r"11 stages are queued and stay\. Try: the same command later"):
        submit_missing(target)
    first = live(slurm)
    assert sum("_" in number for number in first) == 3 and len(first) == 11
    slurm.set(max_submit=13)
    assert submit_missing(target).stages == 2
    assert sorted(numbers(target).values()) == sorted(live(slurm))


def test_a_job_that_is_taken_is_noted_before_the_command_ends(slurm: FakeSlurm, target: Target) -> None:
    """Else the same command would submit another of it."""
    sbatch = slurm.programs / "sbatch"
    sbatch.write_text(sbatch.read_text().replace("exec ", "") + "kill -INT $PPID\n")
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where tests run in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            submit_missing(target)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(slurm.jobs()) == 1
    sbatch.write_text(sbatch.read_text().replace("kill -INT $PPID\n", ""))
    assert submit_missing(target).queued == 1


def test_arrays_are_as_large_as_the_cluster_takes(slurm: FakeSlurm, target: Target) -> None:
    slurm.set(array=4)
    assert submit_missing(target).stages == 13
    assert max(int(number.partition("_")[2] or 0) for number in slurm.jobs()) == 3


def test_another_command_that_submits_is_told(slurm: FakeSlurm, target: Target) -> None:
    jobs = target.launch.store.root / "jobs"
    jobs.mkdir()
    with lock(jobs / ".lock"), pytest.raises(UserError, match="another command submits jobs of"):
        submit_missing(target)
    assert slurm.jobs() == {}


def test_without_slurm_nothing_is_written(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="sbatch is not on the PATH"):
        submit_missing(target)
    assert not (target.launch.store.root / "jobs").exists()


def test_a_dry_run_prints_scripts_and_submits_nothing(slurm: FakeSlurm, target: Target) -> None:
    lines = list(dry_lines(target))
    commands = [line for line in lines if line.startswith("sbatch ")]
    world = named(target, "world").key
    assert len(commands) == 8
    assert any(f"--dependency=afterok:JOB_OF_{world}" in line for line in commands)
    assert sum(line.startswith("#SBATCH --requeue") for line in lines) == 8
    assert slurm.jobs() == {}


def test_stages_without_data_are_not_submitted(slurm: FakeSlurm, target: Target) -> None:
    lacking = named(target, "index/esc50")
    stages = tuple(
        replace(stage, unavailable="no folder") if stage.key == lacking.key else stage
        for stage in target.launch.plan.stages
        if lacking.key not in inputs_of(stage)
    )
    plan = replace(target.launch.plan, stages=stages)
    submit_missing(replace(target, launch=replace(target.launch, plan=plan)))
    assert lacking.key not in numbers(target)
