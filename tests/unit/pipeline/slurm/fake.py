"""A fake Slurm: programs on the PATH that keep jobs in a JSON file, and a scheduler that a test turns by hand.

The programs are this file under other names; it needs the standard library alone.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

PROGRAMS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")
ENDED = (
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "NODE_FAIL",
    "TIMEOUT",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "BOOT_FAIL",
)
Jobs = dict[str, dict[str, Any]]


class FakeSlurm:
    """The cluster in a folder; ``environment`` is that of a process which finds its programs.

    Its settings, which a test changes: ``partitions``, ``max_submit`` and ``array`` (the MaxArraySize).
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir(parents=True)
        for name in PROGRAMS:
            program = self.programs / name
            program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -IS {__file__} {name} "$@"\n')
            program.chmod(0o755)
        self.set(partitions=["debug"], max_submit=1000, array=1001, accounting=True)
        self.save({})

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.programs}:{os.environ['PATH']}"
        return os.environ | {"PATH": path, "FAKE_SLURM": str(self.folder), "OMP_NUM_THREADS": "1"}

    def set(self, **settings: Any) -> None:
        path = self.folder / "settings.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(known | settings))

    def jobs(self) -> Jobs:
        found: Jobs = json.loads((self.folder / "jobs.json").read_text())
        return found

    def save(self, jobs: Jobs) -> None:
        (self.folder / "jobs.json").write_text(json.dumps(jobs, indent=1))

    def mark(self, number: str, state: str) -> None:
        """Give a job a state, as a failing node does or a person who cancels it."""
        jobs = self.jobs()
        jobs[number]["state"] = state
        self.save(jobs)

    def forget(self) -> None:
        """Lose every job, as when MinJobAge has passed and nothing is accounted."""
        self.save({})

    def run(self) -> None:
        """Run jobs until none can start, and cancel those whose dependency has failed."""
        while number := self._startable():
            job = self.jobs()[number]
            self.mark(number, "RUNNING")
            code = self._start(number, job)
            if self.jobs()[number]["state"] == "RUNNING":
                self.mark(number, "FAILED" if code else "COMPLETED")

    def _startable(self) -> str:
        for number, job in self.jobs().items():
            if job["state"] != "PENDING":
                continue
            states = [self._state(after) for after in job["after"]]
            if any(state in ENDED[1:] for state in states):
                self.mark(number, "CANCELLED")
            elif all(state == "COMPLETED" for state in states):
                return number
        return ""

    def _state(self, number: str) -> str:
        tasks = [job["state"] for n, job in self.jobs().items() if n == number or n.startswith(f"{number}_")]
        bad = [state for state in tasks if state in ENDED[1:]]
        return bad[0] if bad else "COMPLETED" if set(tasks) == {"COMPLETED"} else "PENDING"

    def _start(self, number: str, job: dict[str, Any]) -> int:
        whole, _, task = number.partition("_")
        known = {"SLURM_JOB_ID": number, "SLURMD_NODENAME": "node1", "SLURM_CPUS_PER_TASK": "1"}
        known |= {"SLURM_ARRAY_TASK_ID": task} if task else {}
        log = Path(job["output"].replace("%j", number).replace("%A", whole).replace("%a", task))
        if not log.parent.is_dir():
            return 1  # as slurmd, which then has no place to say why
        with log.open("ab") as out:
            shell = subprocess.Popen(
                ["bash", "-c", job["script"]],
                stdout=out,
                stderr=out,
                cwd=job["chdir"],
                env=self.environment | known,
            )
        (self.folder / "shell").write_text(str(shell.pid))
        return shell.wait()

    def warn(self) -> None:
        """Signal the shell of the job that runs, as before its time limit."""
        os.kill(int((self.folder / "shell").read_text()), signal.SIGUSR2)


def _options(script: str, words: list[str]) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")]
    given = [word for line in lines for word in shlex.split(line)] + words
    return {name: value for name, _, value in (word[2:].partition("=") for word in given)}


def _sbatch(cluster: FakeSlurm, settings: dict[str, Any], words: list[str]) -> None:
    script = sys.stdin.read()
    options, jobs = _options(script, words), cluster.jobs()
    partition = options.get("partition", settings["partitions"][0])
    if partition not in settings["partitions"]:
        sys.stderr.write(f"sbatch: error: invalid partition specified: {partition}\n")
        sys.exit("sbatch: error: Batch job submission failed: Invalid partition name specified")
    tasks = range(int(options["array"].removeprefix("0-")) + 1) if "array" in options else ()
    live = sum(job["state"] not in ENDED for job in jobs.values())
    if live + max(1, len(tasks)) > settings["max_submit"]:
        sys.stderr.write("sbatch: error: QOSMaxSubmitJobPerUserLimit\n")
        sys.exit(
            "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit)"
        )
    if len(tasks) > settings["array"]:
        sys.exit("sbatch: error: Batch job submission failed: Invalid job array specification")
    path = cluster.folder / "next"
    number = str(int(path.read_text()) if path.exists() else 1)
    path.write_text(str(int(number) + 1))
    after = re.findall(r"\d+(?:_\d+)?", options.get("dependency", ""))
    job = {"state": "PENDING", "name": options["job-name"], "after": after, "script": script}
    job |= {"output": options["output"], "chdir": options["chdir"]}
    jobs |= {f"{number}_{task}": job for task in tasks} or {number: job}
    cluster.save(jobs)
    sys.stdout.write(f"{number};loopback\n")


def _asked(cluster: FakeSlurm, words: list[str]) -> Jobs:
    (numbers,) = [word.removeprefix("--jobs=").split(",") for word in words if word.startswith("--jobs=")]
    return {n: job for n, job in cluster.jobs().items() if n.partition("_")[0] in numbers}


def _squeue(cluster: FakeSlurm, settings: dict[str, Any], words: list[str]) -> None:
    found = {n: job for n, job in _asked(cluster, words).items() if job["state"] not in ENDED}
    if not found:
        sys.exit("slurm_load_jobs error: Invalid job id specified")
    for number, job in found.items():
        reason = job.get("reason", "Dependency" if job["after"] else "None")
        sys.stdout.write(f"{number}|{job['state']}|{reason}|{job['name']}\n")


def _sacct(cluster: FakeSlurm, settings: dict[str, Any], words: list[str]) -> None:
    if not settings["accounting"]:
        sys.exit("Slurm accounting storage is disabled")
    for number, job in _asked(cluster, words).items():
        state = "CANCELLED by 0" if job["state"] == "CANCELLED" else job["state"]
        sys.stdout.write(f"{number}|{state}|{job['name']}\n")


def _scancel(cluster: FakeSlurm, settings: dict[str, Any], words: list[str]) -> None:
    for number, job in cluster.jobs().items():
        if number in words and job["state"] not in ENDED:
            cluster.mark(number, "CANCELLED")


def _scontrol(cluster: FakeSlurm, settings: dict[str, Any], words: list[str]) -> None:
    if words[0] == "requeue":
        cluster.mark(words[1], "PENDING")
    elif words == ["show", "config"]:
        sys.stdout.write(f"ClusterName             = fake\nMaxArraySize            = {settings['array']}\n")


if __name__ == "__main__":
    _, program, *rest = sys.argv
    here = object.__new__(FakeSlurm)
    here.folder = Path(os.environ["FAKE_SLURM"])
    stated = json.loads((here.folder / "settings.json").read_text())
    globals()[f"_{program}"](here, stated, rest)
