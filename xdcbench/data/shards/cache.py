"""Byte ranges of remote files, kept on disk up to a limit."""

import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xdcbench.utils.io import atomic_write, remove_part_files
from xdcbench.utils.locks import NoLocksError, lock
from xdcbench.utils.progress import log

CACHE_BYTES = 20 << 30
"""Size of the cache unless told otherwise."""

RANGES = "ranges"
"""Their folder in the user's cache folder."""

SUM = 4
"""Bytes after each range: its CRC-32, by which a damaged one is not taken for what was asked for."""

PART_SECONDS = 3600
"""Age of a part file whose process is taken for gone."""

KEPT = 0.9
"""Share of the cache that is left when it is full, so that not every new file has it searched."""


@dataclass(frozen=True)
class Cache:
    """Ranges of remote files on disk, least recently used gone first; processes share it.

    A range appears under its name by one rename, under a lock; one that is damaged is asked for again. What lies in
    the folder is counted in a file there, before it is written, so that a killed process leaves the count too
    high, never too low; a full cache is counted anew, and so is one whose count is lost. ``limit`` is in bytes.
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
        if len(data) == size + SUM:
            kept, mark = data[:size], data[size:]
            if mark == _sum(kept):
                return kept
            log.warning("%s is damaged; it is asked for again", path)
        data = ask()
        if size + SUM <= self.limit * (1 - KEPT):
            self._keep(path, data + _sum(data))
        return data

    def _keep(self, path: Path, data: bytes) -> None:
        """Count, make room, write; what cannot be written is done without, as the log says."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with lock(self.folder / "lock", waiting=""), atomic_write(path) as part:
                self._count(len(data))
                part.write_bytes(data)
        except (OSError, NoLocksError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            log.warning("%s: nothing is kept (%s)", self.folder, said)

    def _count(self, more: int) -> None:
        count = self.folder / "bytes"
        try:
            total = int(count.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # of a new cache there is none
            total = self._evict(self.limit)
        if total + more > self.limit:
            total = self._evict(round(self.limit * KEPT) - more)
        with atomic_write(count) as part:
            part.write_text(str(total + more), encoding="utf-8")

    def _evict(self, room: int) -> int:
        """Remove the ranges that were not used for longest, down to ``room`` bytes; bytes that are left."""
        remove_part_files(self.folder, older=PART_SECONDS)
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


def _sum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(SUM, "big")
