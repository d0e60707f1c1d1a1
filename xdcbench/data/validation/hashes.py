"""Perceptual hashes of frames, which survive another encoding, size or brightness."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray
from scipy.fft import dctn

from xdcbench.data.local import LocalDataset
from xdcbench.data.media.container import opened, video_stream
from xdcbench.data.media.video import CLOCK_SLACK, timed
from xdcbench.data.survey import survey
from xdcbench.errors import MediaError

EVERY = 1.0
"""Seconds between two frames that are hashed."""
SIDE = 32
"""Side of the gray frame that is transformed, pixels."""
LOW = 8
"""Side of the block of low frequencies that is kept."""
FLAT = 8.0
"""Standard deviation of gray levels, of 255, below which a frame is left out: fades, blank screens."""
ROWS, COLUMNS = 256, 2048
"""Hashes compared at once: 4 MB of differences, which stay in a core's cache."""
DIGITS = 16
VERSION = 2
"""Of the hashes that are kept; to be raised by any change of the frames that are taken or of their hashes."""

Hashes = NDArray[np.uint64]


def frame_hashes(path: Path) -> Iterator[int]:
    """Hashes of one upright frame a second, without flat ones.

    Raises:
        MediaError: the file has no frame or cannot be read.
    """
    with opened(path) as container:
        stream = video_stream(container)
        if stream is None:
            raise MediaError(path, "no video stream")
        scaler, due = VideoReformatter(), -np.inf
        for time, frame in timed(container, stream, 0.0, sought=False):
            if frame is None or time + CLOCK_SLACK < due:
                continue
            due = time + EVERY
            gray = scaler.reformat(frame, width=SIDE, height=SIDE, format="gray", threads=1).to_ndarray()
            if gray.std() >= FLAT:
                yield perceptual_hash(np.rot90(gray, k=round(frame.rotation / 90)))


def perceptual_hash(gray: NDArray[Any]) -> int:
    """64 bits of a (SIDE, SIDE) frame: which of its low frequencies exceed their median.

    Row by row of the 8 x 8 block of the cosine transform (DCT-II), whose mean, the first, is not in the median.
    """
    low = dctn(gray.astype(np.float64))[:LOW, :LOW].ravel()
    return int.from_bytes(np.packbits(low > np.median(low[1:])).tobytes(), "big")


def look(path: str) -> dict[str, Any]:
    """Row of a survey: the hashes in hexadecimal digits, one after another, or why there are none."""
    try:
        return {"hashes": "".join(f"{value:0{DIGITS}x}" for value in frame_hashes(Path(path)))}
    except MediaError as error:
        return {"error": error.reason}


def hashes(data: LocalDataset, part: str, *, workers: int, limit: float) -> tuple[Hashes, NDArray[np.int64]]:
    """Hashes of all items of a part, kept as ``hashes-<part>.parquet``, and the row of the item of each.

    Args:
        data: the dataset.
        part: "train" or "test" of any split, or "all".
        workers: number of processes that decode.
        limit: seconds that one file may take.

    Returns:
        uint64 (n,) and int64 (n,), ascending.
    """
    found = survey(
        data.part(part),
        data.root,
        look,
        kept=data.folder / f"hashes-{part}.parquet",
        types={"hashes": "string"},
        workers=workers,
        limit=limit,
        label=f"hashing {data.name}",
        version=VERSION,
    )
    texts = found["hashes"].fillna("")
    values = np.frombuffer(bytes.fromhex("".join(texts)), dtype=">u8").astype(np.uint64)
    return values, np.repeat(np.arange(len(texts)), texts.str.len().to_numpy(dtype=np.int64) // DIGITS)


def shared(
    a: Hashes,
    rows_a: NDArray[np.int64],
    b: Hashes,
    rows_b: NDArray[np.int64],
    *,
    bits: int,
    frames: int,
    workers: int,
) -> pd.DataFrame:
    """Pairs of items of which at least ``frames`` frames of each are in the other, or all where it has fewer.

    Args:
        a: uint64 hashes of one dataset.
        rows_a: int64, ascending, the item of each.
        b: of the other.
        rows_b: likewise.
        bits: differing bits up to which two frames count as one.
        frames: that must be found.
        workers: number of threads.

    Returns:
        int64 columns a and b (rows of items) and frames (how many are shared), sorted by a and b.
    """
    starts = np.flatnonzero(np.diff(rows_a, prepend=-1))
    chunks = np.unique(starts[np.searchsorted(starts, np.arange(0, len(a), ROWS), side="right") - 1])

    def compare(begin: int, end: int) -> pd.DataFrame:
        return _pairs(a[begin:end], rows_a[begin:end], b, rows_b, bits=bits)

    with ThreadPoolExecutor(workers) as pool:
        tables = list(pool.map(compare, chunks, [*chunks[1:], len(a)]))
    pairs = pd.concat([pd.DataFrame({"a": [], "b": [], "frames": []}, dtype=np.int64), *tables])
    size_a, size_b = (np.bincount(rows, minlength=1) for rows in (rows_a, rows_b))
    needed = np.minimum(np.minimum(size_a[pairs["a"]], size_b[pairs["b"]]), frames)
    return pairs[pairs["frames"] >= needed].sort_values(["a", "b"], ignore_index=True)


def _pairs(
    a: Hashes, rows_a: NDArray[np.int64], b: Hashes, rows_b: NDArray[np.int64], *, bits: int
) -> pd.DataFrame:
    """Pairs of items with any frame in common; those of each that the other has, and the smaller number."""
    ends = [np.zeros((2, 0), np.int64)]
    for begin in range(0, len(b), COLUMNS):
        near = np.bitwise_count(a[:, None] ^ b[None, begin : begin + COLUMNS]) <= bits
        ends.append(np.stack(np.nonzero(near)) + np.array([[0], [begin]]))
    at_a, at_b = np.concatenate(ends, axis=1)
    frames = pd.DataFrame({"a": rows_a[at_a], "b": rows_b[at_b], "at_a": at_a, "at_b": at_b})
    both = frames.groupby(["a", "b"])[["at_a", "at_b"]].nunique().min(axis=1)
    return both.rename("frames").reset_index()
