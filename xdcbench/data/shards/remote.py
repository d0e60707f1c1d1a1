"""Byte ranges of the files of shards, from disk or, asked for with patience, from a server."""

import os
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http.client import responses
from pathlib import Path
from typing import Any

from xdcbench.data.media.byte_ranges import Content, Stretch
from xdcbench.data.media.local_file import patiently
from xdcbench.data.shards.cache import Cache
from xdcbench.errors import MediaUnreachableError, UserError
from xdcbench.utils.progress import log
from xdcbench.utils.retry import retry
from xdcbench.utils.secrets import redact

BLOCK = tarfile.BLOCKSIZE
"""Bytes of a member's header, which lies right before its content."""

FINAL = (PermissionError, NotImplementedError)
AGAIN = (408, 425, 429)
"""What asking again does not mend, and the refusals of servers, of 400 to 499, that it does."""

GONE = (404, 410)
"""Statuses of what is not there."""

CUT = "ClientPayloadError"
"""aiohttp's error of an answer that is cut short; its cause bears a status of 400 that no server sent."""


class NotThere(MediaUnreachableError):
    """A file that the server says it does not have."""


@dataclass(frozen=True)
class LocalFiles:
    """Files below a folder, by their paths.

    A range is read, not mapped: a file that is cut short under a mapping kills the process that looks. ``fix`` is what
    puts a file right; empty: preparing again.
    """

    root: Path
    fix: str = ""

    def size(self, path: str) -> int:
        """Bytes of a file; UserError where there is none."""
        try:
            return (self.root / path).stat().st_size
        except OSError as error:
            raise UserError(f"{self.name(path)}: {error.strerror}; {self._mend(path)}") from error

    def read(self, path: str, offset: int, size: int, mark: str = "") -> bytes:
        """``size`` bytes from ``offset``; UserError where they are not all there."""
        end, data = patiently(self.root / path, lambda: self._read(path, offset, size), gone=self._mend(path))
        if len(data) < size:
            raise self._short(path, end, offset + size)
        return data

    def member(self, path: str, offset: int, size: int, mark: str) -> tuple[bytes, Content]:
        """The `BLOCK` bytes before ``offset`` and the ``size`` bytes from there; UserError as ``read``.

        Of a long video, little is read for a clip.
        """
        end = patiently(self.root / path, lambda: (self.root / path).stat().st_size, gone=self._mend(path))
        if end < offset + size:
            raise self._short(path, end, offset + size)
        header = self.read(path, offset - BLOCK, BLOCK)
        return header, Stretch(partial(self.read, path), offset, size)

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return (self.root / path).is_file()

    def name(self, path: str) -> str:
        """What messages call a file."""
        return str(self.root / path)

    def _read(self, path: str, offset: int, size: int) -> tuple[int, bytes]:
        """Bytes of the whole file, and those asked for, as far as they are there."""
        file = os.open(self.root / path, os.O_RDONLY)
        try:
            return os.fstat(file).st_size, os.pread(file, size, offset)
        finally:
            os.close(file)

    def _short(self, path: str, end: int, least: int) -> UserError:
        return UserError(
            f"{self.name(path)} is cut short: {end} of at least {least} bytes; {self._mend(path)}"
        )

    def _mend(self, path: str) -> str:
        return self.fix or mend(path)


