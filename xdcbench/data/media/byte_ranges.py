"""Content of which only parts are read: bytes in memory, or a stretch of a file that stays where it is."""

import errno
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from xdcbench.errors import UserError

LARGEST = 1 << 44
"""Bytes of the largest file of ext4. Damaged headers name places beyond, which a file system refuses."""


class Content(Protocol):
    """What bytes and views of them can do, and what `Stretch` can."""

    def __len__(self) -> int:
        """Bytes in all."""

    def __getitem__(self, part: slice, /) -> bytes | memoryview:
        """A part, without a step."""


@dataclass(frozen=True)
class Stretch:
    """``size`` bytes from ``begin`` in a file, of which ``read(offset, size)`` reads a part when it is asked for."""

    read: Callable[[int, int], bytes]
    begin: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        low, high, _ = part.indices(self.size)
        return self.read(self.begin + low, high - low) if low < high else b""

    def __bytes__(self) -> bytes:
        return self[:]


class Stream(io.RawIOBase):
    """Content as a seekable file.

    FFmpeg takes what cannot be read for the end of the file, or continues without. So a failure looks like the end,
    and is kept for who opened the file to raise.

    Attributes:
        name: what FFmpeg may guess the format from, next to the content.
        failure: why a part could not be read; None where all could.
    """

    def __init__(self, content: Content, name: str = "") -> None:
        self.content, self.name, self.place = content, name, 0
        self.failure: UserError | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """As of any file; a place that no file has is refused by a negative number, after which FFmpeg reads on."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: len(self.content)}[whence]
        if not 0 <= base + offset < LARGEST:
            return -errno.EINVAL
        self.place = base + offset
        return self.place

    def read(self, size: int = -1) -> bytes:
        """``size`` bytes, fewer at the end, all without ``size``; none where the content cannot be read."""
        end = len(self.content)
        stop = end if size is None or size < 0 else min(end, self.place + size)
        try:
            data = bytes(self.content[self.place : stop]) if self.place < stop and not self.failure else b""
        except UserError as error:
            self.failure, data = error, b""
        self.place += len(data)
        return data
