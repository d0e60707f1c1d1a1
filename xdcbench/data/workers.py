"""Processes that read batches of clips ahead, and are watched.

One that dies is replaced. The item that kills two, or stalls one, is named.
"""

import atexit
import ctypes
import gc
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from typing import NamedTuple

import torch

from xdcbench.data.clips import Batch, Clips, Draw
from xdcbench.data.shelf import Hold, Note, Shelf, joined
from xdcbench.errors import UserError
from xdcbench.progress import log
from xdcbench.signals import ASKED, unheard

AHEAD = 3
"""Batches that each worker reads before they are asked for."""

GRACE = 10.0
"""Seconds that a killed worker may take to go; one that waits for a dead disk may not go at all."""

MEND = "replace the file, or take it out of the data set"
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>

# Workers only decode, and start in 30 ms as copies of this process; as new ones they would first import torch,
# which takes seconds.
FORK = get_context("fork")

Job = tuple[Sequence[Draw], Sequence[int]]
"""Draws, and the positions in them of those that make one batch."""

Jobs = Callable[[], Iterator[Job]]
"""Batch after batch, the same at every call."""


class Crew:
    """Workers that read batches in turns; with none, this process reads each batch when it is asked for.

    While the first batch is waited for, this process has nothing to do, so a helper reads half of it on its core.

    Args:
        clips: reads one draw.
        jobs: the batches to read; every worker goes through them itself, so that a long list is held by none.
        room: clips per batch at most.
        workers: processes that read.
        patience: seconds that a worker may take to read one item.
    """

    def __init__(self, clips: Clips, jobs: Jobs, *, room: int, workers: int, patience: float) -> None:
        self.workers: list[_Worker] = []
        for number in range(workers):
            mine = partial(_every, jobs, number, workers)
            self.workers.append(_Worker(clips, mine, room, patience))
        second_half = partial(_second_half, jobs)
        self.helpers = [_Worker(clips, second_half, room, patience)] if workers else []
        self.turns = self._turns() if workers else _read(clips, jobs, room)

    def batch(self) -> Batch:
        """The next one.

        Raises:
            UserError: two workers died over this batch, or one held an item for too long; a store is damaged.
            MediaUnreachableError: a file or store cannot be read.
            MediaChangedError: a file is not the one that was indexed.
        """
        return next(self.turns)

    def end(self) -> None:
        """Leave no process behind, whatever it is doing."""
        for worker in (*self.workers, *self.helpers):
            worker.end()
        self.workers.clear()

    def _turns(self) -> Iterator[Batch]:
        turns = cycle(self.workers)
        halves = [worker.batch() for worker in (next(turns), *self.helpers)]
        for helper in self.helpers:
            helper.end()
        yield joined(halves)
        yield from (worker.batch() for worker in turns)


def _every(jobs: Jobs, first: int, step: int) -> Iterator[Job]:
    """Every n-th batch; of the first of all, the half that the helper leaves."""
    halved = ((draws, group if at else group[: _half(group)]) for at, (draws, group) in enumerate(jobs()))
    return islice(halved, first, None, step)


def _second_half(jobs: Jobs) -> Iterator[Job]:
    return ((draws, group[_half(group) :]) for draws, group in islice(jobs(), 1))


