"""Stages side by side: a job is a process that builds one stage after another, with its share of the cores."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from logging.handlers import QueueHandler
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from threading import Lock
from typing import Any, NamedTuple

from xdcbench.errors import UserError
from xdcbench.utils.progress import shown_by
from xdcbench.utils.progress_state import Progress
from xdcbench.utils.signals import ASKED, block_signals, die_with_parent, ending

GRACE = 120.0
"""Seconds that a job may take to save its state when it is asked to end."""


class JobDied(NamedTuple):
    """Why there is no answer: the process of a job is gone."""

    reason: str


class Answer(NamedTuple):
    """What came of a task: its value, its `UserError`, or `JobDied`."""

    value: Any


class Pipe(QueueHandler):
    """The end of a pipe that a job speaks into: its log lines, its progress, its answers."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)  # type: ignore[arg-type]
        self.connection, self.process, self.sending = connection, os.getpid(), Lock()

    def enqueue(self, record: logging.LogRecord) -> None:
        """Send a log record; a process that a job has started has no pipe of its own."""
        if os.getpid() == self.process:
            self.tell(record)
        else:
            sys.stderr.write(record.getMessage() + "\n")

    def tell(self, message: logging.LogRecord | Progress) -> None:
        """Send what nobody need hear: a caller that ends listens no more, and the state is still to be saved."""
        with suppress(OSError):
            self.send(message)

    def send(self, message: logging.LogRecord | Progress | Answer) -> None:
        """Send one thing at a time; threads may speak at once."""
        with self.sending:
            self.connection.send(message)


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

    def hear(self) -> logging.LogRecord | Progress | Answer:
        """The next thing that it says; if it has died, that is the answer."""
        try:
            said: logging.LogRecord | Progress | Answer = self.pipe.recv()
        except (EOFError, OSError):  # which is also the end in the middle of a message
            self.process.join()
            how = ending(self.process.exitcode)
            return Answer(JobDied(f"its process died ({how}); was it killed, or out of memory?"))
        return said


class Jobs(AbstractContextManager["Jobs"]):
    """Several processes that build what they are given.

    Args:
        count: of processes at most.
        build: called in a job with what ``give`` gets; returns what can be pickled.
        threads: that each of them computes in.
        show: called with a task and how far it is, of tasks that were given as ``shown``.
    """

    def __init__(
        self,
        count: int,
        build: Callable[[Any], Any],
        *,
        threads: int,
        show: Callable[[Any, Progress], None] = lambda task, at: None,
    ) -> None:
        self.count, self.build, self.threads, self.show = count, build, threads, show
        self.idle: list[Job] = []
        self.busy: list[Job] = []

    @property
    def free(self) -> bool:
        """Whether one of them has nothing to do."""
        return len(self.busy) < self.count

    def give(self, task: Any, *, shown: bool = False) -> None:
        """Begin a task in a job that is free; where it is not ``shown``, its progress is told in log lines."""
        job = self.idle.pop() if self.idle else Job(self.build, self.threads)
        job.task = task
        job.pipe.send((task, shown))
        self.busy.append(job)

    def finished(self, seconds: float | None = None) -> Iterator[tuple[Any, Any]]:
        """Tasks that have ended, each with its answer or `JobDied`, once any job has said something.

        What jobs log is logged here. There may be none, also if nothing is said in so many ``seconds``.

        Raises:
            UserError: what a task raised.
        """
        ready = wait([job.pipe for job in self.busy], seconds) if self.busy else []
        for job in [job for job in self.busy if job.pipe in ready]:
            match job.hear():
                case logging.LogRecord() as record:
                    logging.getLogger(record.name).handle(record)
                case Progress() as at:
                    self.show(job.task, at)
                case Answer(value):
                    self.busy.remove(job)
                    if not isinstance(value, JobDied):
                        self.idle.append(job)
                    if isinstance(value, UserError):
                        raise value
                    yield job.task, value

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
    mouth = Pipe(pipe)
    logging.getLogger().handlers = [mouth]
    with suppress(EOFError, BrokenPipeError):
        while True:
            task, shown = pipe.recv()
            try:
                with shown_by(mouth.tell if shown else None):
                    answer = build(task)
            except UserError as error:
                answer = error
            mouth.send(Answer(answer))


def _limit_threads(threads: int) -> None:
    import torch
    from threadpoolctl import threadpool_limits

    os.environ["OMP_NUM_THREADS"] = str(threads)
    torch.set_num_threads(min(threads, torch.get_num_threads()))
    threadpool_limits(threads)
