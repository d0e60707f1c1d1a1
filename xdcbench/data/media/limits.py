"""Limits of what is opened and decoded; a file beyond them is an unreadable item.

They bound time and memory before anything large is read: a header of a few bytes can state a sample rate of
2 GHz, an image of a billion pixels or a length of ten hours.
"""

import io
from pathlib import Path
from typing import IO

from PIL import Image

from xdcbench.errors import MediaError

PIXELS = 1 << 26
"""Width times height of a frame or image: twice 8K video."""
SAMPLE_RATES = (1_000, 768_000)
"""Lowest and highest sample rate, Hz."""
CHANNELS = 64
"""Channels of audio."""
IMAGE_BYTES = 256 << 20
"""Size of an image's file."""
SECONDS = 600.0
"""Length that a file of any size may have."""
BYTES_PER_SECOND = 10
"""Bytes that each second of a longer file takes at least: silence in FLAC takes twice that."""
LOUDEST = 2.0**16
"""Largest magnitude of a floating-point sample; full scale is 1, and 2**15 that of 16 bits left unscaled."""


IMAGE_HEAD = 12
"""Bytes from which `is_image_content` tells."""


def is_image_content(head: bytes) -> bool:
    """Whether a file that begins so is a PNG, JPEG, BMP, TIFF or WebP, whatever its name."""
    magic = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*")
    return head.startswith(magic) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def check_pixels(path: Path, width: int, height: int) -> None:
    """Raise MediaError for an image or frame of more than `PIXELS`."""
    if width * height > PIXELS:
        raise MediaError(path, f"states {width} x {height} pixels; the limit is {PIXELS} pixels")


def check_audio(path: Path, rate: int, channels: int) -> None:
    """Raise MediaError for a rate outside `SAMPLE_RATES`, but for 0, which is unknown, or more than `CHANNELS`."""
    low, high = SAMPLE_RATES
    if rate and not low <= rate <= high:
        raise MediaError(path, f"states a sample rate of {rate} Hz; the limits are {low} and {high} Hz")
    if channels > CHANNELS:
        raise MediaError(path, f"states {channels} channels; the limit is {CHANNELS}")


def check_seconds(path: Path, seconds: float, size: int) -> None:
    """Raise MediaError for time stamps that make a file of ``size`` bytes longer than it can be."""
    limit = max(SECONDS, size / BYTES_PER_SECOND)
    if seconds > limit:
        raise MediaError(
            path,
            f"its time stamps are wrong: they span {seconds:.0f} s; the limit for its {size} bytes is {limit:.0f} s",
        )


def check_image(path: Path, file: IO[bytes]) -> None:
    """Raise MediaError for an image of more than `IMAGE_BYTES`, or whose header states more than `PIXELS`.

    What is no image passes. ``file`` is at its start, and is left there.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    if size > IMAGE_BYTES:
        raise MediaError(path, f"holds {size} bytes; the limit for an image is {IMAGE_BYTES} bytes")
    try:
        with Image.open(file) as image:  # reads the header alone
            check_pixels(path, *image.size)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limits
        raise MediaError(path, f"{error} Here, the limit is {PIXELS} pixels") from error
    except (OSError, ValueError, SyntaxError):  # what Pillow raises for what is no image
        pass
    finally:
        file.seek(0)
