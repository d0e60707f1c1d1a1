"""Stages side by side: as in turn, at the same time, and nothing is left when the caller goes."""

import logging
import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import pytest

from xdcbench.config.base import Config
from xdcbench.config.keys import VERSIONS
from xdcbench.config.load import load_suite
from xdcbench.data.context import Context
from xdcbench.errors import UserError
from xdcbench.pipeline.executor import StageResult, execute
from xdcbench.pipeline.graph import Stage
from xdcbench.pipeline.jobs import JobDied, Jobs
from xdcbench.pipeline.plan import Plan
from xdcbench.pipeline.registry import STAGES, StageKind
from xdcbench.results.run_store import RunStore
from xdcbench.utils.progress import track
from xdcbench.utils.signals import defer_signals

ROOT = Path(__file__).parents[3]
SOON = 20.0


class Toy(Config):
    """What a toy stage writes, what it waits for, and how it ends."""

    word: str
    waits_for: str = ""
    ends: str = ""


def toy(config: Toy, inputs: dict[str, Path], work: Path, context: Context) -> None:
    root = context.roots["toy"]
    assert isinstance(root, Path)
    (root / config.word).write_text(str(os.getpid()))
    appears(root / config.waits_for)
    if config.ends == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if config.ends == "fails":
        raise UserError("labels.csv: no column `file`; add it")
    read = "".join((run / "words.txt").read_text() for run in inputs.values())
    (work / "words.txt").write_text(read + config.word)


def appears(path: Path) -> None:
    until = time.monotonic() + SOON
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def toy_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VERSIONS, "toy", 3)
    monkeypatch.setitem(STAGES, "toy", StageKind(lambda: toy))


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "results")


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(suite="toys", roots={"toy": tmp_path})


def stage(word: str, *needs: Stage, waits_for: str = "", ends: str = "") -> Stage:
    config = Toy(word=word, waits_for=waits_for, ends=ends)
    return Stage("toy", f"toy/{word}", config, tuple((f"input{i}", of) for i, of in enumerate(needs)))


def plan(*members: Stage) -> Plan:
    return Plan(load_suite("mini"), members, frozenset(of.key for of in members))


def statuses(outcomes: list[StageResult]) -> dict[str, str]:
    return {outcome.stage.name.removeprefix("toy/"): outcome.status for outcome in outcomes}


def test_independent_stages_are_at_work_together(store: RunStore, context: Context, tmp_path: Path) -> None:
    """Each of two waits for the other to begin."""
    a = stage("a")
    b, c = stage("b", a, waits_for="c"), stage("c", a, waits_for="b")
    d = stage("d", b, c)
    outcomes = execute(plan(a, b, c, d), store, context, jobs=2)
    assert statuses(outcomes) == dict.fromkeys("abcd", "done")
    assert [outcome.stage.name for outcome in outcomes] == ["toy/a", "toy/b", "toy/c", "toy/d"]
    assert (store.path(d.key) / "words.txt").read_text() == "abacd"
    assert str(os.getpid()) not in {(tmp_path / word).read_text() for word in "abcd"}
    assert statuses(execute(plan(a, b, c, d), store, context, jobs=2)) == dict.fromkeys("abcd", "kept")


def test_a_failure_blocks_what_hangs_on_it(store: RunStore, context: Context) -> None:
    a = stage("a", ends="fails")
    outcomes = execute(plan(a, stage("b", a), stage("c")), store, context, jobs=2)
    assert statuses(outcomes) == {"a": "failed", "b": "blocked", "c": "done"}
    assert outcomes[0].detail.startswith("labels.csv: no column `file`; add it (log: ")


def test_a_job_that_is_killed_fails_its_stage_alone(store: RunStore, context: Context) -> None:
    bad = stage("a", ends="killed")
    others = [stage(word) for word in "bcd"]
    outcomes = execute(plan(bad, *others), store, context, jobs=2)
    assert statuses(outcomes) == {"a": "failed", "b": "done", "c": "done", "d": "done"}
    assert outcomes[0].detail == "its process died (SIGKILL); was it killed, or out of memory?"


def test_what_ends_a_run_in_turn_ends_it_side_by_side(
    store: RunStore, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object, **options: object) -> object:
        raise UserError("nothing can be written")

    monkeypatch.setattr("xdcbench.pipeline.executor.run_stage", refused)
    with pytest.raises(UserError, match="nothing can be written"):
        execute(plan(stage("a"), stage("b")), store, context, jobs=2)
    assert not active_children()


def saving(folder: Path) -> str:
    """Work until asked to end, then save."""
    with defer_signals() as asked:
        (folder / "begun").touch()
        until = time.monotonic() + SOON
        while not asked() and time.monotonic() < until:
            time.sleep(0.01)
        (folder / "saved").touch()
    return "not asked"


def test_jobs_at_work_save_when_the_caller_leaves(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Jobs(2, saving, threads=1) as jobs:
        jobs.give(tmp_path)
        appears(tmp_path / "begun")
        (job,) = jobs.busy
        raise KeyboardInterrupt
    assert (tmp_path / "saved").exists()
    assert not job.process.is_alive()


def test_threads_and_progress_are_the_job_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(_: object) -> tuple[int, bool]:
        import torch

        monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
        with track("work", 1) as tick:
            return torch.get_num_threads(), tick.show is None

    with Jobs(1, facts, threads=1) as jobs:
        jobs.give(None)
        assert list(jobs.finished()) == [(None, (1, True))]


def test_a_death_is_told_and_a_new_job_follows() -> None:
    with Jobs(1, os._exit, threads=1) as jobs:
        jobs.give(3)
        ((task, answer),) = jobs.finished()
        assert task == 3 and isinstance(answer, JobDied) and "exit code 3" in str(answer)
        assert jobs.free
        jobs.give(4)
        assert [task for task, _ in jobs.finished()] == [4]


def test_jobs_go_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom xdcbench.pipeline.jobs import Jobs\n"
        "def work(path):\n    Path(path).write_text(str(os.getpid()))\n    time.sleep(60)\n"
        f"with Jobs(1, work, threads=1) as jobs:\n    jobs.give({str(tmp_path / 'pid')!r})\n    list(jobs.finished())\n"
    )
    caller = subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)})
    appears(tmp_path / "pid")
    time.sleep(0.1)
    pid = int((tmp_path / "pid").read_text())
    caller.kill()
    caller.wait()
    until = time.monotonic() + SOON
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_what_a_job_logs_and_how_far_it_is_reaches_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    """So that one process writes to the terminal, and lines do not cut through bars."""

    def build(task: int) -> int:
        logging.getLogger("xdcbench").info("at work on %d", task)
        with track("steps", 2) as tick:
            tick(2)
        return task + 1

    shown: list[tuple[int, int]] = []
    answers: list[tuple[int, int]] = []
    with (
        caplog.at_level(logging.INFO, "xdcbench"),
        Jobs(1, build, threads=1, show=lambda task, at: shown.append((task, at.done))) as jobs,
    ):
        jobs.give(4, shown=True)
        while jobs.busy:
            answers += jobs.finished()
    assert (caplog.messages, shown, answers) == (["at work on 4"], [(4, 0), (4, 2)], [(4, 5)])
