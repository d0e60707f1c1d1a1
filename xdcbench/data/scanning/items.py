"""What a dataset holds: items, classes and official splits, read from names and lists without decoding."""

import hashlib
import logging
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xdcbench.config.data import Dataset
from xdcbench.errors import UserError
from xdcbench.utils.tree import Folder
from xdcbench.utils.tree import files as files_of

log = logging.getLogger("xdcbench")

SPLIT = "split:"
LABELS = "labels"
CHUNK = 100_000
VERSION = 2
"""Of what a scan makes of files and lists; raise it when that changes, so that no older scan is trusted."""
MISSING = -1
"""Bytes of an item that is listed but not on disk."""

_ENDINGS = {
    "video": "3g2 3gp asf avi divx dv f4v flv m1v m2t m2ts m2v m4v mkv mov mp4 mpe mpeg mpg mts mxf ogm ogv qt rm rmvb "
    "ts vob webm wmv",
    "audio": "aac ac3 aif aifc aiff amr ape au caf eac3 flac m4a m4b mka mp2 mp3 oga ogg opus spx tta w64 wav weba wma "
    "wv",
    "image": "jpeg jpg png bmp webp",
}
SUFFIXES = {kind: frozenset(f".{ending}" for ending in names.split()) for kind, names in _ENDINGS.items()}
"""How names of media files of a kind end, of those that FFmpeg reads."""
MEDIA = frozenset().union(*SUFFIXES.values())
"""Of any kind."""


@dataclass(frozen=True)
class Scan:
    """The files of a dataset and what its lists say about them.

    Attributes:
        items: one row per item that the lists name, or per file where there is no list: id (unique), path
            (posix, below the root), label (int64, -1 where unlabeled), group (recordings cut from one
            source; the id where unknown), bytes (int64, -1 where the disk lacks the file), a column
            ``split:<name>`` per split of "train", "test" or "", and, of a multi-label dataset, whose
            ``label`` is -1, ``labels`` (the sorted tuple of an item's classes).
        classes: names in the order of the labels.
        extra: media files on disk that no list names, or that are of another kind than the dataset; and
            folders and links that could not be looked at.
        sources: list files that were read.
    """

    items: pd.DataFrame
    classes: tuple[str, ...]
    extra: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()

    @property
    def missing(self) -> tuple[str, ...]:
        """Paths that the lists name and the disk lacks."""
        return tuple(self.items.loc[self.items["bytes"] == MISSING, "path"])


def fingerprint(scan: Scan, contents: pd.Series | None = None) -> str:
    """Sha256, hex, of ids, sizes, labels, groups and splits; whatever the order of rows and the root.

    ``contents``, the hash of each file, is covered, too, where it is given.
    """
    splits = sorted(c for c in map(str, scan.items) if c.startswith(SPLIT))
    several = [LABELS] if LABELS in scan.items else []
    items = scan.items if contents is None else scan.items.assign(contents=contents.array)
    own = [] if contents is None else ["contents"]
    rows = items[["id", "bytes", "label", "group", *splits, *several, *own]].sort_values("id")
    digest = hashlib.sha256()
    for part in csv_parts(rows):
        digest.update(part)
    return digest.hexdigest()


def csv_parts(rows: pd.DataFrame) -> Iterator[bytes]:
    """A table as csv with a header, some rows at a time."""
    for start in range(0, max(1, len(rows)), CHUNK):
        part = rows.iloc[start : start + CHUNK]
        yield part.to_csv(index=False, header=not start, lineterminator="\n").encode()


def media_files(root: Path, dataset: Dataset, below: str = "") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Media files in ``root/below``; not the hidden, but the linked ones.

    What cannot be looked at is passed over with a warning: a folder that cannot be read, a link that leads
    nowhere or back to a folder above.

    Returns:
        the files of the dataset's kind, sorted by the parts of their paths: path and folder (posix, below
        the root), stem, bytes (int64); and the paths of what was passed over, and of media files that are of
        another kind or that have a name that is not UTF-8.

    Raises:
        OSError: ``root/below`` itself cannot be read.
    """
    names, sizes, others = _Names(), array("q"), []

    def pass_over(path: str, reason: str) -> None:
        log.warning("passed over: %s (%s)", path, reason)
        others.append(_as_text(path))

    here = files_of(Folder.top(root / below, below), pass_over) if (root / below).is_dir() else ()
    for folder, entry in here:
        stem, dot, ending = entry.name.rpartition(".")
        suffix, path = dot + ending.lower(), folder.below(entry.name)
        if suffix in SUFFIXES[dataset.media] and _is_utf8(path):
            try:
                sizes.append(entry.stat().st_size)
            except OSError as error:  # gone since its folder was read
                pass_over(path, error.strerror or str(error))
                continue
            names.append(path, folder.name, stem)
        elif suffix in MEDIA:
            others.append(_as_text(path))
    return names.table().assign(bytes=np.frombuffer(sizes, dtype=np.int64)), tuple(others)


class _Names:
    """Path, folder and stem of files, of which few are Python's objects at a time."""

    def __init__(self) -> None:
        self.parts: list[pd.DataFrame] = []
        self.rows: list[tuple[str, str, str]] = []

    def append(self, path: str, folder: str, stem: str) -> None:
        self.rows.append((path, folder, stem))
        if len(self.rows) == CHUNK:
            self._pack()

    def _pack(self) -> None:
        self.parts.append(pd.DataFrame(self.rows, columns=["path", "folder", "stem"], dtype="str"))
        self.rows = []

    def table(self) -> pd.DataFrame:
        self._pack()
        return pd.concat(self.parts, ignore_index=True)


def _as_text(path: str) -> str:
    """A path as UTF-8 can hold it."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _is_utf8(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= character <= "\udfff" for character in path)


def options(dataset: Dataset, **defaults: Any) -> dict[str, Any]:
    """The adapter's options over their defaults; UserError for one that it does not know."""
    for name in dataset.options:
        if name not in defaults:
            raise UserError(
                f"{dataset.title}: no option `{name}` of adapter `{dataset.adapter}`; "
                f"it takes {', '.join(defaults) or 'none'}"
            )
    return {**defaults, **dataset.options}


def table(rows: pd.DataFrame | Iterable[Mapping[str, Any]], splits: Iterable[str]) -> pd.DataFrame:
    """Rows of id, path, label, group, bytes and splits, and ``labels`` where a table of rows has them, in
    the columns and types of ``Scan.items``."""
    types = {"id": "str", "path": "str", "label": "int64", "group": "str", "bytes": "int64"}
    types |= {SPLIT + name: "str" for name in splits}
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(types))
    several = [LABELS] if LABELS in frame else []
    return frame[[*types, *several]].astype(types).reset_index(drop=True)
