"""Arrays and tables from files that may be damaged: read whole, or refused in one line with the path and the fix."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xdcbench.errors import UserError
from xdcbench.utils.documents import RESTORE
from xdcbench.utils.messages import first_line

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def load_array(path: Path, *, mmap_mode: Literal["r"] | None = None, fix: str = RESTORE) -> np.ndarray:
    """The array of an ``.npy`` file; nothing is unpickled, and its size is checked before room is made for it.

    Raises:
        UserError: the file is missing, cut short, or holds no plain array.
    """
    try:
        with path.open("rb") as file:
            shape, _, kind = HEADERS[np.lib.format.read_magic(file)](file)
            begin = file.tell()
        size, stated = path.stat().st_size, begin + math.prod(shape) * kind.itemsize
        if not kind.hasobject and size == stated:
            array: np.ndarray = np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
            return array
        reason = "it holds objects" if kind.hasobject else f"{size} of {stated} bytes"
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}). Try: {fix}") from error
    except Exception as error:  # NumPy's own words advise to read it all the same
        raise UserError(f"{path} is no array, or its header is damaged. Try: {fix}") from error
    raise UserError(f"{path} is damaged: {reason}. Try: {fix}")


def read_table(path: Path, columns: Sequence[str] | None = None, *, fix: str = RESTORE) -> pd.DataFrame:
    """The table of a Parquet file; checksums of its pages are compared where it has any.

    Raises:
        UserError: the file is missing or damaged, or has no such column.
    """
    with _readable(path, fix):
        wanted = None if columns is None else list(columns)
        return pd.read_parquet(path, columns=wanted, page_checksum_verification=True)


def table_parts(path: Path, columns: Sequence[str], *, fix: str = RESTORE) -> Iterator[pa.RecordBatch]:
    """These columns of the table of a Parquet file, some rows at a time; otherwise as ``read_table``."""
    with _readable(path, fix), pq.ParquetFile(path) as file:
        if lost := [name for name in columns if name not in file.schema_arrow.names]:
            raise ValueError(f"no column {lost[0]}")
        yield from file.iter_batches(columns=list(columns))


@contextmanager
def _readable(path: Path, fix: str) -> Iterator[None]:
    if path.is_dir():  # which pandas reads as a table in parts
        raise UserError(f"{path} is a folder, no table. Try: {fix}")
    try:
        yield
    except Exception as error:  # of Arrow, of pandas for its metadata, of the system
        raise UserError(f"{path} cannot be read ({first_line(error)}). Try: {fix}") from error
