"""The results folder: keys, run directories that appear whole or not at all, locks, failures."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from xdcbench.errors import UserError
from xdcbench.utils.documents import read_json as read_json  # whoever reads a results folder needs both

SCHEMA_VERSION = 1
"""Version of the layout of a results folder; older ones stay readable."""


PRUNED = "pruned.json"
"""File of a run that has its records but no longer all that a new stage could need (``prune``)."""

CHECKPOINTS = ("checkpoint-*", ".checkpoint")
"""Files from which a run in work goes on."""


def key_of(kind: str, content: dict[str, Any]) -> str:
    """Key of a run: its kind and 12 hex digits of the hash of all that its result depends on."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class Store:
    """A results folder.

    ``runs/<key>/`` holds complete runs; ``runs/.building/<key>/`` one in work, with its checkpoints;
    ``runs/.failed/<key>/<attempt>/`` the log and error of an attempt that failed.

    Raises:
        UserError: the folder cannot be written, or was written by a newer version.
    """

    def __init__(self, root: Path, *, write: bool = True) -> None:
        self.root = root
        self.runs = root / "runs"
        marker = root / "results.json"
        if marker.exists():
            _check_version(marker)
        if write:
            try:
                (self.runs / ".building").mkdir(parents=True, exist_ok=True)
                if not marker.exists():
                    write_json(marker, {"schema_version": SCHEMA_VERSION})
            except OSError as error:
                raise UserError(
                    f"cannot write results to {root}: {error.strerror}; give another with --out"
                ) from error

    def path(self, key: str) -> Path:
        """Where the run ``key`` lies once it is complete."""
        return self.runs / key

    def work(self, key: str) -> Path:
        """Where the run ``key`` is built."""
        return self.runs / ".building" / key

    def complete(self, key: str) -> bool:
        """Whether the run ``key`` is there, whole."""
        return self.path(key).is_dir()

    def whole(self, key: str) -> bool:
        """Whether the run ``key`` is there with all that a stage may read of it."""
        return self.complete(key) and not (self.path(key) / PRUNED).exists()

    def lock(self, key: str) -> Path:
        """The file that is locked while the run ``key`` is built."""
        return self.work(key).with_suffix(".lock")

    @contextmanager
    def in_use(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the folder, together with others who use it or ``alone``, by a lock that ends with this process.

        Raises:
            UserError: it is held in a way that goes not together with this one.
        """
        with (self.root / ".lock").open("a") as file:
            try:
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
            except BlockingIOError as error:
                other = "a run is at work" if alone else "`xdcbench prune` is at work"
                raise UserError(f"{other} in {self.root}; wait until it has ended") from error
            yield

    def keys(self) -> list[str]:
        """Keys of all complete runs, sorted."""
        if not self.runs.is_dir():
            return []
        return sorted(p.name for p in self.runs.iterdir() if p.is_dir() and not p.name.startswith("."))

    @contextmanager
    def building(self, key: str, *, anew: bool = False) -> Iterator[Path]:
        """The folder in which ``key`` is built, locked; what an interrupted build left is in it unless ``anew``.

        Raises:
            UserError: another process is building the same run.
        """
        work = self.work(key)
        lock = FileLock(self.lock(key))
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise UserError(
                f"another process is building {key} in {self.root}; wait for it or use --out"
            ) from error
        try:
            if anew:
                shutil.rmtree(work, ignore_errors=True)
            work.mkdir(exist_ok=True)
            yield work
        finally:
            lock.release()
            if not work.exists():
                Path(lock.lock_file).unlink(missing_ok=True)

    def publish(self, key: str, work: Path) -> None:
        """Make ``work`` the run ``key`` by one rename; an earlier one is moved aside first.

        Its checkpoints go afterwards: killed before, the run goes on from them.
        """
        target, old = self.path(key), work.with_name(f"{key}.old")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        work.rename(target)
        shutil.rmtree(old, ignore_errors=True)
        for path in (path for pattern in CHECKPOINTS for path in target.glob(pattern)):
            path.unlink()

    def fail(self, key: str, error: str) -> Path:
        """Keep the log and the error of a failed attempt; returns their folder."""
        attempts = self.runs / ".failed" / key
        attempts.mkdir(parents=True, exist_ok=True)
        attempt = attempts / f"{len(list(attempts.iterdir())) + 1:03d}"
        attempt.mkdir()
        (attempt / "error.txt").write_text(error)
        log = self.work(key) / "log.txt"
        if log.exists():
            shutil.copy(log, attempt / "log.txt")
        return attempt

    def resolve(self, prefix: str) -> Path:
        """The one run or failed attempt whose key starts with ``prefix`` or ends so after the kind.

        Raises:
            UserError: none or several match.
        """
        failed = self.runs / ".failed"
        everything = self.keys() + (sorted(p.name for p in failed.iterdir()) if failed.is_dir() else [])
        found = sorted({k for k in everything if k.startswith(prefix) or k.split("-")[-1].startswith(prefix)})
        if len(found) != 1:
            many = f"matches {len(found)} runs: {', '.join(found[:5])}" if found else "matches no run"
            raise UserError(f"{prefix!r} {many} in {self.root}; give more of the key, or another --out")
        return self.path(found[0]) if self.complete(found[0]) else failed / found[0]


def file_hash(path: Path) -> str:
    """Sha256 of a file's content, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as JSON such that ``path`` is at every moment whole."""
    building = path.with_name(f".{path.name}.{os.getpid()}")
    building.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")
    building.replace(path)


def _check_version(marker: Path) -> None:
    content = read_json(marker)
    version = content.get("schema_version", 0) if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise UserError(f"{marker} states no version of a results folder; give another folder with --out")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"{marker.parent} was written by a newer xdcbench (results schema {version}, this one reads up "
            f"to {SCHEMA_VERSION}); upgrade xdcbench or give another folder with --out"
        )
