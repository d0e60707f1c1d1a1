"""Memory and time of listing a dataset whose list names so many files, without media.

    python -m tests.bench.listing paths 400000 1000000 4000000
    python -m tests.bench.listing youtube 400000 1600000

Each number is listed in a fresh process from a csv in another order than the disk's, by a case: `paths` and `quoted`
paths (adapter `filelist`), `youtube` ids and starts (`kinetics`), or ids with several `labels` (`audioset`). Names of
files come from memory in place of a disk, so that what is measured is the list and what joins it with the names.
Private is as in `tests.bench.rows`.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.bench.rows import build_folder, private, say, timed

FOLDER = 1000
"""Files in a folder."""
CLASSES = 500
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "paths": ("filelist", {"list": "list.csv"}),
    "quoted": ("filelist", {"list": "list.csv", "label": "label"}),
    "youtube": ("kinetics", {}),
    "labels": ("audioset", {"train": ["train.csv"], "test": ["eval.csv"]}),
}
"""Adapter and its options by case."""


def main(words: list[str]) -> None:
    """Measure a case with each number of files in a process of its own."""
    case, *counts = words
    if case == "measure":
        measure(counts[0], int(counts[1]), Path(counts[2]))
        return
    for count in map(int, counts):
        with TemporaryDirectory(dir=build_folder()) as folder:
            write_lists(Path(folder), case, count)
            say(f"{case}, {count:,} files")
            command = [sys.executable, "-m", "tests.bench.listing", "measure", case, str(count), folder]
            subprocess.run(command, check=True)


def name_of(number: int, case: str) -> tuple[str, str]:
    """Folder and name of a file."""
    if case == "youtube":
        return f"train/class {number // FOLDER % CLASSES:03d}", f"{number:011d}_000010_000020.mp4"
    comma = "," if case == "quoted" else ""
    return f"train/{number // FOLDER:06d}", f"{number:011d}{comma}.mp4"


def line_of(number: int, case: str) -> str:
    """What the list has of a file."""
    folder, name = name_of(number, case)
    if case == "youtube":
        return f"{folder.removeprefix('train/')},{number:011d},10,20,train"
    if case == "labels":
        several = sorted({number % CLASSES, number // FOLDER % 50, number % 7})  # up to 175,000 sets
        return f'{number:011d}, 10.000, 20.000, "{",".join(map("/m/{:05d}".format, several))}"'
    return f"{folder}/{name}" if case == "paths" else f'"{folder}/{name}","the ""first"" {number % CLASSES}"'


def write_lists(root: Path, case: str, count: int) -> None:
    """The lists of a dataset; the long one names every file."""
    header = {
        "paths": "path",
        "quoted": "path,label",
        "youtube": "label,youtube_id,time_start,time_end,split",
        "labels": "# YTID, start_seconds, end_seconds, positive_labels",
    }
    if case == "labels":
        classes = [f"{i},/m/{i:05d},class {i}\n" for i in range(CLASSES)]
        (root / "class_labels_indices.csv").write_text("".join(["index,mid,display_name\n", *classes]))
        (root / "eval.csv").write_text(header[case] + "\n")
    order = np.random.default_rng(0).permutation(count)
    with (root / ("train.csv" if case in ("youtube", "labels") else "list.csv")).open("w") as file:
        file.write(header[case] + "\n")
        file.writelines(line_of(int(number), case) + "\n" for number in order)


def walk(case: str, count: int) -> Iterator[tuple[Any, Any]]:
    """What ``utils.tree.files`` gives of so many files."""
    from xdcbench.utils.tree import Folder

    facts = SimpleNamespace(st_size=1 << 20)
    for number in range(count):
        folder, name = name_of(number, case)
        if number % FOLDER == 0:
            place = Folder("", folder, frozenset())
        yield place, SimpleNamespace(name=name, stat=lambda: facts)


def measure(case: str, count: int, root: Path) -> None:
    """List, mark what was found, draw a subset, and write."""
    from xdcbench.config.data import Dataset, Subset
    from xdcbench.data.index_stage import take
    from xdcbench.data.scan import scan
    from xdcbench.data.scanning import items
    from xdcbench.utils.mapped_table import write_table

    items.files_of = lambda top, pass_over: walk(case, count)
    adapter, options = OPTIONS[case]
    dataset = Dataset(
        title="a",
        folder="a",
        adapter=adapter,
        media="video",
        splits=("official",),
        multi_label=case == "labels",
        options=options,
    )
    begun = private()
    found: Any = timed("list", lambda: scan(root, dataset))
    assert len(found.items) == count and not found.extra and not found.missing
    say(f"    left per item {(private() - begun) * 1024 / count:.0f} bytes")
    timed("fingerprint", lambda: items.fingerprint(found))
    timed("subset", lambda: take(found.items, Subset(items=count // 2), dataset.splits))
    timed("write", lambda: write_table(root / "items.arrow", found.items))


if __name__ == "__main__":
    main(sys.argv[1:])
