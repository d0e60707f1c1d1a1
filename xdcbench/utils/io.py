"""Files that appear whole or not at all, and that outlive a loss of power."""

import hashlib
import os
import re
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from xdcbench.errors import UserError

PART = re.compile(r"\..+\.\d+")
"""Name of a part file: hidden, and ended by the numbers of the machine and the process that write it."""


def part_of(path: Path) -> Path:
    """The part file that becomes ``path``; processes have their own, also those of machines that share a disk."""
    machine = zlib.crc32(socket.gethostname().encode())
    return path.with_name(f".{path.name}.{machine}{os.getpid():08d}")


PAGE = re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE)
"""How a web page begins."""


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Gives a hidden part file next to ``path``, which takes the name ``path`` at the end of the block.

    Where the block fails, the part file goes and ``path`` stays as it was. ``durable`` syncs to the disk. What
    stands there is not written through: a link at either name is replaced.
    """
    part = part_of(path)
    part.unlink(missing_ok=True)
    try:
        yield part
        if durable:
            fsync(part)
        part.replace(path)
        if durable:
            fsync(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def writing(what: object, mend: str) -> Iterator[None]:
    """Around what writes files of the user's.

    Raises:
        UserError: ``what`` cannot be written; it says how to ``mend`` that.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {what}: {error.strerror}; {mend}") from error


def file_hash(path: Path) -> str:
    """Sha256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Make a file's content, or the names in a folder, outlive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def file_system_time(folder: Path) -> float:
    """Seconds since 1970 by the clock that stamps files in ``folder``, which may be a server's.

    It is this machine's where nothing can be written there.
    """
    try:
        with TemporaryFile(dir=folder) as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError:
        return time.time()


def remove_part_files(folder: Path, *, older: float = 0.0) -> None:
    """Remove part files that a killed process left anywhere below ``folder``, unchanged for ``older`` seconds."""
    now = file_system_time(folder)
    for path in folder.rglob(".*"):
        if PART.fullmatch(path.name) and path.is_file() and now - path.stat().st_mtime >= older:
            path.unlink(missing_ok=True)


def drop_links(folder: Path) -> None:
    """Remove every link at or below ``folder``, which is written to: through one, files elsewhere would be."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            path.unlink(missing_ok=True)


def is_web_page(path: Path) -> bool:
    """Whether a file begins as HTML or XML does, as what a server says of a file that it does not give."""
    with path.open("rb") as file:
        return PAGE.match(file.read(256)) is not None
