"""The sound of an original as a store keeps it: mono, 16 bits, from time zero of the clock that pictures share."""

import io
import math
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from xdcbench.data.media import read_audio
from xdcbench.data.media.container import audio_stream, clock_origin, edit_shift, opened, time_base
from xdcbench.data.prepared.layout import Settings
from xdcbench.errors import MediaError

WINDOW = 120.0
"""Seconds of sound that are decoded at once, which bounds memory."""


def sound(path: Path, seconds: float, settings: Settings) -> bytes:
    """The sound of a file from time zero of its clock, mixed and resampled as `read_audio` does it.

    Args:
        path: of the original.
        seconds: length of the picture; the sound is as long, or longer where the track is.
        settings: file format and rate.

    Raises:
        MediaError: nothing decodes.
    """
    rate, seconds = settings.sound_rate, max(seconds, _sound_end(path))
    blocks = [
        _int16(read_audio(path, start=begin, seconds=min(WINDOW, seconds - begin), rate=rate).numpy())
        for begin in np.arange(0.0, max(seconds, 1 / rate), WINDOW)
    ]
    samples = np.concatenate(blocks)
    return _flac(samples, rate) if settings.sound == "flac" else _wav(samples, rate)


def _sound_end(path: Path) -> float:
    """Where the track ends as the header has it, seconds of the file's clock; 0 where it does not say."""
    with opened(path) as container:
        stream = audio_stream(container)
        if stream is None:
            raise MediaError(path, "no sound track")
        if stream.duration is None:
            return max(0.0, (container.duration or 0) / av.time_base)
        end = float(((stream.start_time or 0) + stream.duration) * time_base(stream))
        end -= clock_origin(container, path) + edit_shift(container, path)
        return end if math.isfinite(end) else 0.0


def _int16(samples: NDArray[np.float32]) -> NDArray[np.int16]:
    """Full scale 1 to 2**15, louder sound cut off."""
    scaled: NDArray[np.float32] = np.rint(samples * np.float32(2**15)).clip(-(2**15), 2**15 - 1)
    return scaled.astype(np.int16)


def _wav(samples: NDArray[np.int16], rate: int) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(samples.tobytes())
    return buffer.getvalue()


def _flac(samples: NDArray[np.int16], rate: int) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac", options={"fflags": "+bitexact"}) as out:
        encoder = out.add_stream("flac", rate=rate, layout="mono", options={"flags": "+bitexact"})
        size = 4096
        for begin in range(0, len(samples), size):
            block = np.ascontiguousarray(samples[None, begin : begin + size])
            frame = av.AudioFrame.from_ndarray(block, format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), begin
            out.mux(encoder.encode(frame))
        out.mux(encoder.encode(None))
    return buffer.getvalue()
