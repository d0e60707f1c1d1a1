"""Opens every file of a dataset once, in parts that the next attempt keeps."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd

from xdcbench.data.index import FACTS
from xdcbench.data.media import Indexed, probe
from xdcbench.data.media.local_file import FileState, state_of
from xdcbench.data.media.probe import LENGTHS
from xdcbench.data.scanning.items import MISSING
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.arrays import read_table
from xdcbench.utils.io import atomic_write
from xdcbench.utils.progress import Track, log, track

PROBES = 4
"""Threads that open files; opening waits on the disk more than it computes."""

PART = 10_000
"""Files of a part: what a kill costs, minutes on a slow disk. 65 million files are 6,500 parts."""

FILE = ["path", "bytes"]


def probe_all(items: pd.DataFrame, root: Path, kept: Path) -> pd.DataFrame:
    """Open every file: columns mtime and those of `FACTS`.

    Each part is written to ``kept``. The next attempt reads it if it is of the same paths and sizes.

    Raises:
        MediaUnreachableError: a file is there, and cannot be read.
        MediaChangedError: a file is not of the size that the scan saw.
    """
    kept.mkdir(parents=True, exist_ok=True)
    files, places = items[FILE].reset_index(drop=True), range(0, max(1, len(items)), PART)
    parts = {begin: (files.iloc[begin : begin + PART], kept / f"{begin}.parquet") for begin in places}
    found = {begin: rows for begin, part in parts.items() if (rows := _kept(*part)) is not None}
    done = sum(map(len, found.values()))
    with track("opening files", len(items), done=done) as tick, ThreadPoolExecutor(PROBES) as pool:
        for begin, (part, path) in parts.items():
            if begin not in found:
                found[begin] = _opened(part, root, path, pool, tick)
    return pd.concat([found[begin] for begin in places], ignore_index=True)


def _kept(part: pd.DataFrame, path: Path) -> pd.DataFrame | None:
    """What an earlier attempt found of the files of a part; None where it made none of the same, or it is damaged."""
    if not path.exists():
        return None
    try:
        rows = read_table(path)
    except UserError:
        return None
    same = rows[FILE].equals(part.reset_index(drop=True))
    return rows.drop(columns=FILE) if same else None


def _opened(
    part: pd.DataFrame, root: Path, path: Path, pool: ThreadPoolExecutor, tick: Track
) -> pd.DataFrame:
    """Open the files of a part and keep what is found at ``path``."""
    found = []
    for name, row in zip(part["path"], pool.map(partial(_look, root), *(part[c] for c in FILE)), strict=True):
        if not row["ok"]:
            log.warning("not used: %s (%s)", name, row["reason"])
        found.append(row)
        tick()
    rows = pd.DataFrame(found, columns=["mtime", *FACTS])
    with atomic_write(path) as building:
        table = pd.concat([part.reset_index(drop=True), rows], axis=1)
        table.to_parquet(building, index=False, write_page_checksum=True)
    return rows


def _look(root: Path, path: str, size: int) -> dict[str, object]:
    unknown = dict.fromkeys(LENGTHS, float("nan"))
    blank = {"mtime": MISSING, "ok": False, "reason": "", **unknown, "video": False, "audio": False}
    if size == MISSING:
        return blank | {"reason": "missing"}
    state = state_of(root / path)
    blank["mtime"] = state.mtime
    try:
        info = probe(Indexed(root / path, FileState(size, state.mtime)))
    except MediaError as error:
        return blank | {"reason": error.reason}
    lengths = {name: getattr(info, name) for name in unknown}
    return blank | {"ok": True, **lengths, "video": info.has_video, "audio": info.has_audio}
