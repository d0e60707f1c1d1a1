"""Byte ranges of remote files, kept on disk up to a limit."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from xdcbench.progress import log

CACHE_BYTES = 20 << 30
"""Size of the cache unless told otherwise."""

KEPT = 0.9
"""Share of the cache that is left when it is full, so that not every new file has it searched."""


def folder() -> Path:
    """Where ranges are kept: below XDCBENCH_CACHE, or the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("XDCBENCH_CACHE") or Path(user, "xdcbench")) / "ranges"


@dataclass(frozen=True)
class Cache:
    """Ranges of remote files on disk, least recently used gone first; processes share it.

    A range appears under its name by one rename, under a lock. What lies in the folder is counted in a file
    there, before it is written, so that a killed process leaves the count too high, never too low; a full
    cache is counted anew.

    Attributes:
        folder: of the cache; made if absent.
        limit: bytes.
    """

    folder: Path
    limit: int = CACHE_BYTES

    def get(self, name: str, size: int, ask: Callable[[], bytes]) -> bytes:
        """The ``size`` bytes that ``name`` stands for, from disk, or from ``ask`` and then kept."""
        key = hashlib.sha256(name.encode()).hexdigest()
        path = self.folder / key[:2] / key[2:]
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:  # not kept, or gone since
            data = b""
        if len(data) == size:
            return data
        data = ask()
        if size <= self.limit * (1 - KEPT):
            self._keep(path, data)
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        """Count, make room, write; what cannot be written is done without, as the log says."""
        part = path.with_name(f".{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / "lock"):
                self._count(len(data))
                part.write_bytes(data)
                part.replace(path)
        except OSError as error:
            log.warning("%s: nothing is kept (%s)", self.folder, error.strerror)

    def _count(self, more: int) -> None:
        count = self.folder / "bytes"
        total = int(count.read_text(encoding="utf-8") or 0) if count.exists() else 0
        if total + more > self.limit:
            total = self._evict(round(self.limit * KEPT) - more)
        count.write_text(str(total + more), encoding="utf-8")

    def _evict(self, room: int) -> int:
        """Remove the ranges that were not used for longest, down to ``room`` bytes; bytes that are left."""
        entries = []
        for path in self.folder.glob("??/*"):
            facts = path.stat()
            entries.append((facts.st_mtime_ns, facts.st_size, path))
        total = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if total <= room:
                break
            path.unlink()
            total -= size
        return total
