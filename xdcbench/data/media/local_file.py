"""Local files read in parts, with patience: what the file system refuses says nothing about the content."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, TypeVar

from xdcbench.errors import MediaChangedError, MediaUnreachableError
from xdcbench.utils.retry import retry

T = TypeVar("T")

PAUSES = (0.2, 0.6, 1.8)
"""Seconds before the second attempt and each later one."""


class FileState(NamedTuple):
    """Size of a file in bytes and time of its last change in nanoseconds."""

    size: int
    mtime: int


def patiently(path: Path, attempt: Callable[[], T], *, gone: str = "take it out of the dataset") -> T:
    """What ``attempt`` returns, tried again after a pause while the file system refuses.

    Args:
        attempt: raises OSError where it is refused.
        gone: what to do about a file that does not come back.

    Raises:
        MediaUnreachableError: it was refused every time.
    """
    try:
        return retry(attempt, pauses=PAUSES, final=lambda error: not isinstance(error, OSError))
    except OSError as error:
        raise MediaUnreachableError(
            f"media not reachable: {path} ({error.strerror or error}). Try: run the same command again to resume "
            f"when the file can be read; if it is gone for good, {gone}"
        ) from error


def state_of(path: Path) -> FileState:
    """Size and time of change of a file.

    Raises:
        MediaUnreachableError: the file system does not give them.
    """
    return _state(patiently(path, path.stat))


class LocalFile(AbstractContextManager["LocalFile"]):
    """Content of a file (see `Content`); open until ``close``.

    A file that fails to be read is opened anew before it is tried again, since a file system that comes back
    does not know the descriptors from before (ESTALE).

    Args:
        expected: its state as the index saw it; None takes it as it is.

    Raises:
        MediaUnreachableError: the file cannot be opened.
        MediaChangedError: the file is not as expected.
    """

    def __init__(self, path: Path, expected: FileState | None = None) -> None:
        self.path, self.expected = path, expected
        self.file: int | None = None
        patiently(path, self._open)

    def __len__(self) -> int:
        """Bytes."""
        assert self.expected is not None
        return self.expected.size

    def __getitem__(self, part: slice, /) -> bytes:
        """A part, without a step.

        Raises:
            MediaUnreachableError: it cannot be read.
            MediaChangedError: the file is not as it was when it was opened first.
        """
        low, high, _ = part.indices(len(self))
        return patiently(self.path, lambda: self._read(low, high - low))

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self.file is not None:
            os.close(self.file)
        self.file = None

    def _open(self) -> int:
        if self.file is None:
            # Whatever took the file's place, such as a pipe that nobody writes to, is not waited for.
            file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            try:
                self._check(file)
            except BaseException:
                os.close(file)
                raise
            self.file = file
        return self.file

    def _check(self, file: int) -> None:
        found = _state(os.fstat(file))
        if self.expected is None:
            self.expected = found
        elif found != self.expected:
            raise MediaChangedError(_changed(self.path, self.expected, found))

    def _read(self, offset: int, size: int) -> bytes:
        file = self._open()
        try:
            data = os.pread(file, size, offset)
            if len(data) < size:
                self._check(file)
        except OSError:
            self.close()
            raise
        return data


def _state(facts: os.stat_result) -> FileState:
    return FileState(facts.st_size, facts.st_mtime_ns)


def _changed(path: Path, before: FileState, now: FileState) -> str:
    if before.size != now.size:
        what = f"it holds {now.size} bytes, and held {before.size}"
    else:
        what = f"it holds {now.size} bytes as before, but was written at another time"
    return (
        f"media changed since they were indexed: {path} ({what}). Try: run the same command again to index the files "
        f"anew, with --fingerprint content if other content may have the same size"
    )
