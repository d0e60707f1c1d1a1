"""RIFF WAVE: what its header states, and 16-bit PCM that is cut out of memory or shards, not decoded."""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xdcbench.data.media.byte_ranges import Content

RIFF = struct.Struct("<4sI4s")
CHUNK = struct.Struct("<4sI")
FORMAT = struct.Struct("<HHIIHH")
PCM = 1
PLACEHOLDER = 0x7FFF0000
"""Sizes from here on stand for "not known": writers to a pipe state 2**32 - 1, 2**31 or a little less."""
HEADER = 4096
"""Bytes within which the samples have to begin; decoders read files with more before them."""


@dataclass(frozen=True)
class Wave:
    """16-bit samples in a WAVE file, ``count`` of each channel, from byte ``begin``; the rate is in Hz."""

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


@dataclass(frozen=True)
class Header:
    """What the header of a WAVE file states.

    Attributes:
        kind: format tag; 1 is PCM.
        channels: number.
        rate: Hz.
        step: bytes of one sample of all channels.
        bits: of one sample.
        begin: of the samples, bytes.
        size: of the samples, bytes.
    """

    kind: int
    channels: int
    rate: int
    step: int
    bits: int
    begin: int
    size: int

    @property
    def plain(self) -> bool:
        """Whether all samples take as many bytes as one, so that the size says how many there are."""
        return bool(self.step and self.rate) and 8 * self.step == self.channels * self.bits

    @property
    def seconds(self) -> float:
        """Length that the size states; of `plain` files alone."""
        return self.size // self.step / self.rate

    @property
    def placeholder(self) -> bool:
        """Whether the size was never filled in, because the file was written to a pipe."""
        return not self.size or self.size >= PLACEHOLDER


def header(content: Content) -> Header | None:
    """The header of a WAVE file; None where the content is anything else.

    The layout is that of Microsoft's "Multimedia Programming Interface and Data Specifications 1.0": chunks
    of a name, a size and content padded to an even number of bytes.
    """
    data = bytes(content[:HEADER])
    if len(data) < RIFF.size or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    place, form = RIFF.size, None
    while place + CHUNK.size <= len(data):
        name, size = CHUNK.unpack_from(data, place)
        place += CHUNK.size
        if name == b"fmt " and place + FORMAT.size <= len(data):
            form = FORMAT.unpack_from(data, place)
        if name == b"data" and form is not None:
            kind, channels, rate, _, step, bits = form
            return Header(kind, channels, rate, step, bits, place, size)
        place += size + size % 2
    return None


def pcm(content: Content) -> Wave | None:
    """Where the samples of a WAVE file lie; None where it is anything but 16-bit PCM.

    Samples that the header promises and the file does not hold are left out, as decoders do.
    """
    found = header(content)
    if found is None or (found.kind, found.bits) != (PCM, 16) or not found.channels or not found.rate:
        return None
    count = min(found.size, len(content) - found.begin) // (2 * found.channels)
    return Wave(content, found.begin, found.rate, found.channels, count)
