"""What tells the states of a dataset apart: its fingerprint, which keys go by, and its stamp, which caches go by."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xdcbench.data.media.local_file import FileState, LocalFile, state_of
from xdcbench.data.scanning.items import MISSING, Scan, csv_parts, fingerprint
from xdcbench.errors import UserError
from xdcbench.utils.arrays import read_table
from xdcbench.utils.cores import available_cores
from xdcbench.utils.io import atomic_write
from xdcbench.utils.mapped_table import places
from xdcbench.utils.progress import log, track

Mode = Literal["size", "content"]
"""What of its files a fingerprint covers, next to names, labels and splits."""

KEY = ["path", "bytes", "mtime"]
"""What a file is known by; ``mtime`` is its time of change, nanoseconds."""
LOOKS = 8
"""Files whose time of change is asked for at once; a network answers late."""
CHUNK = 1 << 20
"""Bytes that are hashed at once."""
WAITING = 100_000
"""Files that wait to be looked at or hashed, at most."""
KEEP_EVERY, KEEPS = 2000, 100
"""Files after which hashes are kept, and how often at most in one call: each time, all are written."""


@dataclass(frozen=True)
class Fingerprints:
    """Of one state of a dataset.

    Attributes:
        fingerprint: of ids, labels, groups, splits and sizes or contents of files; keys of runs go by it.
        stamp: of sizes and times of change of files, and of names of classes. Where it alone is another, the
            index and what ``data verify`` has found are made again, and runs stay.
    """

    fingerprint: str
    stamp: str


def fingerprints(found: Scan, root: Path, mode: Mode, cache: Path | None) -> Fingerprints:
    """The marks of a scan.

    Args:
        found: whole, before any subset is taken.
        mode: ``content`` hashes every file whose hash is not known for its size and time of change.
        cache: folder to keep hashes in.

    Raises:
        MediaUnreachableError: a file that the scan saw cannot be read.
        MediaChangedError: a file is written to at this moment.
    """
    files = found.items[["path", "bytes"]].assign(mtime=mtimes(found.items, root))
    digest = hashlib.sha256("\0".join(found.classes).encode())
    for part in csv_parts(files.sort_values("path")):
        digest.update(part)
    hashes = contents(files, root, cache) if mode == "content" else None
    return Fingerprints(fingerprint(found, hashes), digest.hexdigest()[:16])


def contents(files: pd.DataFrame, root: Path, cache: Path | None) -> pd.Series:
    """Sha256, hex, of the content of each of ``files`` (path, bytes, mtime), empty of one that is missing."""
    place = str(root.resolve()).encode()
    kept = cache / f"contents-{hashlib.sha256(place).hexdigest()[:16]}.parquet" if cache else None
    files = files[KEY].astype({"path": "str"})
    known = _known(kept)
    known = known[_places(known, files) >= 0]
    unknown = (_places(files, known) < 0) & (files["bytes"] != MISSING)
    todo = files[unknown].drop_duplicates()
    step = max(KEEP_EVERY, len(todo) // KEEPS)
    with track("hashing files", len(todo)) as tick:
        for begin in range(0, len(todo), step):
            part = todo.iloc[begin : begin + step]
            known = pd.concat([known, part.assign(sha256=_hashed(part, root, tick))], ignore_index=True)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                with atomic_write(kept) as written:
                    known.to_parquet(written, index=False)
    found = known["sha256"].array.take(_places(files, known), allow_fill=True)
    return pd.Series(found, index=files.index).fillna("")


def _known(kept: Path | None) -> pd.DataFrame:
    """States of files (`KEY`) with the hashes that were kept."""
    if kept is not None and kept.exists():
        try:
            return read_table(kept, [*KEY, "sha256"])
        except UserError:
            log.warning("%s is damaged; the files are hashed again", kept)
    return pd.DataFrame({"path": "", "bytes": 0, "mtime": 0, "sha256": ""}, index=range(0))


def _places(files: pd.DataFrame, among: pd.DataFrame) -> NDArray[np.int64]:
    """Position of each state of a file among others, which have each path once; -1 where it is not there."""
    at = places(files["path"], among["path"])
    there = np.flatnonzero(at >= 0)
    states = [of[KEY[1:]].to_numpy()[rows] for of, rows in ((files, there), (among, at[there]))]
    at[there[(states[0] != states[1]).any(axis=1)]] = -1
    return at


def forget_scans(cache: Path) -> None:
    """Have the next command look at every file: some changed in place, which the folders' times do not show."""
    for known in cache.glob("scan-*.json"):
        known.unlink(missing_ok=True)


def require_planned(planned: str | None, now: str, root: Path, cache: Path) -> None:
    """See by its fingerprint that a folder is as it was when a stage was planned; None is any.

    Raises:
        UserError: it has changed.
    """
    if planned not in (None, now):
        forget_scans(cache)
        raise UserError(f"{root} changed while this run was planned; give the same command again")


def mtimes(items: pd.DataFrame, root: Path) -> NDArray[np.int64]:
    """Time of change of each of ``items`` (path below ``root``, bytes), ns, int64; `MISSING` where no file was seen.

    Raises:
        MediaUnreachableError: a file that the scan saw is not there now.
    """

    def look(path: str, size: int) -> int:
        return MISSING if size == MISSING else state_of(root / path).mtime

    found = np.empty(len(items), dtype=np.int64)
    with ThreadPoolExecutor(LOOKS) as pool:
        for begin in range(0, len(items), WAITING):
            part = items.iloc[begin : begin + WAITING]
            found[begin : begin + len(part)] = list(pool.map(look, part["path"], part["bytes"]))
    return found


def _hashed(files: pd.DataFrame, root: Path, tick: Callable[[], None]) -> list[str]:
    def digest(path: str, size: int, mtime: int) -> str:
        whole = hashlib.sha256()
        with LocalFile(root / path, FileState(size, mtime)) as content:
            for begin in range(0, size, CHUNK):
                whole.update(content[begin : begin + CHUNK])
        return whole.hexdigest()

    found = []
    with ThreadPoolExecutor(available_cores()) as pool:
        for begin in range(0, len(files), WAITING):
            part = files.iloc[begin : begin + WAITING]
            for value in pool.map(digest, *(part[name] for name in KEY)):
                found.append(value)
                tick()
    return found