@dataclass
class RemoteFiles:
    """The same below an address that fsspec knows (s3://, gs://, http://, ...), read by range requests.

    Attributes:
        url: of the shards.
        cache: where ranges are kept; None keeps none.
        attempts: times that a range is asked for.
        silence: seconds that one answer may take; all attempts end before a reading process counts as stalled.
        pause: seconds before the second attempt; doubled before each later one.
    """

    url: str
    cache: Cache | None = None
    attempts: int = 4
    silence: float = 20.0
    pause: float = 0.5
    _system: tuple[int, Any, str] | None = field(default=None, repr=False)

    def size(self, path: str) -> int:
        """As of `LocalFiles`."""
        return int(self._asked(path, "info", lambda found: _size(found), gone_is_final=True))

    def read(self, path: str, offset: int, size: int, mark: str = "") -> bytes:
        """As of `LocalFiles`; from the cache where it has them of this edition of the file, its ``mark``."""

        def ask() -> bytes:
            span: dict[str, Any] = {"start": offset, "end": offset + size}
            return bytes(self._asked(path, "cat_file", lambda found: _whole(found, size), **span))

        if self.cache is None or not mark:
            return ask()
        return self.cache.get(f"{self.url}/{path} {mark} {offset} {size}", size, ask)

    def member(self, path: str, offset: int, size: int, mark: str) -> tuple[bytes, Content]:
        """As of `LocalFiles`; asked for at once, since each request takes its time."""
        data = memoryview(self.read(path, offset - BLOCK, BLOCK + size, mark))
        return bytes(data[:BLOCK]), data[BLOCK:]

    def has(self, path: str) -> bool:
        """As of `LocalFiles`; raises as ``size`` where the server does not answer."""
        try:
            self.size(path)
        except NotThere:
            return False
        return True

    def name(self, path: str) -> str:
        """As of `LocalFiles`, without secrets."""
        return redact(f"{self.url}/{path}")

    def _asked(
        self, path: str, what: str, check: Callable[[Any], Any], *, gone_is_final: bool = False, **values: Any
    ) -> Any:
        """Answer of the server, asked again, after a pause, where it failed, stalled or was cut short.

        Raises:
            MediaUnreachableError: the last attempt failed, or one did that asking again does not mend; what is not
                there may come back, unless ``gone_is_final``.
        """
        system, root = self._opened()
        attempts = 0

        def ask() -> Any:
            nonlocal attempts
            attempts += 1
            return check(_call(system, what, f"{root}/{path}", self.silence, values))

        def tell(error: Exception, pause: float) -> None:
            log.info("%s: %s; asking again in %g s", self.name(path), self._words(error), pause)

        try:
            return retry(
                ask,
                pauses=[self.pause * 2**number for number in range(self.attempts - 1)],
                final=lambda error: _final(error) or (gone_is_final and _gone(error)),
                told=tell,
            )
        except Exception as error:  # each kind of server has errors of its own
            times = f" after {attempts} attempts" if attempts > 1 else ""
            kind = NotThere if _gone(error) else MediaUnreachableError
            raise kind(
                f"{self.name(path)}: {self._words(error)}{times}; {mend(path)}, or check the address and server"
            ) from None  # whose words may hold secrets

    def _opened(self) -> tuple[Any, str]:
        """The file system, and the shards' path in it; the thread in which fsspec asks survives no fork."""
        from fsspec.core import url_to_fs

        if self._system is None or self._system[0] != os.getpid():
            try:
                system, root = url_to_fs(self.url, skip_instance_cache=True)
            except Exception as error:  # of what reads it
                raise UserError(
                    f"{redact(self.url)}: {self._words(error)}; mend the address, or install what reads it (for s3://: "
                    "xdcbench[s3])"
                ) from None  # whose words may hold secrets
            self._system = os.getpid(), system, str(root).rstrip("/")
        return self._system[1:]

    def _words(self, error: Exception) -> str:
        return redact(_words(error), self.url)


def _call(system: Any, what: str, place: str, silence: float, values: dict[str, Any]) -> Any:
    """Ask once; file systems that are not asynchronous have time limits of their own."""
    from fsspec.asyn import AsyncFileSystem, sync

    if isinstance(system, AsyncFileSystem):
        return sync(system.loop, getattr(system, f"_{what}"), place, timeout=silence, **values)
    return getattr(system, what)(place, **values)


def _size(found: dict[str, Any]) -> int:
    if found.get("size") is None:
        raise OSError("the server does not tell its size")
    return int(found["size"])


def _whole(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise OSError(f"{len(data)} of {size} bytes came")
    return data


def _status(error: BaseException | None) -> int | None:
    """Status of a server's answer that an error, or what it came from, tells."""
    while error is not None and type(error).__name__ != CUT:
        found = getattr(error, "status", None) or getattr(error, "code", None)
        if isinstance(found, int) and 100 <= found < 600:
            return found
        error = error.__cause__
    return None


def _gone(error: Exception) -> bool:
    """Whether a file is not there; fsspec says so, too, of what a server forbids."""
    status = _status(error)
    return status in GONE or (isinstance(error, FileNotFoundError) and status is None)


def _final(error: Exception) -> bool:
    """Whether asking again does not mend it."""
    status = _status(error)
    refused = status is not None and 400 <= status < 500 and status not in AGAIN
    return refused or (isinstance(error, FINAL) and status is None)


def _words(error: Exception) -> str:
    if _gone(error):
        return "is not there"
    if status := _status(error):
        return f"the server answers {status} {responses.get(status, '')}".rstrip()
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__


Files = LocalFiles | RemoteFiles


def mend(path: str) -> str:
    """What puts a file of shards right."""
    return "run `xdcbench data prepare` again" if path.startswith("shards/") else "prepare the dataset again"


def files_at(where: str, cache: Cache | None) -> Files:
    """The files of the shards at a folder or an address."""
    if "://" not in where:
        return LocalFiles(Path(where))
    if where.startswith("file://"):
        return LocalFiles(Path(where.removeprefix("file://")))
    return RemoteFiles(where.rstrip("/"), cache)
