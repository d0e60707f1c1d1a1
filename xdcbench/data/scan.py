"""What a data set holds: items, classes and official splits, read from names and lists without decoding."""

import hashlib
import logging
import os
import pkgutil
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xdcbench.data import datasets
from xdcbench.data.names import explanation
from xdcbench.data.suffixes import MEDIA, SUFFIXES
from xdcbench.errors import UserError
from xdcbench.schema import Dataset
from xdcbench.utils.code import NO_CODE, Consent, load_code, load_own
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


@dataclass(frozen=True)
class Scan:
    """The files of a data set and what its lists say about them.

    Attributes:
        items: one row per item that the lists name, or per file where there is no list: id (unique), path
            (posix, below the root), label (int64, -1 where unlabelled), group (recordings cut from one
            source; the id where unknown), bytes (int64, -1 where the disk lacks the file), a column
            ``split:<name>`` per split of "train", "test" or "", and, of a multi-label data set, whose
            ``label`` is -1, ``labels`` (the sorted tuple of an item's classes).
        classes: names in the order of the labels.
        extra: media files on disk that no list names, or that are of another kind than the data set; and
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


def scan(root: Path, dataset: Dataset, consent: Consent = NO_CODE) -> Scan:
    """Run a data set's adapter and check what it returns.

    Args:
        root: the data set's own folder.
        dataset: its configuration; ``adapter`` names a module of xdcbench.data.datasets with a function
            ``scan(root, dataset)``, or ``module:function``.
        consent: the code of others that the user lets run.

    Raises:
        UserError: there is no such adapter or folder, no item, a declared split is missing or empty, an id
            occurs twice, or a group has items in both parts of a split.
    """
    adapter = _adapter(dataset, consent)
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
    _explain(result, dataset)
    return result


def fingerprint(scan: Scan, contents: Sequence[str] | None = None) -> str:
    """Sha256, hex, of ids, sizes, labels, groups and splits; whatever the order of rows and the root.

    ``contents``, the hash of each file, is covered, too, where it is given.
    """
    splits = sorted(c for c in map(str, scan.items) if c.startswith(SPLIT))
    several = [LABELS] if LABELS in scan.items else []
    items = scan.items if contents is None else scan.items.assign(contents=list(contents))
    own = [] if contents is None else ["contents"]
    rows = items[["id", "bytes", "label", "group", *splits, *several, *own]].sort_values("id")
    digest = hashlib.sha256()
    for start in range(0, len(rows), CHUNK):
        part = rows.iloc[start : start + CHUNK]
        digest.update(part.to_csv(index=False, header=not start, lineterminator="\n").encode())
    return digest.hexdigest()


def _adapter(dataset: Dataset, consent: Consent) -> Callable[[Path, Dataset], Scan]:
    name = dataset.adapter
    adapter: Callable[[Path, Dataset], Scan]
    if ":" not in name:
        known = sorted(module.name for module in pkgutil.iter_modules(datasets.__path__))
        if name not in known:
            raise UserError(f"no adapter `{name}`; use one of {', '.join(known)}, or `module:function`")
        adapter = load_own(f"{datasets.__name__}.{name}:scan")
        return adapter
    try:
        adapter = load_code(name, consent, f"{dataset.title}: its adapter")
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"adapter `{name}`: {error}; it must name an importable module:function") from error
    return adapter


def _check(scan: Scan, root: Path, dataset: Dataset) -> None:
    items, title = scan.items, dataset.title
    here = items[items["bytes"] != MISSING]
    if here.empty:
        lists = f" that {', '.join(p.name for p in scan.sources)} names" if scan.sources else ""
        why = explanation(scan.missing, scan.extra, guess=True, kind=SUFFIXES[dataset.media])
        if not why and scan.extra:
            expected = f"expected `{scan.missing[0]}`, " if scan.missing else ""
            found = f"found only {len(scan.extra)} others, such as `{scan.extra[0]}`"
            why = f"{expected}{found}. Try: set its `root` or `media`"
        mend = f": {why}" if why else "; set its `root` or fill it"
        raise UserError(f"{title}: no {dataset.media} file{lists} below {root}{mend}")
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
        train, test = (parts.loc[parts[SPLIT + name] == part, "group"] for part in ("train", "test"))
        leaking = test[test.isin(train)]
        if len(leaking):
            raise UserError(
                f"{title}: group `{leaking.min()}` is in train and test of split `{name}`; mend its lists"
            )


def _explain(scan: Scan, dataset: Dataset) -> None:
    """Warn of listed files that may be there under another name."""
    missing = scan.missing
    why = (
        explanation(missing, scan.extra, guess=False, kind=SUFFIXES[dataset.media])
        if missing and scan.extra
        else ""
    )
    if why:
        log.warning(
            "%s: %d of %d listed files are missing; %s", dataset.title, len(missing), len(scan.items), why
        )


# ------------------------------------------------------------------------------- tools of adapters


def media_files(root: Path, dataset: Dataset, below: str = "") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Media files in ``root/below``; not the hidden, but the linked ones.

    What cannot be looked at is passed over with a warning: a folder that cannot be read, a link that leads
    nowhere or back to a folder above.

    Returns:
        the files of the data set's kind, sorted by the parts of their paths: path and folder (posix, below
        the root), stem, bytes (int64); and the paths of what was passed over, and of media files that are of
        another kind or that have a name that is not UTF-8.

    Raises:
        OSError: ``root/below`` itself cannot be read.
    """
    files: dict[str, list[str]] = {"path": [], "folder": [], "stem": []}
    sizes, others = array("q"), []

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
            for column, value in zip(files.values(), (path, folder.name, stem), strict=True):
                column.append(value)
        elif suffix in MEDIA:
            others.append(_as_text(path))
    table = pd.DataFrame(files, dtype="str").assign(bytes=np.array(sizes, dtype=np.int64))
    return table, tuple(others)


def _as_text(path: str) -> str:
    """A path as UTF-8 can hold it."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _is_utf8(path: str) -> bool:
    return path.isascii() or not any("\ud800" <= character <= "\udfff" for character in path)


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


def table(rows: pd.DataFrame | Iterable[Mapping[str, Any]], splits: Iterable[str]) -> pd.DataFrame:
    """Rows of id, path, label, group, bytes and splits, and ``labels`` where a table of rows has them, in
    the columns and types of ``Scan.items``."""
    types = {"id": "str", "path": "str", "label": "int64", "group": "str", "bytes": "int64"}
    types |= {SPLIT + name: "str" for name in splits}
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows), columns=list(types))
    several = [LABELS] if LABELS in frame else []
    return frame[[*types, *several]].astype(types).reset_index(drop=True)
