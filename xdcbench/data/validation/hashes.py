"""Perceptual hashes of frames, which survive another encoding, size or brightness."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
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
from xdcbench.data.survey import Question, survey
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


@dataclass(frozen=True)
class Match:
    """When two items are one; docs/how-to/data.md has the rates that were measured.

    Attributes:
        frames: that two items must share, or all of the one that has fewer.
        bits: differing bits up to which two frames count as one.
    """

    frames: int = 3
    bits: int = 10


@dataclass(frozen=True)
class Hashes:
    """Hashes of the frames of many items.

    ``values`` is uint64 (n,), ``rows`` int64 (n,), ascending, the row of the item of each.
    """

    values: NDArray[np.uint64]
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, part: slice) -> "Hashes":
        return Hashes(self.values[part], self.rows[part])


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


def hashes(data: LocalDataset, part: str, *, workers: int, limit: float) -> Hashes:
    """Hashes of all items of a part, kept as ``hashes-<part>.parquet``; ``limit`` is in seconds for one file."""
    question = Question(look, {"hashes": "string"}, f"hashing {data.name}", VERSION)
    kept = data.folder / f"hashes-{part}.parquet"
    found = survey(data.part(part), data.root, question, kept, workers=workers, limit=limit)
    texts = found["hashes"].fillna("")
    values = np.frombuffer(bytes.fromhex("".join(texts)), dtype=">u8").astype(np.uint64)
    return Hashes(values, np.repeat(np.arange(len(texts)), texts.str.len().to_numpy(np.int64) // DIGITS))


def shared(a: Hashes, b: Hashes, match: Match, *, workers: int) -> pd.DataFrame:
    """Pairs of items that match, compared in ``workers`` threads.

    Returns:
        int64 columns a and b (rows of items) and frames (how many are shared), sorted by a and b.
    """
    starts = np.flatnonzero(np.diff(a.rows, prepend=-1))
    chunks = np.unique(starts[np.searchsorted(starts, np.arange(0, len(a), ROWS), side="right") - 1])

    def compare(begin: int, end: int) -> pd.DataFrame:
        return _pairs(a[begin:end], b, match.bits)

    with ThreadPoolExecutor(workers) as pool:
        tables = list(pool.map(compare, chunks, [*chunks[1:], len(a)]))
    pairs = pd.concat([pd.DataFrame({"a": [], "b": [], "frames": []}, dtype=np.int64), *tables])
    size_a, size_b = (np.bincount(side.rows, minlength=1) for side in (a, b))
    needed = np.minimum(np.minimum(size_a[pairs["a"]], size_b[pairs["b"]]), match.frames)
    return pairs[pairs["frames"] >= needed].sort_values(["a", "b"], ignore_index=True)


def _pairs(a: Hashes, b: Hashes, bits: int) -> pd.DataFrame:
    """Pairs of items with any frame in common; those of each that the other has, and the smaller number."""
    ends = [np.zeros((2, 0), np.int64)]
    for begin in range(0, len(b), COLUMNS):
        near = np.bitwise_count(a.values[:, None] ^ b.values[None, begin : begin + COLUMNS]) <= bits
        ends.append(np.stack(np.nonzero(near)) + np.array([[0], [begin]]))
    at_a, at_b = np.concatenate(ends, axis=1)
    frames = pd.DataFrame({"a": a.rows[at_a], "b": b.rows[at_b], "at_a": at_a, "at_b": at_b})
    both = frames.groupby(["a", "b"])[["at_a", "at_b"]].nunique().min(axis=1)
    return both.rename("frames").reset_index()
