"""Stages side by side: a job is a process that builds one stage after another, with its share of the cores."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple

from xdcbench.errors import UserError
from xdcbench.utils.progress import plain_progress
from xdcbench.utils.signals import ASKED, block_signals, die_with_parent, ending

GRACE = 120.0
"""Seconds that a job may take to save its state when it is asked to end."""


class JobDied(NamedTuple):
    """Why there is no answer: the process of a job is gone."""

    reason: str


class Job:
    """One process.

    It is forked, so that what the caller has imported and planned is there at once. The caller must not have used
    torch's threads or a GPU.
    """

    def __init__(self, build: Callable[[Any], Any], threads: int) -> None:
        context = get_context("fork")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(build, theirs, self.pipe, threads))
        with block_signals():
            self.process.start()
        theirs.close()
        self.task: Any = None

    def answer(self) -> Any:
        """What came of the task: its value, its `UserError`, or `JobDied`."""
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            how = ending(self.process.exitcode)
            return JobDied(f"its process died ({how}); was it killed, or out of memory?")


class Jobs(AbstractContextManager["Jobs"]):
    """Several processes that build what they are given.

    Args:
        count: of processes at most.
        build: called in a job with what ``give`` gets; returns what can be pickled.
        threads: that each of them computes in.
    """

    def __init__(self, count: int, build: Callable[[Any], Any], *, threads: int) -> None:
        self.count, self.build, self.threads = count, build, threads
        self.idle: list[Job] = []
        self.busy: list[Job] = []

    @property
    def free(self) -> bool:
        """Whether one of them has nothing to do."""
        return len(self.busy) < self.count

    def give(self, task: Any) -> None:
        """Begin a task in a job that is free."""
        job = self.idle.pop() if self.idle else Job(self.build, self.threads)
        job.task = task
        job.pipe.send(task)
        self.busy.append(job)

    def finished(self, seconds: float | None = None) -> Iterator[tuple[Any, Any]]:
        """Tasks that end next, each with its answer or `JobDied`: at least one if any are at work.

        There may be none if that takes more than so many ``seconds``.

        Raises:
            UserError: what a task raised.
        """
        ready = wait([job.pipe for job in self.busy], seconds) if self.busy else []
        for job in [job for job in self.busy if job.pipe in ready]:
            self.busy.remove(job)
            answer = job.answer()
            if not isinstance(answer, JobDied):
                self.idle.append(job)
            if isinstance(answer, UserError):
                raise answer
            yield job.task, answer

    def __exit__(self, *exception: object) -> None:
        """End all jobs; those at work save their state first."""
        for job in self.busy:
            job.process.terminate()
        for job in self.idle + self.busy:
            job.pipe.close()
        for job in self.idle + self.busy:
            job.process.join(GRACE)
            job.process.kill()
            job.process.join()


def _serve(build: Callable[[Any], Any], pipe: Connection, callers: Connection, threads: int) -> None:
    """Answer tasks until the other end of the pipe is gone."""
    callers.close()
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller asks this process to end
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT, *ASKED))
    _limit_threads(threads)
    with plain_progress(), suppress(EOFError, BrokenPipeError):
        while True:
            task = pipe.recv()
            try:
                answer = build(task)
            except UserError as error:
                answer = error
            pipe.send(answer)


def _limit_threads(threads: int) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    threadpool_limits(threads)
