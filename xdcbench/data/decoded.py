"""Small datasets kept decoded, so that each of their files is decoded once for all stages of a command.

Clips cut from what is kept are those that are read from the files, bit for bit; an item of which that is not sure
is not kept. The memory is bounded, shared with the processes that are forked later, and gone with them.
"""

import mmap
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xdcbench.errors import MediaChangedError, MediaError, MediaUnreachableError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from xdcbench.data.media import Media
    from xdcbench.data.slots import AudioSlots, VideoSlots

    MediaOf = Callable[[int], Media]

PROBES = 8
"""Files of a dataset that are opened to see how large and how frequent its frames are."""

ROOM = 1.25
"""Room of an item, in parts of what its length makes likely; an item that needs more is not kept."""

SPARE = 1 << 15
"""Bytes of room beyond that."""


@dataclass
class DecodedItems:
    """What a command keeps decoded.

    Attributes:
        limit: bytes at most; 0 keeps nothing.
        taken: bytes of the rooms that were made.
        slots: rooms by dataset and kind; None where they would be too large.
    """

    limit: int = 0
    taken: int = 0
    slots: dict[Hashable, Any] = field(default_factory=dict)

    def video(
        self, root: str, items: "pd.DataFrame", media_of: "MediaOf", short_side: int
    ) -> "VideoSlots | None":
        """Room for the frames of a dataset's items; None where they are too large together.

        Args:
            root: where the files are.
            items: of the dataset, as in its index.
            media_of: from the position of an item to its file.
            short_side: of the frames, pixels.
        """
        from xdcbench.data.slots import VideoSlots

        try:
            found: VideoSlots | None = self._slots(
                ("video", short_side, root),
                items,
                lambda: _video_bytes(items, media_of, short_side),
                lambda sizes: VideoSlots(sizes, short_side),
            )
        except (MediaUnreachableError, MediaChangedError):  # reading a clip says the same
            return None
        return found

    def audio(self, root: str, items: "pd.DataFrame", sample_rate: int) -> "AudioSlots | None":
        """Room for the tracks of a dataset's items, resampled; None where they are too large together."""
        from xdcbench.data.slots import AudioSlots

        found: AudioSlots | None = self._slots(
            ("audio", sample_rate, root),
            items,
            lambda: items["audio_seconds"].to_numpy(na_value=0.0) * sample_rate * 4,
            lambda sizes: AudioSlots(sizes, sample_rate),
        )
        return found

    def _slots(
        self,
        kind: tuple[Hashable, ...],
        items: "pd.DataFrame",
        likely: "Callable[[], NDArray[np.float64]]",
        make: "Callable[[NDArray[np.int64]], Any]",
    ) -> Any:
        """Rooms of one kind, made where there are none yet, for items of a ``likely`` size."""
        if len(items) * SPARE > self.limit:
            return None
        key = *kind, _mark(items)
        if key not in self.slots:
            sizes = self._sizes(likely())
            self.slots[key] = None if sizes is None else make(sizes)
        return self.slots[key]

    def _sizes(self, likely: "NDArray[np.float64]") -> "NDArray[np.int64] | None":
        """Whole pages of memory, int64 (n,), for items of a likely size; None where they exceed the limit."""
        sizes = (likely * ROOM + SPARE).astype("int64") // mmap.PAGESIZE * mmap.PAGESIZE
        if self.taken + sizes.sum() > self.limit:
            return None
        self.taken += int(sizes.sum())
        return sizes


def _mark(items: "pd.DataFrame") -> int:
    """What tells the files of a dataset from others at the same place."""
    import pandas as pd

    return hash(tuple(pd.util.hash_pandas_object(items[["path", "bytes", "mtime"]], index=False)))


def _video_bytes(items: "pd.DataFrame", media_of: "MediaOf", short_side: int) -> "NDArray[np.float64]":
    """Likely bytes of each item's frames, float64 (n,), from a look at a few files."""
    import numpy as np

    from xdcbench.data.media import probe

    there = np.flatnonzero(items["ok"] & items["video"])
    some = there[np.linspace(0, len(there) - 1, min(PROBES, len(there))).astype(int)]
    aspect, fps = 1.0, 0.0
    for row in some:
        with suppress(MediaError):  # reading a clip of it says the same
            found = probe(media_of(int(row)))
            if found.has_video:
                aspect = max(aspect, found.width / found.height, found.height / found.width)
                fps = max(fps, found.fps)
    frames = 1 + fps * items["video_seconds"].to_numpy(na_value=0.0)
    return frames * (8 + 3 * short_side**2 * aspect)
