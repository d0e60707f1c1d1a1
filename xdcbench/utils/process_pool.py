"""One function over many files in processes that may die or hang: each file gets an answer or a reason."""

import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from xdcbench.errors import UserError
from xdcbench.utils.signals import ending


@dataclass(frozen=True)
class WorkerFailure:
    """Why there is no answer for a file: its process died, or took longer than the limit."""

    reason: str
    timeout: bool


def answers(
    function: Callable[[str], Any], paths: Iterable[str], *, workers: int, limit: float
) -> Iterator[tuple[str, Any]]:
    """Each path with what ``function`` returns for it, or `WorkerFailure`, as soon as it is known.

    A file whose process died is given to another one; `WorkerFailure` says that this one died, too.

    Args:
        function: importable by name; takes a path and returns what can be pickled.
        limit: seconds that one file may take before its process is killed.

    Raises:
        UserError: that which ``function`` raised, such as that the file is out of reach.
    """
    waiting: Iterator[str] = iter(paths)
    died: set[str] = set()
    busy: list[_Worker] = []
    idle: list[_Worker] = []
    try:
        while True:
            while len(busy) < workers and (path := next(waiting, None)) is not None:
                busy.append(idle.pop() if idle else _Worker(function))
                busy[-1].take(path, limit)
            if not busy:
                return
            soonest = min(worker.deadline for worker in busy)
            ready = wait([worker.pipe for worker in busy], max(0.0, soonest - time.monotonic()))
            for worker in [w for w in busy if w.pipe in ready or time.monotonic() >= w.deadline]:
                answer = worker.answer(limit)
                busy.remove(worker)
                if isinstance(answer, WorkerFailure):
                    worker.end()
                    if not answer.timeout and worker.path not in died:
                        # The process may have been killed for memory, and the file be innocent.
                        died.add(worker.path)
                        waiting = chain([worker.path], waiting)
                        continue
                else:
                    idle.append(worker)
                if isinstance(answer, UserError):
                    raise answer
                yield worker.path, answer
    finally:
        for worker in busy + idle:
            worker.end()


class _Worker:
    """A process and the one file that it holds.

    It is forked from a server without threads, not from this process, and answers before its first file, so
    that the time of its start counts for none.
    """

    def __init__(self, function: Callable[[str], Any]) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["xdcbench.data.media", function.__module__])
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()
        self.path, self.deadline = "", 0.0

    def take(self, path: str, limit: float) -> None:
        self.path, self.deadline = path, time.monotonic() + limit
        with suppress(BrokenPipeError):  # `answer` tells that it died
            self.pipe.send(path)

    def answer(self, limit: float) -> Any:
        if not self.pipe.poll():
            return WorkerFailure(f"not read within {limit:g} s", timeout=True)
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
            how = ending(self.process.exitcode)
            return WorkerFailure(f"the process that read it died ({how})", timeout=False)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _serve(function: Callable[[str], Any], pipe: Connection) -> None:
    """Answer paths until the other end of the pipe is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the caller ends this process
    pipe.send(None)
    with suppress(EOFError):
        while True:
            path = pipe.recv()
            try:
                answer = function(path)
            except UserError as error:
                answer = error
            pipe.send(answer)
