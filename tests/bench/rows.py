"""Peak memory and time of one process over an index of so many rows, without media.

    python -m tests.bench.rows 1000000 4000000

Each step runs in the same fresh process, in this order; memory is the peak so far.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 1 << 18
"""Rows that are written at once."""


def main(words: list[str]) -> None:
    """Measure each number of rows in a process of its own."""
    if words[0] == "measure":
        measure(Path(words[1]))
        return
    for count in map(int, words):
        with TemporaryDirectory() as folder:
            write_index(Path(folder), count)
            size = (Path(folder) / "items.parquet").stat().st_size >> 20
            say(f"{count} rows, index of {size} MiB")
            subprocess.run([sys.executable, "-m", "tests.bench.rows", "measure", folder], check=True)


def write_index(run: Path, count: int) -> None:
    """An index of ``count`` videos of ten seconds, half a thousand classes and one split."""
    from xdcbench.data.index import Index

    with pq.ParquetWriter(run / "items.parquet", table(range(1)).schema) as writer:
        for begin in range(0, count, CHUNK):
            writer.write_table(table(range(begin, min(begin + CHUNK, count))))
    few = Index(
        name="rows",
        media="video",
        classes=tuple(f"class {i}" for i in range(500)),
        splits=("official",),
        official=("official",),
        fingerprint="0" * 64,
        world=False,
        subset="",
        max_failed=0.1,
        items=table(range(1)).to_pandas(),
    )
    (run / "few").mkdir()
    few.save(run / "few")
    (run / "few" / "index.json").rename(run / "index.json")


def table(numbers: range) -> pa.Table:
    """Rows of an index by their numbers."""
    n, at = len(numbers), np.arange(numbers.start, numbers.stop)
    names = [f"{i:011x}" for i in numbers]
    seconds, yes = np.full(n, 10.0), np.ones(n, dtype=bool)
    return pa.table(
        {
            "id": names,
            "path": [f"train/{i % 500:03d}/{name}.mp4" for i, name in zip(numbers, names, strict=True)],
            "label": at % 500,
            "group": names,
            "bytes": np.full(n, 10**6),
            "split:official": ["train"] * n,
            "mtime": at,
            "ok": yes,
            "reason": [""] * n,
            "duration": seconds,
            "video_seconds": seconds,
            "audio_start": np.zeros(n),
            "audio_seconds": seconds,
            "video": yes,
            "audio": yes,
        }
    )


def measure(run: Path) -> None:
    """Load an index, choose its rows, order an epoch, draw its first thousand clips."""
    from xdcbench.data.clip_dataset import training_clips
    from xdcbench.data.index import Index

    told("import")
    index: Any = timed("load the index", lambda: Index.load(run))
    rows = timed("rows to learn from", lambda: index.rows("official", "train", tracks=("video", "audio")))
    from xdcbench.config.pretraining import Pretrain

    augment = Pretrain.model_fields["augment"].get_default(call_default_factory=True)
    clips = timed("order of an epoch", lambda: training_clips(rows, augment=augment, seed=0, epoch=0))
    timed("first 1000 clips", lambda: list(islice(iter_clips(clips), 1000)))


def iter_clips(clips: Any) -> Iterator[Any]:
    """Clips by their position."""
    return (clips[i] for i in range(len(clips)))


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do ``work`` and print seconds and peak memory."""
    begun = time.perf_counter()
    value = work()
    told(f"{what}: {time.perf_counter() - begun:.2f} s")
    return value


def told(what: str) -> None:
    """Print the peak memory so far."""
    say(f"    {what}, peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


def say(line: str) -> None:
    """Print a line at once, between those of other processes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
