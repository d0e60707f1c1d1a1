"""Batches of clips, read ahead by processes that are watched: the item that kills or stalls one is named."""

import ctypes
import mmap
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Semaphore
from typing import NamedTuple

import torch
from torch import Tensor

from xdcbench.data.clips import Batch, Boxes, Clips, Draw
from xdcbench.distributed import share
from xdcbench.errors import MediaError, UserError

AHEAD = 2
"""Batches that each worker reads before they are asked for."""

PATIENCE = 300.0
"""Seconds that a worker may take to read one item."""

GRACE = 10.0
"""Seconds that a killed worker may take to go; one that waits for a dead disk may not go at all."""

MEND = "replace the file, or take it out of the data set"
NO_ITEM = -1
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>

# Workers only decode, and start in 30 ms as copies of this process; as new ones they would first import torch,
# which takes seconds, in each epoch.
FORK = get_context("fork")


def batches(
    clips: Clips,
    draws: Sequence[Draw],
    *,
    size: int,
    workers: int,
    patience: float = PATIENCE,
    groups: Sequence[Sequence[int]] | None = None,
) -> Iterator[Batch]:
    """Read ``draws`` in order, ``size`` at a time, the last batch whatever is left.

    Of several processes, each reads its share of every batch, which may be nothing.

    Args:
        clips: reads one draw.
        draws: what to read.
        size: clips per batch, over all processes.
        workers: processes that read; with 0 this one does, and nothing watches it.
        patience: seconds that a worker may take to read one item.
        groups: positions of the draws of each of this process's batches, ``size`` at most, in place of its share.

    Raises:
        UserError: a worker died, or held one item for longer; a store is out of reach or damaged.
    """
    if groups is None:
        groups = [share(range(begin, len(draws))[:size]) for begin in range(0, len(draws), size)]
    if not workers:
        shelf, held = Shelf(clips, size), _shared(1, torch.int64)
        for group in groups:
            yield shelf.batch(shelf.fill(draws, group, held))
        return
    with ExitStack() as stack:
        crew: list[_Worker] = []
        for number in range(min(workers, len(groups))):
            crew.append(_Worker(clips, draws, groups[number::workers], patience))
            stack.callback(crew[-1].end)
        for worker, _ in zip(cycle(crew), groups, strict=False):
            yield worker.batch()


class Note(NamedTuple):
    """What became of one draw.

    Attributes:
        position: of the draw.
        row: of its item.
        side: of its box, pixels; 0 without picture.
        flip: whether the clip is mirrored.
        failed: why it could not be read; empty if it was.
    """

    position: int
    row: int
    side: int = 0
    flip: bool = False
    failed: str = ""


class Shelf:
    """Room for one batch in memory that is shared with processes forked later.

    The memory is anonymous, so that a container's limit on ``/dev/shm`` does not touch it.

    Args:
        clips: what is read.
        size: clips at most.
    """

    def __init__(self, clips: Clips, size: int) -> None:
        self.clips = clips
        self.video = _shared(size * clips.pixels, torch.uint8)
        self.audio = _shared(size * clips.samples, torch.float32).view(size, clips.samples)

    def fill(self, draws: Sequence[Draw], group: Sequence[int], held: Tensor) -> list[Note]:
        """Read the draws at the positions ``group``; ``held``, int64 (1,), says which one is in work."""
        notes: list[Note] = []
        used = read = 0
        for position in group:
            held[0] = position
            draw = draws[position]
            try:
                sample = self.clips[draw]
            except MediaError as error:
                notes.append(Note(position, draw.row, failed=error.reason))
                continue
            side = 0
            if "video" in sample:
                box = sample["video"]
                side = box.shape[1]
                self.video[used : used + box.numel()].view(box.shape).copy_(box)
                used += box.numel()
            if "audio" in sample:
                self.audio[read].copy_(sample["audio"])
            read += 1
            notes.append(Note(position, draw.row, side, draw.flip))
        held[0] = NO_ITEM
        return notes

    def batch(self, notes: Sequence[Note]) -> Batch:
        """A copy of what lies here, in pinned memory where there is a GPU to send it to."""
        good = [note for note in notes if not note.failed]
        video, audio = None, None
        if good and self.clips.video is not None:
            sides, frames = tuple(note.side for note in good), self.clips.video.frames
            used = 3 * frames * sum(side * side for side in sides)
            video = Boxes(_copied(self.video[:used]), sides, frames, tuple(note.flip for note in good))
        if good and self.clips.audio is not None:
            audio = _copied(self.audio[: len(good)])
        return Batch(
            rows=torch.tensor([note.row for note in good], dtype=torch.int64),
            positions=torch.tensor([note.position for note in good], dtype=torch.int64),
            video=video,
            audio=audio,
            failed=tuple((note.row, note.failed) for note in notes if note.failed),
        )


