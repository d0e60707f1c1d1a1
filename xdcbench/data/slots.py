"""Room for the decoded items of a dataset, in memory that is shared with the processes that are forked later."""

import mmap
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from xdcbench.data.media import Frames, Media, Track, read_frames, read_track
from xdcbench.errors import MediaError

T = TypeVar("T", Frames, Track)
Bytes = NDArray[np.uint8]

UNKNOWN, KEPT, REFUSED = 0, 1, 2
"""States of an item."""


class Slots(ABC, Generic[T]):
    """Room for every item of a dataset; what is not used takes no memory.

    Two processes may put one item at the same time, since both put the same bytes.

    Args:
        sizes: int64 (n,), bytes of each item at most.
    """

    def __init__(self, sizes: NDArray[np.int64]) -> None:
        self.ends = np.cumsum(sizes)
        self.memory = np.frombuffer(mmap.mmap(-1, max(1, int(self.ends[-1]))), np.uint8)
        self.states = np.frombuffer(mmap.mmap(-1, len(sizes)), np.uint8)

    @abstractmethod
    def decode(self, media: Media) -> T | None:
        """What is to be kept of a file; None: nothing."""

    @abstractmethod
    def pack(self, item: T) -> tuple[np.ndarray, ...]:
        """An item as arrays, whose bytes are kept one after another."""

    @abstractmethod
    def unpack(self, data: Bytes) -> T:
        """An item, as a view of its bytes, which others may follow."""

    def seen(self, row: int) -> bool:
        """Whether an item was put, or refused."""
        return bool(self.states[row] != UNKNOWN)

    def put(self, row: int, media: Media) -> None:
        """Decode an item and keep it, or note that it is to be read from its file.

        Raises:
            MediaUnreachableError: the file cannot be read.
            MediaChangedError: it is not the one that was indexed.
        """
        try:
            item = self.decode(media)
        except MediaError:  # reading a clip of it says the same
            item = None
        self.states[row] = KEPT if item is not None and self._fits(row, item) else REFUSED

    def get(self, row: int) -> T | None:
        """What is kept of an item."""
        return self.unpack(self._room(row)) if self.states[row] == KEPT else None

    def _fits(self, row: int, item: T) -> bool:
        """Put an item into its room, if that is large enough."""
        parts = [np.ascontiguousarray(part).reshape(-1).view(np.uint8) for part in self.pack(item)]
        data, room = np.concatenate(parts), self._room(row)
        if len(data) <= len(room):
            room[: len(data)] = data
        return len(data) <= len(room)

    def _room(self, row: int) -> Bytes:
        return self.memory[int(self.ends[row - 1]) if row else 0 : int(self.ends[row])]


class VideoSlots(Slots[Frames]):
    """Frames whose shorter side is ``short_side`` pixels."""

    def __init__(self, sizes: NDArray[np.int64], short_side: int) -> None:
        super().__init__(sizes)
        self.short_side = short_side

    def decode(self, media: Media) -> Frames | None:
        """See `Slots`."""
        return read_frames(media, short_side=self.short_side)

    def pack(self, item: Frames) -> tuple[np.ndarray, ...]:
        """See `Slots`."""
        return np.array(item.images.shape[:3], np.int64), item.times, item.images

    def unpack(self, data: Bytes) -> Frames:
        """See `Slots`."""
        n, height, width = data[:24].view(np.int64).tolist()
        images = data[24 + 8 * n :][: n * height * width * 3]
        return Frames(data[24 : 24 + 8 * n].view(np.float64), images.reshape(n, height, width, 3))


class AudioSlots(Slots[Track]):
    """Tracks at ``sample_rate`` Hz."""

    def __init__(self, sizes: NDArray[np.int64], sample_rate: int) -> None:
        super().__init__(sizes)
        self.sample_rate = sample_rate

    def decode(self, media: Media) -> Track | None:
        """See `Slots`."""
        return read_track(media, sample_rate=self.sample_rate)

    def pack(self, item: Track) -> tuple[np.ndarray, ...]:
        """See `Slots`."""
        return np.array([item.begin, len(item.wave)], np.int64), item.wave

    def unpack(self, data: Bytes) -> Track:
        """See `Slots`."""
        begin, n = data[:16].view(np.int64).tolist()
        return Track(begin, data[16 : 16 + 4 * n].view(np.float32))
