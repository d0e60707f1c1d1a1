"""Trees of empty files and small lists, laid out as real datasets are."""

import hashlib
from pathlib import Path
from typing import Any

from xdcbench.config.data import Dataset
from xdcbench.config.load import load_dataset
from xdcbench.data.scanning.items import Scan


def config(name: str, **changes: Any) -> Dataset:
    return Dataset(**{**load_dataset(name).model_dump(), **changes})


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def text(root: Path, name: str, *lines: str, end: str = "\n") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes("".join(line + end for line in lines).encode())


def counts(found: Scan, split: str) -> tuple[int, int]:
    column = found.items["split:" + split]
    return int((column == "train").sum()), int((column == "test").sum())


def column(found: Scan, name: str) -> dict[str, Any]:
    """A column of the items by id."""
    return dict(zip(found.items["id"], found.items[name], strict=True))


def paths(found: Scan) -> dict[str, str]:
    """Paths of the items that the disk has, by id."""
    here = found.items[found.items["bytes"] >= 0]
    return dict(zip(here["id"], here["path"], strict=True))


def first_draw(names: list[str], test_share: float) -> dict[str, str]:
    """The draw as it was first written, of which keys were made."""
    at = {name: int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64 for name in names}
    parts = {name: "test" if place < test_share else "train" for name, place in at.items()}
    if len(names) > 1:
        parts[min(at, key=at.__getitem__)] = "test"
        parts[max(at, key=at.__getitem__)] = "train"
    return parts
