"""16-bit PCM in a RIFF WAVE file in memory: samples are cut out of it, not decoded."""

import struct

import numpy as np
from numpy.typing import NDArray

RIFF = struct.Struct("<4sI4s")
CHUNK = struct.Struct("<4sI")
FORMAT = struct.Struct("<HHIIHH")
PCM = 1


def pcm(data: bytes | memoryview) -> tuple[int, NDArray[np.int16]] | None:
    """Rate, Hz, and samples of a WAVE file, int16 (n, channels), a view; None where it is anything else.

    The layout is that of Microsoft's "Multimedia Programming Interface and Data Specifications 1.0": chunks
    of a name, a size and content padded to an even number of bytes. Samples that the header promises and
    the file lacks are left out, as decoders do.
    """
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
            count = min(size, len(data) - place) // (2 * channels)
            samples = np.frombuffer(data, "<i2", count * channels, place)
            return rate, samples.reshape(count, channels)
        place += size + size % 2
    return None
