"""Memory through which one process hands clips to another."""

import mmap
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from xdcbench.data.clips import Batch, Boxes, Clips, Draw
from xdcbench.errors import MediaError


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


class Hold:
    """What a process has in work, for others to see: the row of an item, and how many it has begun before.

    The count tells whether it moves where one item is drawn twice in a row.
    """

    NOTHING = -1

    def __init__(self) -> None:
        self.both = shared(2, torch.int64)
        self.put(self.NOTHING)

    @property
    def row(self) -> int:
        """Of the item in work, or ``NOTHING``."""
        return int(self.both[0])

    @property
    def moves(self) -> int:
        """Number of times that it changed."""
        return int(self.both[1])

    def put(self, row: int) -> None:
        """Say what is in work from now on."""
        self.both[0] = row
        self.both[1] += 1


class Shelf:
    """Room for one batch in memory that is shared with processes forked later.

    The memory is anonymous, so that a container's limit on ``/dev/shm`` does not touch it.

    Args:
        clips: what is read.
        size: clips at most.
    """

    def __init__(self, clips: Clips, size: int) -> None:
        self.clips = clips
        self.video = shared(size * clips.pixels, torch.uint8)
        self.audio = shared(size * clips.samples, torch.float32).view(size, clips.samples)

    def fill(self, draws: Sequence[Draw], group: Sequence[int], hold: Hold) -> list[Note]:
        """Read the draws at the positions ``group``; ``hold`` says which one is in work."""
        notes: list[Note] = []
        used = read = 0
        for position in group:
            draw = draws[position]
            hold.put(draw.row)
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
        hold.put(hold.NOTHING)
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


def joined(parts: Sequence[Batch]) -> Batch:
    """The clips of several batches as one, in their order."""
    boxes = [part.video for part in parts if part.video is not None]
    audio = [part.audio for part in parts if part.audio is not None]
    video = (
        Boxes(
            torch.cat([of.pixels for of in boxes]),
            sides=tuple(side for of in boxes for side in of.sides),
            frames=boxes[0].frames,
            flips=tuple(flip for of in boxes for flip in of.flips),
        )
        if boxes
        else None
    )
    return Batch(
        rows=torch.cat([part.rows for part in parts]),
        positions=torch.cat([part.positions for part in parts]),
        video=video,
        audio=torch.cat(audio) if audio else None,
        failed=tuple(failed for part in parts for failed in part.failed),
    )


def shared(count: int, dtype: torch.dtype) -> Tensor:
    """Zeros, (count,), that this process and those forked later all see."""
    memory = mmap.mmap(-1, max(1, count) * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def _copied(x: Tensor) -> Tensor:
    return torch.empty_like(x, pin_memory=torch.cuda.is_available()).copy_(x)