class _Worker:
    """A process that reads every n-th batch, and the shelves through which it hands them over."""

    def __init__(
        self, clips: Clips, draws: Sequence[Draw], groups: Sequence[Sequence[int]], patience: float
    ) -> None:
        self.clips, self.draws, self.patience = clips, draws, patience
        shelves = [Shelf(clips, max(map(len, groups))) for _ in range(AHEAD)]
        self.turns, self.empty = cycle(shelves), FORK.Semaphore(AHEAD)
        self.held = _shared(1, torch.int64).fill_(NO_ITEM)
        self.pipe, theirs = FORK.Pipe(duplex=False)
        self.process = FORK.Process(
            target=_work, args=(draws, groups, shelves, self.empty, self.held, theirs), daemon=True
        )
        self.process.start()
        theirs.close()

    def batch(self) -> Batch:
        """The next one; raises as ``batches``."""
        held = int(self.held)
        while not self.pipe.poll(self.patience):
            if int(self.held) == held:
                raise UserError(f"{self._item()}: not read within {self.patience:g} s; {MEND}")
            held = int(self.held)
        try:
            notes: list[Note] | UserError | str = self.pipe.recv()
        except (EOFError, OSError):
            raise self._death() from None
        if isinstance(notes, UserError):
            raise notes
        if isinstance(notes, str):
            raise RuntimeError(f"{self._item()}:\n{notes}")
        batch = next(self.turns).batch(notes)
        self.empty.release()
        return batch

    def end(self) -> None:
        """Leave no process behind, whatever it is doing."""
        self.process.kill()
        self.process.join(GRACE)
        self.pipe.close()

    def _item(self) -> str:
        """What the process holds, in words."""
        held = int(self.held)
        return str(self.clips.path(self.draws[held])) if held != NO_ITEM else "between two files"

    def _death(self) -> UserError:
        self.process.join()
        code = self.process.exitcode or 0
        cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        mend = "use fewer --workers if memory ran out" if code == -signal.SIGKILL else MEND
        return UserError(f"{self._item()}: the reading process died ({cause}); {mend}")


def _work(
    draws: Sequence[Draw],
    groups: Sequence[Sequence[int]],
    shelves: Sequence[Shelf],
    empty: Semaphore,
    held: Tensor,
    pipe: Connection,
) -> None:
    """Fill the shelves in turn, each as soon as it is empty."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
    torch.set_num_threads(1)
    try:
        for group, shelf in zip(groups, cycle(shelves), strict=False):
            empty.acquire()
            pipe.send(shelf.fill(draws, group, held))
    except UserError as error:  # a store that is out of reach
        pipe.send(error)
    except Exception:
        pipe.send(traceback.format_exc())


def _shared(count: int, dtype: torch.dtype) -> Tensor:
    """Zeros, (count,), that this process and those forked later all see."""
    memory = mmap.mmap(-1, max(1, count) * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def _copied(x: Tensor) -> Tensor:
    return torch.empty_like(x, pin_memory=torch.cuda.is_available()).copy_(x)
