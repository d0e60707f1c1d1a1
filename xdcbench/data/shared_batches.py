"""Memory through which the workers of a loader hand over batches and show what they read."""

import mmap
from collections.abc import Sequence
from ctypes import Structure, c_int64
from typing import NamedTuple

import torch
from torch import Tensor

from xdcbench.data.clip_dataset import Batch, ClipDataset, CropBoxes
from xdcbench.data.clips import ClipSpec
from xdcbench.errors import MediaError


class Reading(Structure):
    """What a worker reads: a batch, the row of an item of it or -1, and how many items it has begun."""

    _fields_ = [("batch", c_int64), ("row", c_int64), ("items", c_int64)]


class Note(NamedTuple):
    """What became of one clip: ``failed`` says why it could not be read; ``side`` is that of its box, pixels."""

    position: int
    row: int
    side: int = 0
    flip: bool = False
    failed: str = ""


class SharedBatch:
    """Room for one batch of ``size`` clips at most, in memory that is shared with processes forked later.

    The memory is anonymous: /dev/shm, where torch puts the tensors of workers, holds 64 MB in a Docker container.
    """

    def __init__(self, clips: ClipDataset, size: int) -> None:
        self.clips = clips
        self.video = shared(size * clips.pixels, torch.uint8)
        self.audio = shared(size * clips.samples, torch.float32).view(size, clips.samples)

    def fill(self, specs: Sequence[tuple[int, ClipSpec]], reading: Reading) -> list[Note]:
        """Read specs, each given with its position; ``reading`` shows which one is in work."""
        notes: list[Note] = []
        used = read = 0
        for position, spec in specs:
            reading.row = spec.row
            reading.items += 1
            try:
                sample = self.clips[spec]
            except MediaError as error:
                notes.append(Note(position, spec.row, failed=error.reason))
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
            notes.append(Note(position, spec.row, side, spec.flip))
        reading.row = -1
        return notes

    def copy(self, notes: Sequence[Note]) -> Batch:
        """A copy of what was read, in pinned memory where there is a GPU to send it to."""
        good = [note for note in notes if not note.failed]
        video, audio = None, None
        if good and self.clips.video is not None:
            sides, frames = tuple(note.side for note in good), self.clips.video.frames
            used = 3 * frames * sum(side * side for side in sides)
            video = CropBoxes(_copied(self.video[:used]), sides, frames, tuple(note.flip for note in good))
        if good and self.clips.audio is not None:
            audio = _copied(self.audio[: len(good)])
        return Batch(
            rows=torch.tensor([note.row for note in good], dtype=torch.int64),
            positions=torch.tensor([note.position for note in good], dtype=torch.int64),
            video=video,
            audio=audio,
            failed=tuple((note.row, note.failed) for note in notes if note.failed),
        )


def shared(count: int, dtype: torch.dtype) -> Tensor:
    """Zeros, (count,), that this process and those forked later all see."""
    memory = mmap.mmap(-1, max(1, count) * dtype.itemsize)
    return torch.frombuffer(memory, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)


def _copied(x: Tensor) -> Tensor:
    return torch.empty_like(x, pin_memory=torch.cuda.is_available()).copy_(x)
