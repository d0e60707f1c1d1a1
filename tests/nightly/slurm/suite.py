"""The smallest suite, submitted to a cluster as a user does."""

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.integration.helpers import PICO, xdcbench

LONG = 900.0
ROUND = "xdc/kinetics400/seed0/round1"


class Suite:
    """The smallest suite in a results folder, on nodes of a class."""

    def __init__(self, out: Path, environment: dict[str, str], *words: object, nodes: str = "cpu") -> None:
        self.out, self.environment, self.nodes = out, environment, nodes
        self.file = out.with_name(f"{nodes}.yaml")
        self.ask()
        self.words = ["run", "--suite", PICO, "--results", out, "--executor", self.file, *words]

    def ask(
        self, *, set_up: Sequence[str] = (), stages: dict[str, object] | None = None, **resources: object
    ) -> None:
        """Write the executor's file, with other resources of every job from now on, and of kinds of stages."""
        default = {"cores": 1, "memory": 2, "hours": 0.5} | resources
        settings = {"device_class": self.nodes, "set_up": set_up, "default": default, "stages": stages or {}}
        self.file.write_text(json.dumps(settings))

    def run(self, *words: object) -> str:
        done = xdcbench(*self.words, *words, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status(self) -> str:
        return xdcbench("status", "--results", self.out, env=self.environment).stdout

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + LONG
        while not reached():
            assert time.monotonic() < deadline, self.status()
            time.sleep(0.2)

    def wait(self) -> str:
        """Wait until no job is left; what `status` says then."""

        def ended() -> bool:
            time.sleep(2)
            return not self.slurm("squeue", "--noheader")

        self.until(ended)
        return self.status()

    def number(self, key: str) -> str:
        """The job of a stage."""
        found: str = json.loads((self.out / "jobs" / f"{key}.job.json").read_text())["number"]
        return found

    def at_work(self, kind: str) -> str:
        """Wait until a stage of a kind has saved a checkpoint; its key."""
        self.until(lambda: any(self.out.glob(f"runs/.building/{kind}-*/checkpoint-*.pt")))
        (building,) = self.out.glob(f"runs/.building/{kind}-*/")
        return building.name

    def warn(self, key: str) -> None:
        """Signal the shell of a stage's job as Slurm does before its time limit."""
        self.slurm("scancel", "--signal=USR2", "--batch", self.number(key))

    def log(self, key: str) -> str:
        """What a stage's job has written; nothing before it begins."""
        path = self.out / "jobs" / "logs" / f"{self.number(key)}.txt"
        return path.read_text() if path.exists() else ""

    def slurm(self, *words: str) -> str:
        return subprocess.run(
            words, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()


def tables(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("tables/*/*")}
