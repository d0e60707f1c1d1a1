"""Reading clips from the files of an index or from shards, one and in batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from xdcbench.config.base import Modality
from xdcbench.config.models import VideoInput, Window
from xdcbench.data.clips import ClipSpec
from xdcbench.data.decoded import DecodedItems
from xdcbench.data.index import Index
from xdcbench.data.media import Frames, Indexed, Media, Track, read_audio, read_clip
from xdcbench.data.media.local_file import FileState
from xdcbench.data.scanning.items import MISSING
from xdcbench.data.shards.layout import Kind
from xdcbench.data.shards.reader import CHANGED, ShardReader
from xdcbench.data.slots import Slots
from xdcbench.errors import UserError

Kept = TypeVar("Kept", Frames, Track)


@dataclass(frozen=True)
class CropBoxes:
    """Squares that become the clips of a batch, one after another in one buffer, so that they travel at once.

    ``pixels`` is uint8 (sum of T * b * b * 3,), RGB, each box in the order time, height, width, color; ``sides`` has
    the b of each box, ``frames`` is T, and ``flips`` says which clips are mirrored.
    """

    pixels: Tensor
    sides: tuple[int, ...]
    frames: int
    flips: tuple[bool, ...]

    def to(self, device: torch.device) -> "CropBoxes":
        """The same on ``device``; from pinned memory without waiting."""
        return replace(self, pixels=self.pixels.to(device, non_blocking=True))

    def split(self) -> list[Tensor]:
        """Each box, uint8 (T, b, b, 3), a view."""
        parts = self.pixels.split([self.frames * side * side * 3 for side in self.sides])
        return [part.view(self.frames, side, side, 3) for part, side in zip(parts, self.sides, strict=True)]


@dataclass(frozen=True)
class Batch:
    """Clips read together; items that could not be read are in ``failed`` and nowhere else.

    Attributes:
        rows: int64 (B,), in the index.
        positions: int64 (B,), which of the clips asked for these are.
        video: B boxes.
        audio: float32 (B, samples).
        failed: row and reason of each unreadable item.
    """

    rows: Tensor
    positions: Tensor
    video: CropBoxes | None
    audio: Tensor | None
    failed: tuple[tuple[int, str], ...]


class ClipDataset(Dataset[dict[Modality, Tensor]]):
    """Reads clips from the files of an index, or from the shards that it was made from.

    Without ``video`` or ``audio`` none is read; together, clip and window have one center. ``decoded`` is what is kept
    of files that were decoded before.
    """

    def __init__(
        self,
        index: Index,
        root: Path | ShardReader,
        *,
        video: VideoInput | None = None,
        audio: Window | None = None,
        decoded: DecodedItems | None = None,
    ) -> None:
        self.root, self.files, self.ids = root, index.items["path"].array, index.items["id"].array
        self.rows = _rows(index, root)
        self.sizes, self.mtimes = (index.items[name].to_numpy() for name in ("bytes", "mtime"))
        self.begins, self.durations = index.stretches(video=video is not None)
        self.is_image = index.media == "image"
        self.video, self.audio = video, audio
        place = root.where if isinstance(root, ShardReader) else str(root.absolute())
        kept = decoded or DecodedItems()
        self.frames = {
            side: kept.video(place, index.items, partial(self._media, kind="video"), side)
            for side in (video.short_side if video else ())
        }
        self.tracks = kept.audio(place, index.items, audio.sample_rate) if audio else None

    @property
    def pixels(self) -> int:
        """Bytes of the largest box of a clip; 0 without video."""
        return self.video.frames * 3 * crop_box(self.video, 0.0)[1] ** 2 if self.video else 0

    @property
    def samples(self) -> int:
        """Length of a window of audio; 0 without."""
        return self.audio.samples if self.audio else 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, spec: ClipSpec) -> dict[Modality, Tensor]:
        """Video: uint8 (frames, b, b, 3), the box that becomes the clip; audio: float32 (samples,).

        Raises:
            MediaError: the file cannot be decoded.
            MediaUnreachableError: it cannot be read.
            MediaChangedError: it is not the one that was indexed.
        """
        sample: dict[Modality, Tensor] = {}
        if self.video is not None:
            sample["video"] = self._box(spec, self.video)
        if self.audio is not None:
            sample["audio"] = self._window(spec, self.audio)
        return sample

    def path(self, spec: ClipSpec) -> Path:
        """What messages call the item of a spec: its file, below the folder or the shards."""
        root = self.root.where if isinstance(self.root, ShardReader) else self.root
        return Path(root) / str(self.files[spec.row])

    def _media(self, row: int, kind: Kind) -> Media:
        if isinstance(self.root, ShardReader):
            return self.root.member(int(self.rows[row]), kind, str(self.ids[row]))
        path, state = self.root / str(self.files[row]), FileState(int(self.sizes[row]), int(self.mtimes[row]))
        return path if state.mtime == MISSING else Indexed(path, state)

    def _kept(self, slots: Slots[Kept] | None, row: int, kind: Kind) -> Kept | None:
        """What is kept decoded of an item whose file, where it is one, is still as it was."""
        if slots is None:
            return None
        if not slots.seen(row):
            slots.put(row, self._media(row, kind))
        return slots.get(row) if self._as_indexed(row) else None

    def _as_indexed(self, row: int) -> bool:
        if isinstance(self.root, ShardReader) or self.mtimes[row] == MISSING:
            return True
        try:
            found = (self.root / str(self.files[row])).stat()
        except OSError:  # reading it says what is wrong
            return False
        return (found.st_size, found.st_mtime_ns) == (self.sizes[row], self.mtimes[row])

    def _window(self, spec: ClipSpec, audio: Window) -> Tensor:
        """Float32 (samples,)."""
        track = self._kept(self.tracks, spec.row, "audio")
        read = track.window if track else partial(read_audio, self._media(spec.row, "audio"))
        start = self._start(spec, audio.seconds)
        return read(start=start, seconds=audio.seconds, sample_rate=audio.sample_rate)

    def _box(self, spec: ClipSpec, video: VideoInput) -> Tensor:
        """Uint8 (frames, b, b, 3), a view of the frames where they stay in order."""
        short_side, side = crop_box(video, spec.scale)
        kept = self._kept(self.frames[short_side], spec.row, "video")
        read = (
            kept.clip if kept else partial(read_clip, self._media(spec.row, "video"), short_side=short_side)
        )
        if self.is_image:
            clip = read(start=0.0, frames=1, fps=1.0).expand(video.frames, -1, -1, -1)
        else:
            clip = read(start=self._start(spec, video.seconds), frames=video.frames, fps=video.fps)
        top = round(spec.crop[0] * (clip.shape[1] - side))
        left = round(spec.crop[1] * (clip.shape[2] - side))
        box = clip[:, top : top + side, left : left + side]
        return box if spec.order is None else box[list(spec.order)]

    def _start(self, spec: ClipSpec, seconds: float) -> float:
        """Start of a clip or window: both lie around one center, the longer of them inside the file."""
        span = max(one.seconds for one in (self.video, self.audio) if one is not None)
        fits = max(0.0, float(self.durations[spec.row]) - span)
        begin = spec.place * fits if spec.last is None else min(spec.place * spec.last, fits)
        return float(self.begins[spec.row]) + begin + (span - seconds) / 2


def _rows(index: Index, root: Path | ShardReader) -> Sequence[int] | np.ndarray:
    """Rows of the items in the shards, int64; in a folder, in which they are found by path, those of the index."""
    if not isinstance(root, ShardReader):
        return range(len(index.items))
    if (index.shards or {}).get("fingerprint") != root.manifest.fingerprint:
        raise UserError(
            f"{index.name} was not indexed from the shards {root.where} as they are now; {CHANGED}"
        )
    root.places  # noqa: B018 - read before processes are forked that share it
    return root.rows(index.items["id"])


def crop_box(video: VideoInput, scale: float | None) -> tuple[int, int]:
    """Short side of the frame to decode and side of the box to cut from it, pixels.

    All training frames are decoded at the longest short side. There, the box of side ``size * longest / s``
    shows what a crop of ``size`` shows in a frame whose short side is s: shrinking the box to ``size`` jitters
    the scale at the price of one small resize, which the device can do.

    ``scale`` says where s lies in the range of short sides, whole pixels, from 0 to 1; None: the test clip, whose box
    is the clip.
    """
    low, high = video.short_side
    if scale is None:
        return low, video.size
    s = min(low + int(scale * (high - low + 1)), high)
    return high, round(video.size * high / s)
