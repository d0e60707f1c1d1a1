"""What became of each stage that was submitted: the results folder is the truth, Slurm says what is on its way."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from xdcbench.pipeline.slurm.client import PENDING, RUNNING, Job, is_installed, jobs
from xdcbench.pipeline.slurm.submitted import JobsFolder, Planned, SubmittedJob, SubmittedSuite
from xdcbench.results.run_store import RunStore

State = Literal[
    "done", "running", "pending", "failed", "cancelled", "blocked", "lost", "to do", "unknown", "unavailable"
]

TRY = {
    "OUT_OF_MEMORY": ". Try: more `memory` in the executor's file",
    "TIMEOUT": ". Try: more `hours` in the executor's file",
    **dict.fromkeys(("NODE_FAIL", "BOOT_FAIL", "PREEMPTED"), ". Try: the command that submitted it"),
}
"""What mends a job that ended in a state of Slurm's."""

OUT_OF_MEMORY = re.compile(
    r"^(slurmstepd|srun)\b.*(exceeded (job )?memory limit|oom.kill|out of memory)", re.I | re.M
)
"""What Slurm writes to the log of a job that needs more memory; the job's state may be FAILED all the same."""


class StageState(NamedTuple):
    """What became of one stage; ``job`` is empty where it has none, ``detail`` is the reason, with the log's path."""

    key: str
    name: str
    state: State
    job: str = ""
    detail: str = ""

    @property
    def has_failed(self) -> bool:
        """Whether it is not there and nothing is on its way to make it."""
        return self.state in ("failed", "cancelled", "blocked", "lost")


def queued_jobs(submitted: Mapping[str, SubmittedJob]) -> dict[str, SubmittedJob]:
    """Those of the jobs that Slurm has yet to end, by key.

    Raises:
        UserError: Slurm does not answer.
    """
    known = known_jobs(submitted.values())
    return {key: job for key, job in submitted.items() if job.number in known and known[job.number].is_queued}


def known_jobs(submitted: Collection[SubmittedJob]) -> dict[str, Job]:
    """What Slurm knows of jobs, by number. A number that it has given to another job since is left out."""
    names = {job.number: job.name for job in submitted}
    return {number: job for number, job in jobs(names.keys()).items() if job.name == names[number]}


def stage_states(suite: SubmittedSuite, store: RunStore, folder: JobsFolder) -> list[StageState]:
    """What became of the stages of a suite, in the order of its plan.

    Raises:
        UserError: Slurm does not answer.
    """
    submitted = folder.jobs(stage.key for stage in suite.stages)
    here = is_installed("squeue")
    known = known_jobs(submitted.values()) if here else {}
    found: dict[str, StageState] = {}
    for stage in suite.stages:
        job = submitted.get(stage.key)
        if store.complete(stage.key):
            found[stage.key] = StageState(stage.key, stage.name, "done", job.number if job else "")
        elif job is None:
            found[stage.key] = _without_job(stage)
        else:
            state, detail = _ended(stage, job, known.get(job.number), store, folder, here=here)
            inputs = [found[key] for key in stage.inputs if key in found]
            culprit = next((source.name for source in inputs if source.has_failed), "")
            if state in ("cancelled", "lost") and culprit:
                state, detail = "blocked", f"needs {culprit}"
            found[stage.key] = StageState(stage.key, stage.name, state, job.number, detail)
    return list(found.values())


def _without_job(stage: Planned) -> StageState:
    state: State = "unavailable" if stage.reason else "to do"
    return StageState(stage.key, stage.name, state, detail=stage.reason)


def _ended(
    stage: Planned, job: SubmittedJob, known: Job | None, store: RunStore, folder: JobsFolder, *, here: bool
) -> tuple[State, str]:
    """State of a stage whose result is not there, and the reason."""
    log = folder.log(job.number)
    if known and known.state in RUNNING:
        return "running", f"log: {log}"
    if known and known.is_queued:
        held = "held" in known.reason.lower()
        return "pending", known.reason + (f". Try: scontrol release {job.number}" if held else "")
    if said := _last_error(store.runs / ".failed" / stage.key, job.submitted):
        return "failed", said
    if state := _end_of(known, log):
        return _ended_job(job.number, state, log)
    if said := _own_line(log):
        return "failed", f"{said} (log: {log})"
    return ("lost" if here else "unknown"), f"Slurm says nothing of job {job.number} (log: {log})"


def _end_of(known: Job | None, log: Path) -> str:
    """State in which a job ended; empty if Slurm has forgotten it and its log does not tell."""
    state = known.state if known else ""
    if state in ("", "FAILED") and OUT_OF_MEMORY.search(_text(log)):
        return "OUT_OF_MEMORY"
    return state


def _ended_job(number: str, state: str, log: Path) -> tuple[State, str]:
    """The same, by the state in which its job ended."""
    if state == "CANCELLED" or state in PENDING:
        return "cancelled", f"job {number} was cancelled"
    if state == "COMPLETED":
        return "lost", f"job {number} has completed, and its result is not here (log: {log})"
    if not log.exists():
        return "failed", f"job {number}: {state}, without a log. Try: a results folder that the nodes see"
    # What Slurm ended says at most that it was asked to end.
    said = (state == "FAILED" and _own_line(log)) or f"job {number}: {state}"
    return "failed", f"{said}{TRY.get(state, '')} (log: {log})"


def _last_error(attempts: Path, since: float) -> str:
    """First line of the error of the last attempt since a time, and the folder of its log."""
    errors = [path for path in attempts.glob("*/error.txt") if path.stat().st_mtime >= since]
    if not errors:
        return ""
    last = max(errors)
    lines = last.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
    return f"{lines[0]} (log: {last.parent})"


def _own_line(log: Path) -> str:
    """The last line in a log that this project wrote for its user; empty without one."""
    lines = _text(log).splitlines()
    return next((line for line in reversed(lines) if line.startswith("xdcbench: ")), "")


def _text(log: Path) -> str:
    """What a log holds; empty without one."""
    return log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
