"""Float32 matrices that several processes make block by block, and go on making after a kill.

Each block of rows is a file of its own, written by one process and renamed into place. No two processes write to
one file, so that this holds on a network file system, too.
"""

import json
import logging
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from xdcbench.utils.arrays import load_array
from xdcbench.utils.disk import explain_full_disk
from xdcbench.utils.distributed import barrier, contiguous_shard, on_main_process
from xdcbench.utils.io import atomic_write

log = logging.getLogger("xdcbench")

Name = TypeVar("Name", bound=str)

FLOAT = np.dtype("<f4")

FAILED = "failed"
"""Array of a block's file: the reasons, as JSON."""

FILES = 4096
"""Blocks of a matrix at most: a kill costs no more than one, and a folder of them stays easy on a file system."""


def block_of(rows: int, batch: int) -> int:
    """Rows of a block: whole batches, so few that there are at most ``FILES`` blocks."""
    return batch * max(1, math.ceil(rows / (batch * FILES)))


class Blocks(Generic[Name]):
    """Matrices with as many rows as each other, ``<folder>/<name>.npy``, made of blocks of rows.

    A block is there once its file, ``<folder>/blocks/<first row>-<end>-of-<rows>.npz``, can be read: the file
    appears whole, and as a zip archive it holds the CRC-32 of each array. Killed at any moment, the next attempt makes
    the blocks that are missing or damaged, with any number of processes.

    Args:
        folder: made here; what an earlier attempt left is used if its shapes are the same.
        widths: columns of each matrix.
        shape: of the rows; the matrices are (*shape, width).
        block: rows of a block. Blocks are the same for every number of processes.
    """

    def __init__(
        self, folder: Path, widths: Mapping[Name, int], shape: tuple[int, ...], *, block: int
    ) -> None:
        self.folder, self.widths, self.shape, self.block = folder, widths, shape, block
        self.rows = math.prod(shape)
        (folder / "blocks").mkdir(parents=True, exist_ok=True)

    def missing(self) -> list[range]:
        """Blocks of this process's share that are not there, as positions of rows."""
        return [rows for rows in self._blocks(contiguous_shard(self.rows, self.block)) if not self._has(rows)]

    def put(self, rows: range, values: Mapping[Name, np.ndarray], failed: Mapping[int, str]) -> None:
        """Write one of the ``missing`` blocks.

        Args:
            values: float32 (len(rows), width) of each matrix.
            failed: reasons to keep, by any number.

        Raises:
            UserError: the disk is full.
        """
        reasons = np.frombuffer(json.dumps(dict(failed)).encode(), np.uint8)
        arrays: dict[str, Any] = {FAILED: reasons, **{name: part for name, part in values.items()}}
        size = sum(part.nbytes for part in values.values())
        with (
            explain_full_disk(self.folder, size),
            atomic_write(self._path(rows)) as building,
            building.open("wb") as file,
        ):
            np.savez(file, **arrays)

    def whole(self) -> tuple[dict[Name, np.ndarray], dict[int, str]]:
        """All matrices, mapped, and all reasons; to be called by all processes."""
        barrier()
        failed = on_main_process(self._join)
        return {name: mapped(self._matrix(name)) for name in self.widths}, failed

    def _join(self) -> dict[int, str]:
        """Write the matrices, one block in memory at a time; all reasons."""
        blocks = list(self._blocks(range(self.rows)))
        assert all(self._path(rows).exists() for rows in blocks), "a process left before its share was done"
        for name, width in self.widths.items():
            write_rows(self._matrix(name), (*self.shape, width), (self._array(rows, name) for rows in blocks))
        return {
            int(row): reason
            for rows in blocks
            for row, reason in json.loads(self._array(rows, FAILED).tobytes()).items()
        }

    def _blocks(self, rows: range) -> Iterator[range]:
        return (rows[begin : begin + self.block] for begin in range(0, len(rows), self.block))

    def _has(self, rows: range) -> bool:
        """Whether a block is there, as it was written."""
        if not self._path(rows).exists():
            return False
        try:
            json.loads(self._array(rows, FAILED).tobytes())
            return all(
                self._array(rows, name).shape == (len(rows), width) for name, width in self.widths.items()
            )
        except Exception:  # each kind of damage has one of its own
            log.warning("%s is damaged; it is made again", self._path(rows))
            return False

    def _array(self, rows: range, name: str) -> np.ndarray:
        """An array of a block's file; reading it to the end checks its CRC-32."""
        with np.load(self._path(rows), allow_pickle=False) as kept:
            array: np.ndarray = kept[name]
            return array

    def _path(self, rows: range) -> Path:
        return self.folder / "blocks" / f"{rows.start}-{rows.stop}-of-{self.rows}.npz"

    def _matrix(self, name: str) -> Path:
        return self.folder / f"{name}.npy"


def write_rows(path: Path, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> np.ndarray:
    """Write a matrix from its rows, some at a time, so that it need not fit in memory, and map it.

    Raises:
        UserError: the disk is full.
    """
    header = {"descr": FLOAT.str, "fortran_order": False, "shape": shape}
    size = math.prod(shape) * FLOAT.itemsize
    with explain_full_disk(path.parent, size), atomic_write(path) as building, building.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=FLOAT).data)
    return mapped(path)


def mapped(path: Path) -> np.ndarray:
    """The matrix in a file, read as it is used.

    It may exceed memory. A mapping that can be written to, be it private, counts as memory for Linux, which refuses it.

    Raises:
        UserError: it is missing or damaged.
    """
    array: np.ndarray = load_array(path, mmap_mode="r").view(np.ndarray)
    return array


def mapped_tensor(array: np.ndarray) -> Tensor:
    """Rows of a mapped matrix as a tensor that shares their memory. Writing to it ends the process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)
