"""16-bit PCM in a RIFF WAVE file in memory or in a store: samples are cut out of it, not decoded."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdcbench.data.ranges import Content

RIFF = struct.Struct("<4sI4s")
CHUNK = struct.Struct("<4sI")
FORMAT = struct.Struct("<HHIIHH")
PCM = 1
HEADER = 4096
"""Bytes within which the samples have to begin; decoders read files with more before them."""


@dataclass(frozen=True)
class Wave:
    """Samples in a WAVE file.

    Attributes:
        content: of the file.
        begin: of the samples, bytes.
        rate: Hz.
        channels: at least 1.
        count: samples of each channel.
    """

    content: Content
    begin: int
    rate: int
    channels: int
    count: int

    def samples(self, low: int, high: int) -> NDArray[np.int16]:
        """Samples from ``low`` to ``high``, int16 (high - low, channels)."""
        step = 2 * self.channels
        data = self.content[self.begin + step * low : self.begin + step * high]
        return np.frombuffer(data, "<i2").reshape(-1, self.channels)


def pcm(content: Content) -> Wave | None:
    """Where the samples of a WAVE file lie; None where it is anything but 16-bit PCM.

    The layout is that of Microsoft's "Multimedia Programming Interface and Data Specifications 1.0": chunks
    of a name, a size and content padded to an even number of bytes. Samples that the header promises and
    the file lacks are left out, as decoders do.
    """
    data = bytes(content[:HEADER])
    if len(data) < RIFF.size or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    place, rate, channels = RIFF.size, 0, 0
    while place + CHUNK.size <= len(data):
        name, size = CHUNK.unpack_from(data, place)
        place += CHUNK.size
        if name == b"fmt " and place + FORMAT.size <= len(data):
            kind, channels, rate, _, _, bits = FORMAT.unpack_from(data, place)
            if (kind, bits) != (PCM, 16):
                return None
        if name == b"data" and channels and rate:
            count = min(size, len(content) - place) // (2 * channels)
            return Wave(content, place, rate, channels, count)
        place += size + size % 2
    return None
