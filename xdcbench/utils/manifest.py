"""Whether a run directory is whole: a manifest of its files by size and hash, written last."""

import errno
import json
import os
import stat
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from xdcbench.utils.io import atomic_write, file_hash, fsync

MANIFEST = "manifest.json"

CHECKPOINTS = ("checkpoint-*", ".checkpoint")
"""Files from which a run in work is resumed; they go once it is complete."""

DESCRIBING = (".json", ".jsonl", ".parquet")
"""Endings of the files that tables and pages are made of: small, and hashed whenever a run is looked at."""

THREADS = 8
"""Files that are hashed and synced at once; syncing waits on the disk more than it computes."""

GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


class Entry(NamedTuple):
    """A file as it was written: its size, the hash of its content, its time of change in nanoseconds."""

    bytes: int
    sha256: str
    changed: int


class State(NamedTuple):
    """A file as it was found."""

    path: str
    bytes: int
    changed: int


class DamagedError(Exception):
    """A manifest that is missing or damaged."""


def make_again(key: str, suite: str = "") -> str:
    """What to try where the run ``key``, of a ``suite`` if that is known, is damaged or missing.

    The stage is named, since nothing else of the suite may need it.
    """
    of = "" if suite else ", where SUITE is the suite that it belongs to"
    return f"Try: `xdcbench run --suite {suite or 'SUITE'} --stage {key}`{of}"


def write_manifest(run: Path) -> None:
    """Sync a run's files to the disk, then write its manifest; hidden files and checkpoints are not of the run."""
    checkpoints = {path for pattern in CHECKPOINTS for path in run.glob(pattern)}
    paths = [
        path
        for path in sorted(run.rglob("*"))
        if path.is_file()
        and path not in {run / MANIFEST, *checkpoints}
        and not any(part.startswith(".") for part in path.relative_to(run).parts)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        files = dict(zip((_name(path, run) for path in paths), pool.map(_written, paths), strict=True))
    for folder in sorted({path.parent for path in paths} - {run}):
        fsync(folder)
    write_entries(run, files)


def forget(run: Path, gone: Iterable[Path], *, new: Collection[Path] = ()) -> None:
    """Take files, or all files of folders, out of a run's manifest before they are removed; add ``new`` ones.

    Raises:
        DamagedError: the manifest is missing or damaged.
    """
    names = [_name(path, run) for path in gone]
    files = {
        name: entry
        for name, entry in read_manifest(run).items()
        if not any(name == of or name.startswith(f"{of}/") for of in names)
    }
    write_entries(run, files | {_name(path, run): _written(path) for path in new})


def renew(run: Path) -> None:
    """Note the times of a run's files as they are now, after all were found whole: a copy has its own.

    Raises:
        DamagedError: the manifest is missing or damaged.
    """
    files = read_manifest(run)
    now = {name: e._replace(changed=(run / name).stat().st_mtime_ns) for name, e in files.items()}
    if now != files:
        write_entries(run, now)


def read_manifest(run: Path) -> dict[str, Entry]:
    """Files of a run by name.

    Raises:
        DamagedError: the manifest is missing or damaged.
        OSError: it cannot be read for another reason.
    """
    try:
        if not stat.S_ISREG((run / MANIFEST).stat().st_mode):  # reading a pipe would wait for ever
            raise DamagedError(f"{MANIFEST} is no file")
        content: Any = json.loads((run / MANIFEST).read_bytes())
        files = {str(name): _entry(**entry) for name, entry in content["files"].items()}
    except OSError as error:
        if error.errno not in GONE:
            raise
        raise DamagedError(f"{MANIFEST} is missing") from error
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} is not what was written") from error
    return files


def find_damage(run: Path, *, thorough: bool, hashed: set[State]) -> str:
    """What is wrong with a run: the first file and how it differs; empty where the run is whole.

    Sizes are compared, and the files that tables and pages are made of are hashed. Others are hashed if they have
    changed since they were written, or if this is to be ``thorough``.

    Files in ``hashed``, which this process has found whole, are not hashed again; it is added to.

    Raises:
        OSError: a file is there and cannot be read.
    """
    try:
        files = read_manifest(run)
        if said := _first_difference(run, files, thorough=thorough, hashed=hashed):
            # Another command may have pruned the run, or put a new one in its place, since its manifest was read.
            return said if read_manifest(run) == files else find_damage(run, thorough=thorough, hashed=hashed)
    except DamagedError as error:
        return str(error)
    return ""


def _first_difference(run: Path, files: dict[str, Entry], *, thorough: bool, hashed: set[State]) -> str:
    for name, entry in files.items():
        hashing = thorough or ("/" not in name and name.endswith(DESCRIBING))
        path = os.path.join(run, name)  # noqa: PTH118 - a world has thousands of files
        if said := _difference(path, entry, hashing=hashing, hashed=hashed):
            return f"{name} {said}"
    return ""


def _difference(path: str, entry: Entry, *, hashing: bool, hashed: set[State]) -> str:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError as error:
        if error.errno not in GONE:
            raise
        return "is missing"
    if not stat.S_ISREG(facts.st_mode):
        return "is no file"
    if facts.st_size != entry.bytes:
        return f"has {facts.st_size:,} of {entry.bytes:,} bytes"
    state = State(path, facts.st_size, facts.st_mtime_ns)
    if (hashing or facts.st_mtime_ns != entry.changed) and state not in hashed:
        if file_hash(Path(path)) != entry.sha256:
            return "is not what was written"
        hashed.add(state)
    return ""


def _entry(bytes: int, sha256: str, changed: int) -> Entry:
    return Entry(int(bytes), str(sha256), int(changed))


def _written(path: Path) -> Entry:
    digest = file_hash(path)
    fsync(path)
    facts = path.stat()
    return Entry(facts.st_size, digest, facts.st_mtime_ns)


def write_entries(run: Path, files: dict[str, Entry]) -> None:
    """Write the manifest of files by name, which are on the disk."""
    content = {"files": {name: entry._asdict() for name, entry in sorted(files.items())}}
    with atomic_write(run / MANIFEST, durable=True) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _name(path: Path, run: Path) -> str:
    return path.relative_to(run).as_posix()
