import subprocess
from pathlib import Path

import pytest

from tests.unit.pipeline.slurm.fake import FakeSlurm
from xdcbench.errors import UserError
from xdcbench.pipeline.slurm import client
from xdcbench.pipeline.slurm.client import Job, RefusedError

SCRIPT = "#!/bin/bash\n#SBATCH --job-name=a-0\n#SBATCH --chdir=/\n#SBATCH --output=/dev/null\n"


def test_a_job_is_known_from_queue_to_end(slurm: FakeSlurm) -> None:
    number = client.submit(SCRIPT, [])
    assert client.jobs({number}) == {number: Job("PENDING", "None", "a-0")}
    slurm.run()
    assert client.jobs({number}) == {number: Job("COMPLETED", "", "a-0")}
    slurm.forget()
    assert client.jobs({number}) == {}


def test_without_accounting_a_job_that_has_ended_is_unknown(slurm: FakeSlurm) -> None:
    number = client.submit(SCRIPT, [])
    slurm.set(accounting=False)
    slurm.run()
    assert client.jobs({number}) == {}


def test_tasks_of_an_array_are_jobs(slurm: FakeSlurm) -> None:
    number = client.submit(f"{SCRIPT}#SBATCH --array=0-1\n", [])
    slurm.mark(f"{number}_1", "RUNNING")
    found = client.jobs({f"{number}_0", f"{number}_1"})
    assert [found[f"{number}_{task}"].state for task in (0, 1)] == ["PENDING", "RUNNING"]


def test_a_job_waits_for_others(slurm: FakeSlurm) -> None:
    first = client.submit(SCRIPT, [])
    second = client.submit(SCRIPT, [first, "99"])
    assert slurm.jobs()[second]["after"] == [first, "99"]


def test_a_cancelled_job_is_not_queued(slurm: FakeSlurm) -> None:
    number = client.submit(SCRIPT, [])
    assert client.jobs({number})[number].is_queued
    client.cancel([number])
    found = client.jobs({number})[number]
    assert found.state == "CANCELLED" and not found.is_queued
    assert not Job("PENDING", client.NEVER, "a").is_queued


def test_a_refusal_says_why_and_whether_to_try_later(slurm: FakeSlurm) -> None:
    with pytest.raises(RefusedError, match=r"^Batch job submission failed: Invalid partition name") as error:
        client.submit(f"{SCRIPT}#SBATCH --partition=nope\n", [])
    assert not error.value.full
    slurm.set(max_submit=0)
    with pytest.raises(
        RefusedError, match=r"^QOSMaxSubmitJobPerUserLimit: Batch job .*submit limit\)$"
    ) as error:
        client.submit(SCRIPT, [])
    assert error.value.full


@pytest.mark.parametrize(
    "said",
    [
        "AssocMaxSubmitJobLimit",
        "QOSMaxSubmitJobPerUserLimit",
        "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        "Slurm temporarily unable to accept job, sleeping and retrying",
    ],
)
def test_words_of_a_full_queue(said: str) -> None:
    assert RefusedError(said).full


@pytest.mark.parametrize("limit", ["QOSMaxWallDurationPerJobLimit", "AssocMaxCpuPerJobLimit"])
def test_a_job_beyond_another_limit_is_not_to_be_tried_later(limit: str) -> None:
    """Slurm ends with the same words for every limit of a user's."""
    said = "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size)"
    error = RefusedError(f"sbatch: error: {limit}\nsbatch: error: {said}\n")
    assert (str(error), error.full) == (f"{limit}: {said}", False)


def test_the_size_of_arrays_is_the_clusters(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    slurm.set(array=17)
    assert client.max_array_size() == 17
    monkeypatch.setenv("PATH", "/nowhere")
    assert client.max_array_size() == client.MAX_ARRAY_SIZE


def test_no_slurm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="sbatch is not on the PATH"):
        client.require_slurm()
    with pytest.raises(UserError, match="squeue is not on the PATH"):
        client.jobs({"1"})


def test_a_controller_that_does_not_answer_is_told(slurm: FakeSlurm) -> None:
    squeue = slurm.programs / "squeue"
    squeue.write_text(
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2\nexit 1\n"
    )
    with pytest.raises(UserError, match=r"Unable to contact slurm controller.*Try: the same command once"):
        client.jobs({"1"})


def test_a_program_that_hangs_is_told(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def hang(*words: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("squeue", client.PATIENCE)

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(UserError, match="squeue gave no answer for 300 s"):
        client.jobs({"1"})


def test_lines_that_are_not_slurms_are_passed_over(slurm: FakeSlurm) -> None:
    """A site's own wrapper may greet, and names of jobs may be in any encoding."""
    number = client.submit(SCRIPT, [])
    squeue = slurm.programs / "squeue"
    squeue.write_text(
        f"#!/bin/sh\necho Welcome\nprintf '{number}|RUNNING|None|a-0\\n9|PENDING|None|\\377\\n'\n"
    )
    assert client.jobs({number, "9"}) == {
        number: Job("RUNNING", "None", "a-0"),
        "9": Job("PENDING", "None", "\ufffd"),
    }


@pytest.mark.parametrize("said", ["Welcome\\n7", "Welcome\\n7;cluster", "7"])
def test_the_number_of_a_job_is_the_last_that_sbatch_says(slurm: FakeSlurm, said: str) -> None:
    (slurm.programs / "sbatch").write_text(f"#!/bin/sh\nprintf '{said}\\n'\n")
    assert client.submit(SCRIPT, []) == "7"


def test_a_program_that_cannot_be_run_is_told(slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    (slurm.programs / "squeue").write_text("no program\n")
    monkeypatch.setenv("PATH", str(slurm.programs))
    with pytest.raises(UserError, match="squeue cannot be run: Exec format error"):
        client.jobs({"1"})


def test_variables_that_would_rename_or_delay_jobs_do_not_reach_sbatch(
    slurm: FakeSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm takes them before what a script states, and a job of another name would not be known again."""
    sbatch = slurm.programs / "sbatch"
    sbatch.write_text('#!/bin/sh\n[ -z "$SBATCH_JOB_NAME$SBATCH_WAIT" ] && echo "7$SBATCH_PARTITION"\n')
    for name in ("SBATCH_JOB_NAME", "SBATCH_WAIT"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SBATCH_PARTITION", "5")
    assert client.submit(SCRIPT, []) == "75"
