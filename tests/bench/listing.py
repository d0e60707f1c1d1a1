"""Memory and time of listing a dataset whose list names so many files, without media.

    python -m tests.bench.listing 400000 1000000 4000000

Each number is listed in a fresh process, by the adapter `filelist` from a csv. Names of files come from memory in place
of a disk, so that what is measured is the list and what joins it with the names. Private is as in `tests.bench.rows`.
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


def main(words: list[str]) -> None:
    """Measure each number of files in a process of its own."""
    if words[0] == "measure":
        measure(int(words[1]), Path(words[2]))
        return
    for count in map(int, words):
        with TemporaryDirectory(dir=build_folder()) as folder:
            write_list(Path(folder) / "list.csv", count)
            say(f"{count:,} files")
            subprocess.run(
                [sys.executable, "-m", "tests.bench.listing", "measure", str(count), folder], check=True
            )


def name_of(number: int) -> tuple[str, str]:
    """Folder and name of a file."""
    return f"train/{number // FOLDER:06d}", f"{number:011d}.mp4"


def write_list(path: Path, count: int) -> None:
    """A csv that names every file, in another order than the disk's."""
    order = np.random.default_rng(0).permutation(count)
    with path.open("w") as file:
        file.write("path\n")
        file.writelines("/".join(name_of(int(number))) + "\n" for number in order)


def walk(count: int) -> Iterator[tuple[Any, Any]]:
    """What ``utils.tree.files`` gives of so many files."""
    from xdcbench.utils.tree import Folder

    facts = SimpleNamespace(st_size=1 << 20)
    for number in range(count):
        folder, name = name_of(number)
        if number % FOLDER == 0:
            place = Folder("", folder, frozenset())
        yield place, SimpleNamespace(name=name, stat=lambda: facts)


def measure(count: int, root: Path) -> None:
    """List, and mark what was found."""
    from xdcbench.config.data import Dataset
    from xdcbench.data.scan import scan
    from xdcbench.data.scanning import items

    items.files_of = lambda top, pass_over: walk(count)
    dataset = Dataset(
        title="a",
        folder="a",
        adapter="filelist",
        media="video",
        splits=("all",),
        options={"list": "list.csv"},
    )
    begun = private()
    found: Any = timed("list", lambda: scan(root, dataset))
    assert len(found.items) == count and not found.extra and not found.missing
    say(f"    left per item {(private() - begun) * 1024 / count:.0f} bytes")
    timed("fingerprint", lambda: items.fingerprint(found))


if __name__ == "__main__":
    main(sys.argv[1:])
