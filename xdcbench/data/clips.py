"""Clips: where in an item they lie, and reading them as batches."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from xdcbench.data.index import Index
from xdcbench.data.media import read_audio, read_clip, read_image
from xdcbench.distributed import share
from xdcbench.errors import MediaError
from xdcbench.runtime import generator
from xdcbench.schema import AudioInput, Augment, VideoInput


@dataclass(frozen=True)
class Draw:
    """One clip of one item.

    Attributes:
        row: position of the item in its index.
        place: where in time, from 0 (as early as possible) to 1 (as late as possible).
        crop: where in the picture, (vertical, horizontal), each from 0 to 1.
        scale: where in the range of short sides, from 0 to 1; None takes the smallest.
        flip: whether the picture is mirrored.
        position: in the list of draws that a batch was asked from.
    """

    row: int
    place: float = 0.5
    crop: tuple[float, float] = (0.5, 0.5)
    scale: float | None = None
    flip: bool = False
    position: int = 0


@dataclass(frozen=True)
class Batch:
    """Clips read together; items that could not be read are in ``failed`` and nowhere else.

    Attributes:
        rows: int64 (B,), positions in the index.
        positions: int64 (B,), which of the draws asked for these are.
        video: uint8 (B, T, S, S, 3) or None.
        audio: float32 (B, samples) or None.
        failed: position and reason of each unreadable item.
    """

    rows: Tensor
    positions: Tensor
    video: Tensor | None
    audio: Tensor | None
    failed: tuple[tuple[int, str], ...]


def random_draw(row: int, augment: Augment, rng: np.random.Generator) -> Draw:
    """A training clip; the number of random values drawn does not depend on the settings."""
    place, up, left, scale, flip = rng.random(5)
    random_crop = augment.crop == "random"
    return Draw(
        row=row,
        place=place if augment.time == "random" else 0.5,
        crop=(up, left) if random_crop else (0.5, 0.5),
        scale=scale if random_crop else None,
        flip=augment.flip and flip < 0.5,
    )


def even_draws(rows: Iterable[int], clips: int) -> list[Draw]:
    """``clips`` test clips of each item, evenly spaced in time, centre crop; one lies in the middle."""
    places = [0.5] if clips == 1 else [i / (clips - 1) for i in range(clips)]
    return [Draw(int(row), place) for row in rows for place in places]


class Clips(Dataset[dict[str, Any]]):
    """Reads draws from the files of an index.

    Args:
        index: the items.
        root: folder of the data set.
        video: clip to read; None reads no picture.
        audio: window to read; None reads no sound. Read together, clip and window have one centre.
    """

    def __init__(
        self, index: Index, root: Path, *, video: VideoInput | None = None, audio: AudioInput | None = None
    ) -> None:
        self.paths = [root / path for path in index.items["path"]]
        self.durations = index.items["duration"].fillna(0.0).to_numpy()
        self.still = index.media == "image"
        self.video, self.audio = video, audio

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """One sample, or the reason why there is none."""
        sample: dict[str, Any] = {"row": draw.row, "position": draw.position}
        try:
            if self.video is not None:
                sample["video"] = self._picture(draw, self.video)
            if self.audio is not None:
                sample["audio"] = self._sound(draw, self.audio)
        except MediaError as error:
            sample["failed"] = error.reason
        return sample

    def _picture(self, draw: Draw, spec: VideoInput) -> Tensor:
        """uint8 (frames, size, size, 3)."""
        low, high = spec.short_side
        short_side = low if draw.scale is None else low + int(draw.scale * (high - low + 1))
        path = self.paths[draw.row]
        if self.still:
            clip = read_image(path, short_side=short_side)[None].expand(spec.frames, -1, -1, -1)
        else:
            start = self._start(draw, spec.seconds)
            clip = read_clip(path, start=start, frames=spec.frames, rate=spec.rate, short_side=short_side)
        top = round(draw.crop[0] * (clip.shape[1] - spec.size))
        left = round(draw.crop[1] * (clip.shape[2] - spec.size))
        clip = clip[:, top : top + spec.size, left : left + spec.size]
        return (clip.flip(2) if draw.flip else clip).contiguous()

    def _sound(self, draw: Draw, spec: AudioInput) -> Tensor:
        """float32 (samples,)."""
        start = self._start(draw, spec.seconds)
        return read_audio(self.paths[draw.row], start=start, seconds=spec.seconds, rate=spec.rate)

    def _start(self, draw: Draw, seconds: float) -> float:
        """Start of a clip or window: both lie around one centre, the longer of them inside the file."""
        span = max(spec.seconds for spec in (self.video, self.audio) if spec is not None)
        return draw.place * max(0.0, float(self.durations[draw.row]) - span) + (span - seconds) / 2


def collate(samples: Sequence[dict[str, Any]]) -> Batch:
    """Stack what was read; keep what failed apart."""
    good = [s for s in samples if "failed" not in s]

    def stacked(name: str) -> Tensor | None:
        return torch.stack([s[name] for s in good]) if good and name in good[0] else None

    return Batch(
        rows=torch.tensor([s["row"] for s in good], dtype=torch.int64),
        positions=torch.tensor([s["position"] for s in good], dtype=torch.int64),
        video=stacked("video"),
        audio=stacked("audio"),
        failed=tuple((s["row"], s["failed"]) for s in samples if "failed" in s),
    )


def batches(clips: Clips, draws: Sequence[Draw], *, size: int, workers: int) -> Iterator[Batch]:
    """Read ``draws`` in order, ``size`` at a time, the last batch whatever is left.

    Of several processes, each reads its share of every batch, which may be nothing.
    """
    placed = [replace(draw, position=i) for i, draw in enumerate(draws)]
    groups = [list(share(placed[i : i + size])) for i in range(0, len(placed), size)]
    loader: DataLoader[Any] = DataLoader(
        clips,
        batch_sampler=groups,
        num_workers=min(workers, len(groups)),
        collate_fn=collate,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


def training_draws(
    rows: np.ndarray,
    *,
    augment: Augment,
    seed: int,
    epoch: int,
    clips: int | None = None,
    weights: np.ndarray | None = None,
) -> list[Draw]:
    """The clips of one training epoch, shuffled; depends on seed, epoch and rows alone.

    Args:
        rows: int64 positions to learn from.
        augment: how clips are drawn.
        seed: of the pretraining.
        epoch: from 0.
        clips: clips per epoch; None draws each item once.
        weights: float64 (len(rows),), chance of each row, drawn with replacement; None: no replacement.
    """
    rng = generator(seed, epoch, 1)
    count = clips or len(rows)
    if weights is not None:
        chosen = rng.choice(rows, size=count, p=weights / weights.sum())
    else:
        passes = -(-count // len(rows))
        chosen = np.concatenate([rng.permutation(rows) for _ in range(passes)])[:count]
    return [random_draw(int(row), augment, rng) for row in chosen]
