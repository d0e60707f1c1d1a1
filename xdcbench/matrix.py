"""Float32 matrices in ``.npy`` files that several processes fill together, and go on filling after a kill.

Each process writes a contiguous share of the rows that begins and ends on a page of the file, by ``pwrite`` and
never through a mapping. No page is then dirty in two processes, so that on a network file system, which writes
back whole pages, none can undo what another wrote. Files are mapped only after all have been closed, at a barrier.
"""

import json
import logging
import math
import os
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar

import numpy as np

from xdcbench.disk import room
from xdcbench.distributed import barrier, leads, rank, span
from xdcbench.errors import UserError
from xdcbench.utils.arrays import load_array

log = logging.getLogger("xdcbench")

Name = TypeVar("Name", bound=str)

PAGE = 4096
"""Bytes; also of the header, so that the first row begins a page."""

FLOAT = np.dtype("<f4")
SUM = len("01234567 ")
"""Bytes of the CRC-32 before a line of a journal."""

CHUNK = 8192
"""Rows that ``spread`` makes at a time."""


class Filling(AbstractContextManager["Filling[Name]"], Generic[Name]):
    """Matrices with as many rows as each other, ``<folder>/<name>.npy``, filled in blocks of rows.

    A block is there once a line of this process's journal, ``<folder>/journal/<process>.jsonl``, says so, which
    is written after the rows have reached the disk, with their CRC-32 and its own. Killed at any moment, the next
    attempt fills what is not there, or damaged, with any number of processes. All processes must enter and leave
    together.

    Args:
        folder: made here; what an earlier attempt left is used if its shapes are the same.
        widths: columns of each matrix.
        shape: of the rows; the files are (*shape, width).
        block: rows of a block. Blocks are the same for every number of processes.
    """

    def __init__(
        self, folder: Path, widths: Mapping[Name, int], shape: tuple[int, ...], *, block: int
    ) -> None:
        self.folder, self.rows, self.block = folder, math.prod(shape), block
        self.shapes = {name: (*shape, width) for name, width in widths.items()}

    def __enter__(self) -> Self:
        if leads():
            self._prepare()
        barrier()
        self.done = _journalled(self.folder)
        self.failed = _reasons(self.done)
        barrier()  # nobody writes before everybody has read
        self.files = {name: os.open(_path(self.folder, name), os.O_RDWR) for name in self.shapes}
        own = self.folder / "journal" / f"{rank()}.jsonl"
        self.journal = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return self

    def __exit__(self, *exception: object) -> None:
        for file in (*self.files.values(), self.journal):
            os.close(file)

    def missing(self) -> list[range]:
        """Blocks of this process's share that are not there, as positions of rows."""
        mine = span(self.rows, max(self.block, *(rows_to_page(shape[-1]) for shape in self.shapes.values())))
        blocks = (range(begin, mine.stop)[: self.block] for begin in mine[:: self.block])
        return [block for block in blocks if not self._has(block)]

    def _has(self, block: range) -> bool:
        """Whether a block is there, as it was written."""
        entry = self.done.get(block.start)
        if entry is None:
            return False
        for name, (*_, width) in self.shapes.items():
            row = width * FLOAT.itemsize
            there = os.pread(self.files[name], len(block) * row, PAGE + block.start * row)
            if zlib.crc32(there) != entry["sums"].get(name):
                log.warning(
                    "%s: rows %d to %d are damaged; they are made again",
                    _path(self.folder, name),
                    block.start,
                    block.stop - 1,
                )
                return False
        return True

    def put(self, rows: range, values: Mapping[Name, np.ndarray], failed: Mapping[int, str]) -> None:
        """Write one of the ``missing`` blocks.

        Args:
            rows: the block.
            values: float32 (len(rows), width) of each matrix.
            failed: reasons to keep, by any number.

        Raises:
            UserError: the disk is full.
        """
        for name, part in values.items():
            file = self.files[name]
            _write(file, self.folder, _bytes(part), at=PAGE + rows.start * part.shape[1] * FLOAT.itemsize)
            with room(self.folder, part.nbytes):
                os.fdatasync(file)
        # The first line end ends what a kill may have left of the line before.
        sums = {name: zlib.crc32(_bytes(part)) for name, part in values.items()}
        line = json.dumps({"block": rows.start, "failed": failed, "sums": sums}).encode()
        _write(self.journal, self.folder, b"\n" + summed(line) + b"\n")

    def whole(self) -> tuple[dict[Name, np.ndarray], dict[int, str]]:
        """All matrices, mapped, and all reasons; to be called by all processes after the ``with`` block."""
        barrier()
        done = _journalled(self.folder)
        assert done.keys() == set(range(0, self.rows, self.block)), "a process left before its share was done"
        return {name: mapped(_path(self.folder, name)) for name in self.shapes}, _reasons(done)

    def _prepare(self) -> None:
        """Make the files, unless an earlier attempt did."""
        journal = self.folder / "journal"
        if journal.is_dir() and all(
            _has_shape(_path(self.folder, name), shape) for name, shape in self.shapes.items()
        ):
            return
        if journal.is_dir():
            log.warning("%s: its files are damaged; they are made again", self.folder)
        shutil.rmtree(journal, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, shape in self.shapes.items():
            create(_path(self.folder, name), shape)
        journal.mkdir()


def spread(path: Path, rows: int, width: int, make: Callable[[range], np.ndarray]) -> np.ndarray:
    """A matrix of which each process makes its share, mapped whole; a share need not fit in memory.

    Args:
        path: of the file; one that is there is replaced.
        rows: of the matrix.
        width: columns.
        make: float32 (len(range), width) for a range of rows, ``CHUNK`` at most.
    """
    if leads():
        create(path, (rows, width))
    barrier()
    file = os.open(path, os.O_WRONLY)
    try:
        mine = span(rows, rows_to_page(width))
        for begin in mine[::CHUNK]:
            part = make(range(begin, mine.stop)[:CHUNK])
            _write(file, path.parent, _bytes(part), at=PAGE + begin * width * FLOAT.itemsize)
    finally:
        os.close(file)
    barrier()
    return mapped(path)


def rows_to_page(width: int) -> int:
    """The fewest rows, a power of 2, that fill whole pages."""
    return PAGE // math.gcd(PAGE, width * FLOAT.itemsize)


def create(path: Path, shape: tuple[int, ...]) -> None:
    """Make a new sparse file of zeros with an ``.npy`` header of one page."""
    path.unlink(missing_ok=True)  # the old one may be mapped still, and is not cut off under its readers
    magic = np.lib.format.magic(1, 0)
    said = repr({"descr": FLOAT.str, "fortran_order": False, "shape": shape}).encode()
    length = PAGE - len(magic) - 2
    with room(path.parent, PAGE), path.open("wb") as file:
        file.write(magic + length.to_bytes(2, "little") + said.ljust(length - 1) + b"\n")
        file.truncate(PAGE + math.prod(shape) * FLOAT.itemsize)


def mapped(path: Path) -> np.ndarray:
    """The matrix in a file, read as it is used; what is assigned to it stays in this process.

    Raises:
        UserError: it is missing or damaged.
    """
    # An empty range cannot be mapped.
    mode: Literal["c"] | None = "c" if path.is_file() and path.stat().st_size > PAGE else None
    array: np.ndarray = load_array(path, mmap_mode=mode).view(np.ndarray)
    return array


def _bytes(part: np.ndarray) -> memoryview:
    return memoryview(np.ascontiguousarray(part, dtype=FLOAT)).cast("B")  # type: ignore[arg-type]


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.npy"


def _has_shape(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        found = mapped(path)
    except UserError:
        return False
    return found.shape == shape and found.dtype == FLOAT


def _journalled(folder: Path) -> dict[int, dict[str, Any]]:
    """Entries of the blocks that are there by their first rows, as far as lines are whole; the last of each counts."""
    return {entry["block"]: entry for entry in _entries(folder)}


def _reasons(done: Mapping[int, dict[str, Any]]) -> dict[int, str]:
    return dict(sorted((int(row), why) for entry in done.values() for row, why in entry["failed"].items()))


def _entries(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted((folder / "journal").iterdir(), key=lambda path: path.stat().st_mtime_ns):
        for line in path.read_bytes().splitlines():
            content = line[SUM:]
            if content and line == summed(content):  # else cut off or damaged: its block is made again
                yield json.loads(content)


def summed(line: bytes) -> bytes:
    """A line of a journal behind its CRC-32."""
    return b"%08x %b" % (zlib.crc32(line), line)


def _write(file: int, folder: Path, data: memoryview | bytes, *, at: int | None = None) -> None:
    """Write all of ``data`` at a place of the file, or at its end."""
    left = memoryview(data).cast("B")
    while len(left):
        with room(folder, len(left)):
            written = os.write(file, left) if at is None else os.pwrite(file, left, at)
        left, at = left[written:], None if at is None else at + written
