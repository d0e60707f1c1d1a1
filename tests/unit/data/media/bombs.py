"""Files whose headers state what is not in them, written byte by byte."""

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def wav(
    path: Path,
    wave: NDArray[np.float32],
    *,
    rate: int = 16_000,
    stated: int | None = None,
    channels: int = 1,
    floats: bool = True,
) -> Path:
    """Samples (n * channels,) as float32 or 16-bit PCM; ``stated`` is the size of the data in the header."""
    data = wave.astype("<f4").tobytes() if floats else (wave * 32767).astype("<i2").tobytes()
    width = 4 if floats else 2
    size = len(data) if stated is None else stated
    form = (
        3 if floats else 1,
        channels,
        rate,
        rate * width * channels & 0xFFFFFFFF,
        width * channels,
        8 * width,
    )
    riff = struct.pack("<4sI4s", b"RIFF", min(size + 36, 0xFFFFFFFF) if size else 0, b"WAVE")
    path.write_bytes(
        riff + struct.pack("<4sIHHIIHH", b"fmt ", 16, *form) + struct.pack("<4sI", b"data", size) + data
    )
    return path


def png(path: Path, width: int, height: int) -> Path:
    """A black RGB image, whole, of a few bytes per row."""

    def chunk(name: bytes, content: bytes) -> bytes:
        mark = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", mark)

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(3 * width + 1)) for _ in range(height)) + packer.flush()
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b""))
    return path


def last_granule(content: bytes, granule: int) -> bytes:
    """An Ogg file whose last page states another position (RFC 3533, section 6), with its check sum."""
    begin = content.rindex(b"OggS")
    page = bytearray(content[begin:])
    page[6:14] = struct.pack("<q", granule)
    page[22:26] = bytes(4)
    page[22:26] = struct.pack("<I", _ogg_crc(bytes(page)))
    return content[:begin] + bytes(page)


def _ogg_crc(page: bytes) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc
