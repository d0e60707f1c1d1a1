"""The audio of an original as shards keep it: mono, 16 bits, from time zero of the clock that the video shares."""

import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from xdcbench.data.media import read_audio
from xdcbench.data.media.audio import audio_end
from xdcbench.data.media.url import local_url
from xdcbench.data.shards.layout import ShardSettings

BLOCK = 4096
"""Samples of a frame of FLAC."""
WINDOW = 480 * BLOCK
"""Samples that are decoded at once, which bounds memory; two minutes of 16 kHz."""


def encode_audio(path: Path, settings: ShardSettings, out: Path) -> None:
    """Write the audio of a file from time zero of its clock to the last sample that decodes.

    It is mixed and resampled as `read_audio` does it. Where the track begins later than the video, silence
    keeps its time; nothing stands for what comes after it.

    Raises:
        OSError: ``out`` cannot be written.
        MediaError: nothing decodes, or a sample is no number.
    """
    rate = settings.sample_rate
    blocks = _blocks(path, max(1, round(audio_end(path) * rate)), rate)
    (_flac if settings.audio_codec == "flac" else _wav)(out, blocks, rate)


def _blocks(path: Path, size: int, rate: int) -> Iterator[NDArray[np.int16]]:
    """The first ``size`` samples of a file, `WINDOW` at a time; full scale is 2**15, louder audio is cut off."""
    for begin in range(0, size, WINDOW):
        seconds = min(WINDOW, size - begin) / rate
        samples = read_audio(path, start=begin / rate, seconds=seconds, sample_rate=rate).numpy()
        yield np.rint(samples * np.float32(2**15)).clip(-(2**15), 2**15 - 1).astype(np.int16)


def _wav(out: Path, blocks: Iterator[NDArray[np.int16]], rate: int) -> None:
    with wave.open(str(out), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        for block in blocks:
            file.writeframes(block.tobytes())


def _flac(out: Path, blocks: Iterator[NDArray[np.int16]], rate: int) -> None:
    with av.open(local_url(out), "w", format="flac", options={"fflags": "+bitexact"}) as file:
        encoder, place = file.add_stream("flac", rate=rate, layout="mono", options={"flags": "+bitexact"}), 0
        for block in blocks:
            for begin in range(0, len(block), BLOCK):
                samples = np.ascontiguousarray(block[None, begin : begin + BLOCK])
                frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), place
                file.mux(encoder.encode(frame))
                place += samples.shape[1]
        file.mux(encoder.encode(None))
