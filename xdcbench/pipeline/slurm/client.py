"""Slurm's programs: what is asked of them, and what they answer."""

import os
import re
import shutil
import subprocess
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from xdcbench.errors import UserError

PATIENCE = 300.0
"""Seconds that a program may take; sbatch itself tries for two minutes while the queue is full."""

MAX_ARRAY_SIZE = 1001
"""Slurm's own default."""

FULL = re.compile(
    r"MaxSubmit|submit limit|temporarily unable to accept|MaxJobCount|limit on number of jobs", re.I
)
"""What sbatch says where the queue takes no more jobs now."""

LIMIT = re.compile(r"\b(?:QOS|Assoc)\w+")
"""A limit of the user's that sbatch names before it says that one is exceeded."""

PENDING = {
    "PENDING",
    "CONFIGURING",
    "REQUEUED",
    "REQUEUE_FED",
    "REQUEUE_HOLD",
    "RESV_DEL_HOLD",
    "SPECIAL_EXIT",
}
RUNNING = {"RUNNING", "COMPLETING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED", "SUSPENDED"}

FIXED = tuple(
    f"SBATCH_{name}" for name in ("JOB_NAME", "ARRAY_INX", "OUTPUT", "ERROR", "OPEN_MODE", "SIGNAL", "WAIT")
)
"""Variables that would change what the script of a job states and a later command relies on."""

NEVER = "DependencyNeverSatisfied"
"""Reason of a pending job that Slurm is about to cancel."""


class RefusedError(UserError):
    """sbatch did not take a job; ``full`` says that it may take it later.

    Args:
        said: what sbatch wrote.
    """

    def __init__(self, said: str) -> None:
        limit = LIMIT.search(said)
        self.full = "Submit" in limit[0] if limit else bool(FULL.search(said))
        super().__init__(f"{limit[0]}: {_last_line(said)}" if limit else _last_line(said))


@dataclass(frozen=True)
class Job:
    """A job as Slurm knows it: its state, as ``RUNNING``, the reason for it, and the job's name."""

    state: str
    reason: str
    name: str

    @property
    def is_queued(self) -> bool:
        """Whether it waits or runs and may yet succeed."""
        return self.state in PENDING | RUNNING and self.reason != NEVER


def is_installed(program: str = "sbatch") -> bool:
    """Whether a program of Slurm is on the path."""
    return shutil.which(program) is not None


def require_slurm() -> None:
    """Refuse to go on without Slurm.

    Raises:
        UserError: sbatch is not on the path.
    """
    if not is_installed():
        raise UserError(
            "sbatch is not on the PATH. Try: a login node of the cluster, or --dry-run to see the jobs"
        )


def submit(script: str, after: Iterable[str]) -> str:
    """Queue a job that starts once the jobs ``after`` have succeeded; returns its number.

    Raises:
        RefusedError: Slurm does not take it.
    """
    done = _run("sbatch", *submit_options(after), stdin=script)
    number = (done.stdout.split() or [""])[-1].partition(";")[0]  # a site's wrapper may greet before it
    if done.returncode or not number.isdecimal():
        raise RefusedError(done.stderr or done.stdout)
    return number


def submit_options(after: Iterable[str]) -> list[str]:
    """Options of sbatch beside those in the script."""
    numbers = ":".join(after)
    return ["--parsable", *([f"--dependency=afterok:{numbers}"] if numbers else [])]


def jobs(numbers: Collection[str]) -> dict[str, Job]:
    """What Slurm knows of jobs, by number (``12``, of an array ``12_3``); what it has forgotten is left out.

    Raises:
        UserError: Slurm does not answer.
    """
    if not numbers:
        return {}
    whole = ",".join(sorted({number.partition("_")[0] for number in numbers}, key=int))
    known = dict(_queued(whole))
    if numbers - known.keys() and is_installed("sacct"):
        known = dict(_accounted(whole)) | known
    return {number: known[number] for number in numbers if number in known}


def _queued(numbers: str) -> Iterator[tuple[str, Job]]:
    """Jobs that wait, run, or ended minutes ago."""
    done = _run(
        "squeue", "--states=all", "--array", "--noheader", "--format=%i|%T|%r|%j", f"--jobs={numbers}"
    )
    if done.returncode and "Invalid job id" not in done.stderr:
        raise UserError(f"squeue: {_last_line(done.stderr)}. Try: the same command once Slurm answers")
    for number, state, reason, name in _rows(done.stdout, 4):
        yield number, Job(state, reason, name)


def _accounted(numbers: str) -> Iterator[tuple[str, Job]]:
    """Jobs of the cluster's accounting; nothing where it has none."""
    fields = "--format=JobID,State,JobName"
    done = _run("sacct", "--noheader", "--parsable2", "--allocations", fields, f"--jobs={numbers}")
    for number, state, name in _rows("" if done.returncode else done.stdout, 3):
        yield number, Job(state.partition(" ")[0], "", name)


def _rows(said: str, fields: int) -> Iterator[list[str]]:
    """Lines of so many fields; others are none of Slurm's, as a greeting of the site's own wrapper."""
    lines = (line.strip().split("|", fields - 1) for line in said.splitlines())
    return (line for line in lines if len(line) == fields)


def cancel(numbers: Iterable[str]) -> None:
    """End jobs; those that have ended already are passed over.

    Raises:
        UserError: Slurm does not answer.
    """
    done = _run("scancel", *numbers)
    if done.returncode and "Invalid job id" not in done.stderr:
        raise UserError(f"scancel: {_last_line(done.stderr)}. Try: the same command once Slurm answers")


def max_array_size() -> int:
    """Tasks that an array may have, as the cluster is configured."""
    if not is_installed("scontrol"):
        return MAX_ARRAY_SIZE
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", _run("scontrol", "show", "config").stdout, re.M)
    return max(1, int(found[1])) if found else MAX_ARRAY_SIZE


def _run(program: str, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    known = {name: value for name, value in os.environ.items() if name not in FIXED}
    try:
        return subprocess.run(
            [program, *words],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=PATIENCE,
            env=known,
        )
    except FileNotFoundError as error:
        raise UserError(f"{program} is not on the PATH. Try: a login node of the cluster") from error
    except OSError as error:
        raise UserError(
            f"{program} cannot be run: {error.strerror}. Try: a login node of the cluster"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{program} gave no answer for {PATIENCE:.0f} s. Try: the same command once Slurm answers"
        ) from error


def _last_line(said: str) -> str:
    """The line that says why, without the program's name and marks."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["no reason was given"]
    return re.sub(r"^\w+: (error: )?", "", lines[-1])
