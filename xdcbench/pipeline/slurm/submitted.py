"""What was submitted, as JSON in the results folder: the stages of each suite, and the job of each stage."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field

from xdcbench.config.base import Config
from xdcbench.errors import UserError
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.slurm.batches import inputs_of
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.io import atomic_write, writing
from xdcbench.utils.locks import lock


class Planned(Config):
    """A stage of a suite that was submitted."""

    key: str
    name: str
    inputs: tuple[str, ...]
    reason: str = ""


class SubmittedSuite(Config):
    """The stages of a suite, inputs before what reads them."""

    suite: str
    stages: tuple[Planned, ...]


class SubmittedJob(Config):
    """The last job of a stage: its number (``12_3`` in an array), its name, and when it was submitted."""

    number: str = Field(pattern=r"^[0-9]+(_[0-9]+)?$")
    name: str
    submitted: float


class JobsFolder:
    """The folder ``jobs`` of a results folder; files that are damaged are named and passed over."""

    def __init__(self, results: Path) -> None:
        self.results = results.absolute()
        self.root = self.results / "jobs"
        self.logs = self.root / "logs"

    @contextmanager
    def submitting(self) -> Iterator[None]:
        """Hold the folder against other commands that submit.

        Raises:
            UserError: another one does, or the folder cannot be written.
        """
        with writing(f"jobs to {self.root}", "give another folder with --results"):
            self.logs.mkdir(parents=True, exist_ok=True)
        busy = f"another command submits jobs of {self.results}. Try: the same command once it has ended"
        with lock(self.root / ".lock", busy=busy):
            yield

    def token(self) -> str:
        """What tells this folder from another one at the same path of another machine."""
        path = self.root / "token"
        if not path.exists():
            with atomic_write(path) as part:
                part.write_text(secrets.token_hex(8), encoding="utf-8")
        return path.read_text(encoding="utf-8").strip()

    def write_suite(self, name: str, stages: Iterable[Stage]) -> None:
        """Note the stages of a suite; those that were submitted before with another part of it stay."""
        path = self.root / f"{name}.suite.json"
        planned = {
            s.key: Planned(key=s.key, name=s.name, inputs=inputs_of(s), reason=s.reason) for s in stages
        }
        earlier: SubmittedSuite | None = read_cache(path, SubmittedSuite)
        others = {
            stage.key: stage for stage in (earlier.stages if earlier else ()) if stage.key not in planned
        }
        submitted = self.jobs(others)
        kept = [stage for key, stage in others.items() if key in submitted]
        suite = SubmittedSuite(suite=name, stages=(*planned.values(), *kept))
        write_json(path, suite.model_dump(mode="json"))

    def suites(self) -> list[SubmittedSuite]:
        """All suites that were submitted, by name.

        Raises:
            UserError: none was.
        """
        found = [read_cache(path, SubmittedSuite) for path in sorted(self.root.glob("*.suite.json"))]
        if suites := [suite for suite in found if suite is not None]:
            return suites
        raise UserError(f"no suite was submitted to {self.results}. Try: xdcbench run --executor slurm")

    def write_job(self, key: str, job: SubmittedJob) -> None:
        """Note the job of a stage in place of an earlier one."""
        write_json(self.root / f"{key}.job.json", job.model_dump(mode="json"))

    def jobs(self, keys: Iterable[str]) -> dict[str, SubmittedJob]:
        """The last job of each stage that was submitted, by key."""
        found = {key: read_cache(self.root / f"{key}.job.json", SubmittedJob) for key in keys}
        return {key: job for key, job in found.items() if job is not None}

    def log(self, number: str) -> Path:
        """The log of a job or of a task of an array."""
        return self.logs / f"{number}.txt"
