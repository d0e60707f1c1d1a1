"""Shards: plain tar files, the same bytes for the same members, and a strict walk over them."""

import hashlib
import io
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xdcbench.data.shards.layout import Shard

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)
CHUNK = 1 << 20
NAME = re.compile(r"\d{8,}\.(mp4|wav|flac|jpg|json)")


class ShardError(Exception):
    """A shard that is not as `write_shard` makes it; the message is one line, without the path."""


@dataclass(frozen=True)
class Entry:
    """A member of a shard on disk: offset, size (bytes) and hash are those of its content."""

    name: str
    offset: int
    size: int
    sha256: bytes


def space(size: int) -> int:
    """Bytes that a member of ``size`` bytes takes in a shard."""
    return BLOCK + -(-size // BLOCK) * BLOCK


def write_shard(path: Path, members: Iterable[tuple[str, Path | bytes]]) -> tuple[Shard, list[int]]:
    """Write a tar of the POSIX ustar format without times and owners, whole or not at all (OSError).

    Members are names, and contents or the files that hold them.

    Returns:
        the shard, and where each member's content begins.
    """
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)  # a link there would be written through
    digest, offsets, place = hashlib.sha256(), [], 0
    with part.open("wb") as file:

        def write(data: bytes) -> None:
            nonlocal place
            file.write(data)
            digest.update(data)
            place += len(data)

        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content) if isinstance(content, bytes) else content.stat().st_size
            write(info.tobuf(tarfile.USTAR_FORMAT))
            offsets.append(place)
            with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as source:
                while data := source.read(CHUNK):
                    write(data)
            write(bytes(-info.size % BLOCK))
        write(END)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return Shard(name=path.name, bytes=place, sha256=digest.hexdigest()), offsets


def walk(path: Path) -> Iterator[Entry | str]:
    """The members of a shard in order, and, last, the sha256 of the whole in hex.

    Raises:
        ShardError: it ends early, holds anything but plain files with names of members, or one name twice.
        OSError: it cannot be read.
    """
    whole, names, place = hashlib.sha256(), set(), 0
    with path.open("rb") as file:
        while (header := file.read(BLOCK)) != bytes(BLOCK):
            info = _header(header, place)
            if info.name in names:
                raise ShardError(f"{info.name!r} occurs twice")
            names.add(info.name)
            content, left = hashlib.sha256(), info.size
            whole.update(header)
            while left and (data := file.read(min(left, CHUNK))):
                content.update(data)
                whole.update(data)
                left -= len(data)
            padding = file.read(-info.size % BLOCK)
            whole.update(padding)
            if left or len(padding) != -info.size % BLOCK:
                raise ShardError(f"is cut short within {info.name!r}")
            yield Entry(info.name, place + BLOCK, info.size, content.digest())
            place += space(info.size)
        tail = file.read(BLOCK + 1)
        if tail != bytes(BLOCK):
            raise ShardError("does not end as a tar file does")
        whole.update(header + tail)
    yield whole.hexdigest()


def _header(block: bytes, place: int) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
    except tarfile.HeaderError as error:
        raise ShardError(f"no member begins at byte {place} ({error})") from error
    if not info.isreg():
        kind = "a link" if info.issym() or info.islnk() else "a device" if info.isdev() else "no plain file"
        raise ShardError(f"{info.name!r} is {kind}, which shards never hold")
    if not NAME.fullmatch(info.name):
        raise ShardError(f"{info.name!r} is no name of a member (a number and a known suffix)")
    return info
