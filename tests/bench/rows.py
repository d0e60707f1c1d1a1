"""Memory and time of the steps of a round over an index of so many rows, without media.

    python -m tests.bench.rows 1000000 4000000
    python -m tests.bench.rows --width 512 1000000

The steps of one process run in one fresh process, in the order in which they are told; k-means runs in two. Private
is anonymous memory, which no other process shares and no file backs: what is left after a step, and its peak.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa

WIDTH = 8
"""Features of an item, unless stated: 512 of 65 million items would be 133 GB."""
K = 64
CLASSES = 500
CHUNK = 1 << 18
EVERY = 0.01
"""Seconds between two looks at the memory of a process."""


def main(words: list[str]) -> None:
    """Measure each number of rows in processes of their own."""
    if words[0] == "measure":
        measure(Path(words[1]))
        return
    from tests.unit.together import together

    width = WIDTH
    if words[0] == "--width":
        width, words = int(words[1]), words[2:]
    for count in map(int, words):
        with TemporaryDirectory(dir=build_folder()) as folder:
            say(f"{count:,} rows, {width} features each")
            begun = time.perf_counter()
            write_index(Path(folder), count, width)
            size = (Path(folder) / "items.arrow").stat().st_size
            say(f"    index of {size >> 20} MiB written in {time.perf_counter() - begun:.1f} s")
            subprocess.run([sys.executable, "-m", "tests.bench.rows", "measure", folder], check=True)
            code = f"from tests.bench.rows import cluster\ncluster({folder!r})"
            assert [process.wait() for process in together(code, inherited=True)] == [0, 0]


def build_folder() -> Path:
    """A folder of this disk that git ignores."""
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    return folder


def write_index(run: Path, count: int, width: int) -> None:
    """An index of ``count`` videos of ten seconds with a class each and one split, and features of them."""
    from xdcbench.data.index import Index
    from xdcbench.utils.matrix import write_rows

    items = table(count)
    index = Index(
        name="rows",
        media="video",
        classes=tuple(f"class {i}" for i in range(CLASSES)),
        splits=("official",),
        official=("official",),
        fingerprint="0" * 64,
        world=False,
        subset="",
        max_failed=0.1,
        items=items,
    )
    index.save(run)
    del index, items
    rng = np.random.default_rng(0)
    parts = (rng.random((min(CHUNK, count - begin), width), np.float32) for begin in range(0, count, CHUNK))
    write_rows(run / "features.npy", (count, width), parts)


def table(count: int) -> Any:
    """Rows of an index; ids have 11 characters as YouTube's, and paths name a folder of a class."""
    import pandas as pd

    at = np.arange(count)
    digits = [(at // 10**place % 10 + ord("0")).astype(np.uint8) for place in range(11)]
    ids = texts([digits[place] for place in reversed(range(11))])
    folder = [*b"train/", *reversed([digits[place] for place in range(3)]), ord("/")]
    paths = texts([*folder, *(digits[place] for place in reversed(range(11))), *b".mp4"])
    seconds, yes = np.full(count, 10.0), np.ones(count, dtype=bool)
    columns = {"id": ids, "path": paths, "label": at % CLASSES, "group": ids, "bytes": at + 1}
    columns |= {
        "split:official": pd.Categorical.from_codes(np.zeros(count, np.int8), pd.Index(["train", "test"]))
    }
    columns |= {
        "mtime": at,
        "ok": yes,
        "reason": pd.Categorical.from_codes(np.zeros(count, np.int8), pd.Index([""])),
    }
    columns |= {"duration": seconds, "video_seconds": seconds, "audio_start": np.zeros(count)}
    return pd.DataFrame(columns | {"audio_seconds": seconds, "video": yes, "audio": yes}, copy=False)


def texts(characters: list[Any]) -> Any:
    """Strings of one length from the byte, or the uint8 (n,), of each of their places."""
    count = next(len(one) for one in characters if isinstance(one, np.ndarray))
    data = np.empty((count, len(characters)), dtype=np.uint8)
    for place, one in enumerate(characters):
        data[:, place] = one
    ends = np.arange(count + 1, dtype=np.int64) * len(characters)
    return pa.LargeStringArray.from_buffers(count, pa.py_buffer(ends), pa.py_buffer(data)).to_pandas()


def measure(run: Path) -> None:
    """What one process of a round does with its index, features and labels, but for k-means and training."""
    from xdcbench.config.models import AudioInput, VideoInput
    from xdcbench.config.pretraining import Augment
    from xdcbench.data.clip_dataset import ClipDataset
    from xdcbench.data.clips import even_clips, training_clips
    from xdcbench.data.index import Index
    from xdcbench.models.inference import WorkList
    from xdcbench.utils.arrays import load_array
    from xdcbench.utils.matrix import block_of, mapped

    told("import", 0.0, 0)
    index: Any = timed("load the index", lambda: Index.load(run))
    rows = timed("choose the rows", lambda: index.rows("official", "train", tracks=("video", "audio")))
    clips: Any = timed(
        "open the clips", lambda: ClipDataset(index, run, video=VideoInput(), audio=AudioInput())
    )
    assert len(clips) == len(rows)

    def work_list() -> int:
        specs, size = even_clips(rows, 1), block_of(len(rows), 64)
        blocks = [range(begin, min(begin + size, len(rows))) for begin in range(0, len(rows), size)]
        groups = WorkList(blocks, np.ones(len(rows), dtype=bool), 1, size // 64).groups
        return sum(specs[at].row for group in islice(groups, 1000) for at in group)

    timed("work list of an extraction, 1,000 batches", work_list)
    features: Any = timed("map the features", lambda: mapped(run / "features.npy"))
    measure_clusters(run, index, features)
    timed("map the labels of the round before", lambda: shared_labels(run, index))
    labels = load_array(run / "labels" / "v.npy", mmap_mode="r")

    def order() -> Any:
        return training_clips(rows, augment=Augment(), seed=0, epoch=0)

    epoch: Any = timed("order of an epoch", order)
    timed("1,000 clips of it and their labels", lambda: [labels[clip.row] for clip in islice(epoch, 1000)])
    timed("counts of a record", lambda: (len(index.listed("official", "train")), index.unreadable(rows)))
    say(f"    shared in proportion (PSS) {memory('/proc/self/smaps_rollup', 'Pss:') >> 10} MiB")


def measure_clusters(run: Path, index: Any, features: np.ndarray) -> None:
    """What the leading process does with a clustering."""
    from xdcbench.pretraining.clustering import facts
    from xdcbench.pretraining.pseudo_labels import PseudoLabels, write_clusters

    clusters = (features[:, 0] * K).astype(np.int32)
    found = timed("NMI and purity, leading process", lambda: facts(clusters, index.labels, K))
    labels = PseudoLabels({"v": clusters}, {"v": K}, {"v": found}, {})
    distances = {"v": np.ascontiguousarray(features[:, 1])}
    timed("write the clusters, leading process", lambda: write_clusters(run, index, labels, distances))


def shared_labels(run: Path, index: Any) -> None:
    """The clusters that a round wrote, and the labels that all processes map."""
    from xdcbench.pretraining.pseudo_labels import read_clusters, shared

    found = read_clusters(run, index)
    assert found is not None
    shared(found, run / "labels")


def cluster(folder: str) -> None:
    """The clustering of a round by several processes: l2, a start, one update, assignments and distances."""
    import torch

    from xdcbench.config.pretraining import Clustering, Pretrain
    from xdcbench.pretraining.clustering import Points
    from xdcbench.pretraining.clustering import cluster as clustered
    from xdcbench.utils.distributed import is_main_process
    from xdcbench.utils.matrix import mapped

    run = Path(folder)
    features = mapped(run / "features.npy")
    points = Points(Clustering(features=("video",), k=K), {"video": features}, np.arange(len(features)), run)
    settings = Pretrain(preprocess="l2", kmeans_max_iter=1)
    with peak() as reached:
        begun = time.perf_counter()
        clustered(points, settings, seed=0, device=torch.device("cpu"))
        seconds = time.perf_counter() - begun
    if is_main_process():
        told("a clustering, one of two processes with half of the rows", seconds, reached[0])


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do ``work`` and print its seconds and memory."""
    with peak() as reached:
        begun = time.perf_counter()
        value = work()
        seconds = time.perf_counter() - begun
    told(what, seconds, reached[0])
    return value


@contextmanager
def peak() -> Iterator[list[int]]:
    """Within, the highest private memory, KiB, as its one value."""
    reached, over = [private()], Event()

    def look() -> None:
        while not over.wait(EVERY):
            reached[0] = max(reached[0], private())

    watch = Thread(target=look, daemon=True)
    watch.start()
    yield reached
    over.set()
    watch.join()
    reached[0] = max(reached[0], private())


def private() -> int:
    """Anonymous memory of this process, KiB."""
    return memory("/proc/self/status", "RssAnon:")


def memory(path: str, name: str) -> int:
    """A value of a file of Linux about this process, KiB."""
    lines = Path(path).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def told(what: str, seconds: float, reached: int) -> None:
    """Print seconds, what is left of the private memory, and its peak."""
    say(
        f"    {what}: {seconds:.2f} s, private {private() >> 10} MiB, peak {max(reached, private()) >> 10} MiB"
    )


def say(line: str) -> None:
    """Print a line at once, between those of other processes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
