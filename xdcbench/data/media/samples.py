"""Samples as decoders give them: their mean over channels, and those that are no numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from numpy.typing import NDArray

from xdcbench.data.media.limits import LOUDEST

Planes = NDArray[Any]
"""Samples (channels, n) in the format of their file."""


def planes(frames: Sequence[AudioFrame]) -> Planes:
    """Samples of frames of one format and number of channels, one frame after another."""
    wave = np.concatenate([_array(frame) for frame in frames], axis=1)
    return wave.reshape(-1, frames[0].layout.nb_channels).T if frames[0].format.is_packed else wave


def _array(frame: AudioFrame) -> Planes:
    """``frame.to_ndarray()``, also of integers of 64 bits, which PyAV does not turn into arrays."""
    if frame.format.packed.name != "s64":
        return frame.to_ndarray()
    count = frame.samples * (frame.layout.nb_channels if frame.format.is_packed else 1)
    return np.stack([np.frombuffer(bytes(plane), np.int64, count) for plane in frame.planes])


def to_mono(wave: Planes) -> NDArray[np.float32]:
    """Float32 (n,): mean of the channels, full scale 1."""
    mean: NDArray[np.float32] = wave.mean(0, dtype=np.float32)
    if wave.dtype.kind == "u":
        mean -= 128
    if wave.dtype.kind in "iu":
        mean /= 2.0 ** (8 * wave.dtype.itemsize - 1)
    return mean


class BadSampleError(Exception):
    """A sample that is NaN, infinite or louder than `LOUDEST`, at a place as the caller counts."""

    def __init__(self, place: int, value: float) -> None:
        super().__init__(place, value)
        self.place, self.value = place, value

    def reason(self, seconds: float) -> str:
        """Why the audio cannot be read; ``seconds`` is the sample's time on the shared clock."""
        return (
            f"the audio sample at {seconds:.3f} s is {self.value:g}; samples must be numbers of at most {LOUDEST:g} "
            "times full scale"
        )


def check_numbers(wave: Planes, place: int = 0) -> None:
    """Raise BadSampleError for the first sample of any channel that is no number; the first of all is at ``place``."""
    if wave.dtype.kind != "f" or not wave.size or (wave.min() >= -LOUDEST and wave.max() <= LOUDEST):
        return
    bad = ~(np.abs(wave) <= LOUDEST)
    at = int(bad.any(0).argmax())
    raise BadSampleError(place + at, float(wave[bad[:, at], at][0]))
