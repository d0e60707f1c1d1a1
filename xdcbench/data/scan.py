"""What a data set holds: items, classes and official splits, read from names and lists without decoding."""

import hashlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from xdcbench.errors import UserError
from xdcbench.schema import Dataset

SUFFIXES = {
    "video": {".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"},
    "audio": {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac"},
    "image": {".jpeg", ".jpg", ".png", ".bmp", ".webp"},
}
SPLIT = "split:"
MISSING = -1
"""Bytes of an item that is listed but not on disk."""


@dataclass(frozen=True)
class Scan:
    """The files of a data set and what its lists say about them.

    Attributes:
        items: one row per item that the lists name, or per file where there is no list: id (unique), path
            (posix, below the root), label (int64, -1 where unlabelled), group (recordings cut from one
            source; the id where unknown), bytes (int64, -1 where the disk lacks the file), and a column
            ``split:<name>`` per split of "train", "test" or "".
        classes: names in the order of the labels.
        extra: media files on disk that no list names.
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


def scan(root: Path, dataset: Dataset) -> Scan:
    """Run a data set's adapter and check what it returns.

    Args:
        root: the data set's own folder.
        dataset: its configuration; ``adapter`` names a module of xdcbench.data.datasets with a function
            ``scan(root, dataset)``, or ``module:function``.

    Raises:
        UserError: there is no such adapter or folder, no item, a declared split is missing or empty, an id
            occurs twice, or a group has items in both parts of a split.
    """
    adapter = _adapter(dataset.adapter)
    if not root.is_dir():
        raise UserError(f"{dataset.title}: no folder {root}; put the data set there or set its `root`")
    try:
        result = adapter(root, dataset)
    except (TypeError, ValueError, KeyError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{dataset.title}: adapter {dataset.adapter!r} cannot read {root} ({reason})"
        ) from error
    _check(result, root, dataset)
    return result


def fingerprint(scan: Scan) -> str:
    """Sha256, hex, of ids, sizes, labels, groups and splits; whatever the order of rows and the root."""
    splits = sorted(c for c in map(str, scan.items) if c.startswith(SPLIT))
    rows = scan.items[["id", "bytes", "label", "group", *splits]].sort_values("id")
    return hashlib.sha256(rows.to_csv(index=False, lineterminator="\n").encode()).hexdigest()


def _adapter(name: str) -> Callable[[Path, Dataset], Scan]:
    if ":" in name:
        module, _, function = name.partition(":")
    else:
        folder = import_module("xdcbench.data.datasets")
        known = sorted(m.name for m in pkgutil.iter_modules(folder.__path__))
        if name not in known:
            raise UserError(f"no adapter `{name}`; use one of {', '.join(known)}, or `module:function`")
        module, function = f"xdcbench.data.datasets.{name}", "scan"
    try:
        adapter: Callable[[Path, Dataset], Scan] = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise UserError(f"adapter `{name}`: {error}; it must name an importable module:function") from error
    return adapter


def _check(scan: Scan, root: Path, dataset: Dataset) -> None:
    items, title = scan.items, dataset.title
    here = items[items["bytes"] != MISSING]
    if here.empty:
        lists = f" that {', '.join(p.name for p in scan.sources)} names" if scan.sources else ""
        raise UserError(f"{title}: no {dataset.media} file{lists} below {root}; set its `root` or fill it")
    twice = items[items["id"].duplicated(keep=False)].sort_values(["id", "path"])
    if len(twice):
        both = ", ".join(twice["path"].head(2))
        raise UserError(f"{title}: id `{twice['id'].iloc[0]}` occurs twice ({both}); remove one of the files")
    for name in dataset.splits:
        if SPLIT + name not in items:
            declared = ", ".join(c.removeprefix(SPLIT) for c in map(str, items) if c.startswith(SPLIT))
            raise UserError(f"{title}: split `{name}` is not in the data set, which has {declared}")
        parts = items.loc[items[SPLIT + name] != "", ["group", SPLIT + name]]
        if (here[SPLIT + name] == "").all():
            raise UserError(f"{title}: split `{name}` has no file below {root}; mend `splits` or add files")
        leaking = parts.groupby("group")[SPLIT + name].nunique()
        if (leaking > 1).any():
            raise UserError(
                f"{title}: group `{leaking.idxmax()}` is in train and test of split `{name}`; mend its lists"
            )


# ------------------------------------------------------------------------------- tools of adapters


@dataclass(frozen=True)
class File:
    """A media file: path below the root, posix, and size in bytes."""

    path: Path
    bytes: int


def media_files(root: Path, dataset: Dataset, below: str = "") -> list[File]:
    """Files of the data set's kind in ``root/below``, sorted by path; not the hidden, but the linked ones."""
    files = []
    for folder, folders, names in os.walk(root / below, followlinks=True):
        folders[:] = [f for f in folders if not f.startswith(".")]
        for name in names:
            path = Path(folder, name)
            wanted = not name.startswith(".") and path.suffix.lower() in SUFFIXES[dataset.media]
            if wanted and path.is_file():
                files.append(File(path.relative_to(root), path.stat().st_size))
    return sorted(files, key=lambda f: f.path)


def place(file: File | None, listed_as: str) -> dict[str, Any]:
    """Path and bytes of an item: of its file, or as the list names it where there is none."""
    if file is None:
        return {"path": listed_as, "bytes": MISSING}
    return {"path": file.path.as_posix(), "bytes": file.bytes}


def read_list(path: Path, dataset: Dataset) -> list[str]:
    """Lines of an official list that are not blank.

    Raises:
        UserError: the list is not there.
    """
    if not path.is_file():
        raise UserError(
            f"{dataset.title}: no list {path}; get it from {dataset.source or 'the data set'} or say where "
            "it is with `options.lists`"
        )
    return [line.strip() for line in path.read_text().splitlines() if line.strip()]


def options(dataset: Dataset, **defaults: Any) -> dict[str, Any]:
    """The adapter's options over their defaults.

    Raises:
        UserError: the adapter knows no such option.
    """
    for name in dataset.options:
        if name not in defaults:
            raise UserError(
                f"{dataset.title}: no option `{name}` of adapter `{dataset.adapter}`; "
                f"it takes {', '.join(defaults) or 'none'}"
            )
    return {**defaults, **dataset.options}


def table(rows: Iterable[Mapping[str, Any]], splits: Iterable[str]) -> pd.DataFrame:
    """Rows of id, path, label, group, bytes and splits in the columns and types of ``Scan.items``."""
    types = {"id": "str", "path": "str", "label": "int64", "group": "str", "bytes": "int64"}
    types |= {SPLIT + name: "str" for name in splits}
    return pd.DataFrame(list(rows), columns=list(types)).astype(types)


def class_folders(root: Path, dataset: Dataset, folders: Mapping[str, str]) -> Scan:
    """Scan of ``<folder>/<class>/<id>.*``; ``folders`` maps each folder to its part of the one split."""
    options(dataset)
    files = [(part, f) for folder, part in folders.items() for f in media_files(root, dataset, folder)]
    kept = [(part, f) for part, f in files if len(f.path.parts) == 3]
    classes = sorted({f.path.parts[1] for _, f in kept})
    labels = {name: i for i, name in enumerate(classes)}
    rows = [
        {
            "id": f.path.stem,
            "path": f.path.as_posix(),
            "label": labels[f.path.parts[1]],
            "group": f.path.stem,
            "bytes": f.bytes,
            SPLIT + "official": part,
        }
        for part, f in kept
    ]
    extra = tuple(f.path.as_posix() for _, f in files if len(f.path.parts) != 3)
    return Scan(table(rows, ["official"]), tuple(classes), extra=extra)


def listed(
    root: Path,
    dataset: Dataset,
    splits: Mapping[str, Mapping[str, str]],
    *,
    group: Callable[[str], str],
    sources: Iterable[Path],
) -> Scan:
    """Scan of videos in class folders anywhere below the root, with the splits of official lists.

    Args:
        root: the data set's folder.
        dataset: its configuration.
        splits: for each split, ``class/name`` without suffix to "train", "test" or "".
        group: source of a name without suffix.
        sources: the lists.

    Returns:
        the listed videos, found whatever their suffix; the name without suffix is the id.
    """
    keys = sorted({key for parts in splits.values() for key in parts})
    # The order of UCF101's classInd.txt, which puts Hammering before HammerThrow.
    classes = sorted({key.split("/")[0] for key in keys}, key=str.casefold)
    labels = {name: i for i, name in enumerate(classes)}
    files: dict[str, list[File | None]] = {}
    for f in media_files(root, dataset):
        files.setdefault(f"{f.path.parent.name}/{f.path.stem}", []).append(f)
    rows = []
    for key in keys:
        name, stem = key.split("/")
        row = {"id": stem, "label": labels[name], "group": group(stem)}
        row |= {SPLIT + s: parts.get(key, "") for s, parts in splits.items()}
        rows += [row | place(f, key) for f in files.pop(key, [None])]
    extra = tuple(sorted(f.path.as_posix() for left in files.values() for f in left if f))
    return Scan(table(rows, splits), tuple(classes), extra, tuple(sources))