def _half(group: Sequence[int]) -> int:
    return -(-len(group) // 2)


def _read(clips: Clips, jobs: Jobs, room: int) -> Iterator[Batch]:
    shelf, hold = Shelf(clips, room), Hold()
    for draws, group in jobs():
        yield shelf.batch(shelf.fill(draws, group, hold))


class _Death(NamedTuple):
    """What a process held when it died, in words, and how."""

    item: str
    cause: str
    killed: bool


class _Worker:
    """A process that reads every n-th batch, and the shelves through which it hands them over.

    A process may be killed for the memory that others use, so that its item is innocent. The first that dies over
    a batch is replaced by one that begins with this batch; the draws say what it reads, so that nothing differs.
    """

    def __init__(self, clips: Clips, jobs: Jobs, room: int, patience: float) -> None:
        self.clips, self.jobs, self.room, self.patience = clips, jobs, room, patience
        self.delivered = 0
        self.deaths: list[_Death] = []
        self._start()

    def _start(self) -> None:
        shelves = [Shelf(self.clips, self.room) for _ in range(AHEAD)]
        self.turns, self.empty, self.hold = cycle(shelves), FORK.Semaphore(AHEAD), Hold()
        self.pipe, theirs = FORK.Pipe(duplex=False)
        jobs = partial(_from, self.jobs, self.delivered)
        self.process = FORK.Process(
            target=_work, args=(jobs, shelves, self.empty, self.hold, theirs), daemon=True
        )
        with unheard():
            self.process.start()
        # At its end Python asks what is left over with SIGTERM, which workers do not hear, and waits.
        atexit.register(self.process.kill)
        theirs.close()

    def batch(self) -> Batch:
        """The next one; raises as ``Crew.batch``."""
        notes = self._notes()
        while notes is None:
            self._replace()
            notes = self._notes()
        batch = next(self.turns).batch(notes)
        self.empty.release()
        self.delivered += 1
        self.deaths.clear()
        return batch

    def _notes(self) -> list[Note] | None:
        """What became of the draws of the next batch; None where the process has died before it was read."""
        moves = self.hold.moves
        while not self.pipe.poll(self.patience):
            if self.hold.moves == moves:
                raise UserError(f"{self._item()}: not read within {self.patience:g} s; {MEND}")
            moves = self.hold.moves
        try:
            notes: list[Note] | UserError | str = self.pipe.recv()
        except (EOFError, OSError):
            return None
        if isinstance(notes, UserError):
            raise notes
        if isinstance(notes, str):
            raise RuntimeError(f"{self._item()}:\n{notes}")
        return notes

    def end(self) -> None:
        """See ``Crew``."""
        self.process.kill()
        self.process.join(GRACE)
        self.pipe.close()
        atexit.unregister(self.process.kill)

    def _item(self) -> str:
        """What the process holds, in words."""
        row = self.hold.row
        return str(self.clips.path(Draw(row))) if row != Hold.NOTHING else "between two files"

    def _replace(self) -> None:
        """Start a new process in place of the one that died, unless it was the second over this batch."""
        self.process.join()
        code = self.process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self.deaths.append(_Death(self._item(), cause, killed=code == -signal.SIGKILL))
        if len(self.deaths) > 1:
            raise UserError(_blame(*self.deaths))
        log.warning("%s: the reading process died (%s); another one takes its place", self._item(), cause)
        self.end()
        self._start()


def _blame(first: _Death, second: _Death) -> str:
    mend = "use fewer --workers if memory ran out" if first.killed and second.killed else MEND
    if first.item == second.item:
        return f"{second.item}: two reading processes died ({first.cause}, {second.cause}); {mend}"
    return f"two reading processes died, at {first.item} ({first.cause}) and at {second.item} ({second.cause}); {mend}"


def _from(jobs: Jobs, first: int) -> Iterator[Job]:
    """The batches but the ``first`` ones."""
    return islice(jobs(), first, None)


def _work(jobs: Jobs, shelves: Sequence[Shelf], empty: Semaphore, hold: Hold, pipe: Connection) -> None:
    """Fill the shelves in turn, each as soon as it is empty."""
    for number in (signal.SIGINT, *ASKED):
        signal.signal(number, signal.SIG_IGN)  # sent to all at once; the parent saves, and ends this process
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    torch.set_num_threads(1)
    gc.freeze()  # what was imported is there to stay, and need not be looked through again and again
    try:
        for (draws, group), shelf in zip(jobs(), cycle(shelves), strict=False):
            empty.acquire()
            pipe.send(shelf.fill(draws, group, hold))
    except UserError as error:  # a store that is out of reach
        pipe.send(error)
    except Exception:
        pipe.send(traceback.format_exc())
