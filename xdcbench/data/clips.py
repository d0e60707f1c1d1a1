"""Clips: which are drawn from an item, and where they lie in time and frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xdcbench.config.pretraining import Augment
from xdcbench.utils.lazy_sequence import LazySequence
from xdcbench.utils.runtime import Stream, UniformRows, numpy_generator


@dataclass(frozen=True)
class ClipSpec:
    """One clip of one item; everything random about it is decided here.

    Attributes:
        row: of the item in its index.
        place: where in time, from 0 (the start of the item) to 1 (``last``).
        last: latest start, seconds, clamped to the last that fits; None: the last that fits.
        crop: where in the frame, (vertical, horizontal), each from 0 to 1.
        scale: where in the range of short sides, from 0 to 1; None takes the smallest.
        flip: whether the frame is mirrored.
        order: which of the frames read is shown at each place of the clip; None: as they are read.
    """

    row: int
    place: float = 0.5
    last: float | None = None
    crop: tuple[float, float] = (0.5, 0.5)
    scale: float | None = None
    flip: bool = False
    order: tuple[int, ...] | None = None


def random_clip(row: int, augment: Augment, rng: np.random.Generator) -> ClipSpec:
    """A training clip; the number of random values drawn does not depend on the settings."""
    return random_clips(np.array([row]), augment, rng)[0]


def random_clips(rows: np.ndarray, augment: Augment, rng: np.random.Generator) -> LazySequence[ClipSpec]:
    """Training clips of the items in ``rows``, int64 (n,), as ``random_clip`` draws them one after another."""
    values = UniformRows(rng, len(rows), 5)
    random_crop = augment.crop == "random"

    def spec(at: int) -> ClipSpec:
        place, up, left, scale, flip = values[at].tolist()
        return ClipSpec(
            row=int(rows[at]),
            place=place if augment.temporal_crop == "random" else 0.5,
            crop=(up, left) if random_crop else (0.5, 0.5),
            scale=scale if random_crop else None,
            flip=augment.flip and flip < 0.5,
        )

    return LazySequence(len(rows), spec)


def even_clips(
    rows: Sequence[int] | np.ndarray, clips: int, *, last_start: float | None = None
) -> LazySequence[ClipSpec]:
    """``clips`` test clips of each item, center crop, at ``linspace(0, last_start, clips)``; one in the middle.

    ``last_start`` is in seconds, of the longest of video and audio; None is the last that fits. Starts beyond it are
    clamped to it, as GDT and SeLaVi do (protocol.md).
    """
    places = [0.5] if clips == 1 else [i / (clips - 1) for i in range(clips)]
    return LazySequence(
        len(rows) * clips, lambda at: ClipSpec(int(rows[at // clips]), places[at % clips], last_start)
    )


def training_clips(
    rows: np.ndarray,
    *,
    augment: Augment,
    seed: int,
    epoch: int,
    clips: int | None = None,
    weights: np.ndarray | None = None,
) -> LazySequence[ClipSpec]:
    """The clips of one training epoch, shuffled; depends on seed, epoch and rows alone.

    Args:
        rows: int64, to learn from.
        augment: how clips are drawn.
        seed: of the pretraining.
        epoch: from 0.
        clips: per epoch; None draws each item once.
        weights: float64 (len(rows),), chance of each row, drawn with replacement; None: no replacement.
    """
    rng = numpy_generator(seed, epoch, Stream.EPOCH)
    count = clips or len(rows)
    if weights is not None:
        chosen = rng.choice(rows, size=count, p=weights / weights.sum())
    else:
        chosen = np.empty(count, dtype=rows.dtype)
        for begin in range(0, count, len(rows)):
            part = chosen[begin : begin + len(rows)]
            part[:] = rng.permutation(rows)[: len(part)]
    return random_clips(chosen, augment, rng)
