"""The results folder: keys, run directories that appear whole or not at all, locks, failures."""

import logging
import os
import shutil
import socket
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from xdcbench.errors import UserError
from xdcbench.results.marker import MARKER, SCHEMA_VERSION, holds_runs, is_marked
from xdcbench.utils.documents import write_json
from xdcbench.utils.io import drop_links, fsync, remove_part_files, writing
from xdcbench.utils.locks import READ_ONLY, LockedError, lock
from xdcbench.utils.manifest import CHECKPOINTS, MANIFEST, State, find_damage, make_again, write_manifest

PRUNED = "pruned.json"
"""File of a run that has its records but no longer all that a new stage could need (``prune``)."""

DAMAGED = ".damaged"
"""Folder in ``runs`` of damaged runs that ``verify-results --repair`` has moved aside."""

log = logging.getLogger("xdcbench")


class RunStore:
    """A results folder.

    ``runs/<key>/`` holds complete runs; ``runs/.building/<key>/`` one in work, with its checkpoints;
    ``runs/.failed/<key>/<attempt>/`` the log and error of an attempt that failed. A run counts as complete while
    its files are those that its manifest names (``damage``). Methods raise a UserError where files cannot be read
    or written, and on a folder of another version of this layout.
    """

    def __init__(self, root: Path, *, write: bool = True) -> None:
        self.root = root
        self.runs = root / "runs"
        self._hashed: set[State] = set()
        self._named: set[str] = set()
        marked = is_marked(root)
        if write:
            with self._writing():
                try:
                    (self.runs / ".building").mkdir(parents=True, exist_ok=True)
                    if not marked:
                        write_json(root / MARKER, {"schema_version": SCHEMA_VERSION})
                except OSError as error:
                    # A complete folder that is read-only serves a run with nothing to do.
                    if error.errno not in READ_ONLY or not self.runs.is_dir():
                        raise

    @classmethod
    def existing(cls, root: Path) -> "RunStore":
        """A results folder to read; nothing is made, and any other folder is refused."""
        if not (root / MARKER).exists() and not holds_runs(root):
            raise UserError(
                f"{root} is not a results folder. Try: run a suite with --results {root}, or name another folder"
            )
        return cls(root, write=False)

    def path(self, key: str) -> Path:
        """Where the run ``key`` lies once it is complete."""
        return self.runs / key

    def work(self, key: str) -> Path:
        """Where the run ``key`` is built."""
        return self.runs / ".building" / key

    def lock(self, key: str) -> Path:
        """The file that is locked while the run ``key`` is built."""
        return self.work(key).with_suffix(".lock")

    def damage(self, key: str, *, thorough: bool = False) -> str:
        """What is wrong with the run ``key``, which the log names once; empty where it is whole, or not there.

        ``thorough`` hashes all its files, as is due before they are read; each is hashed once by one process.
        """
        path = self.path(key)
        if not self.is_there(key):
            return ""
        try:
            said = find_damage(path, thorough=thorough, hashed=self._hashed)
        except OSError as error:
            raise UserError(
                f"cannot read {error.filename or path}: {error.strerror}. Try: the same command once it can be read"
            ) from error
        if said and key not in self._named:
            self._named.add(key)
            log.warning("%s is damaged: %s; it is left out until its suite makes it again", path, said)
        return said

    def complete(self, key: str, *, thorough: bool = False) -> bool:
        """Whether the run ``key`` is there, undamaged; ``thorough`` is as for ``damage``, which names what is wrong."""
        return self.is_there(key) and not self.damage(key, thorough=thorough)

    def whole(self, key: str, *, thorough: bool = False) -> bool:
        """Whether the run ``key`` is complete with all that a stage may read of it."""
        return not (self.path(key) / PRUNED).exists() and self.complete(key, thorough=thorough)

    def require(self, key: str) -> Path:
        """Directory of a complete run whose files are about to be read: all are hashed. Any other run is refused."""
        if said := self.damage(key, thorough=True):
            raise UserError(f"{self.path(key)} is damaged: {said}. {make_again(key)}")
        if not self.is_there(key):
            raise UserError(f"no run {key} in {self.root}. {make_again(key)}")
        return self.path(key)

    def stamp(self, key: str) -> tuple[int, int] | None:
        """What tells the run ``key`` from one that takes its place; None where it is not there."""
        try:
            facts = (self.path(key) / MANIFEST).stat()
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns

    def there(self) -> list[str]:
        """Keys of all run directories, damaged ones included, sorted."""
        if not self.runs.is_dir():
            return []
        return sorted(p.name for p in self.runs.iterdir() if p.is_dir() and not p.name.startswith("."))

    def keys(self, among: Collection[str] | None = None) -> list[str]:
        """Keys of all complete runs, or of those ``among`` others, sorted; the log names each damaged one, once."""
        damaged = self.damaged(among)
        return [key for key in self.there() if (among is None or key in among) and key not in damaged]

    def damaged(self, among: Collection[str] | None = None) -> dict[str, str]:
        """What is wrong with each damaged run, by key; one that cannot be read counts as damaged here."""
        found: dict[str, str] = {}
        for key in self.there():
            if among is not None and key not in among:
                continue
            try:
                said = self.damage(key)
            except UserError as error:
                said = str(error)
                log.warning("%s", said)
            if said:
                found[key] = said
        return found

    @contextmanager
    def in_use(self, *, alone: bool = False) -> Iterator[None]:
        """Hold the folder, together with others who use it or ``alone``, by a lock that ends with this process.

        Refused while another command holds it otherwise. A folder that is read-only is not locked, since nothing can
        go from it, and nobody can be ``alone`` in it.
        """
        with ExitStack() as stack:
            with self._writing():
                try:
                    stack.enter_context(lock(self.root / ".lock", shared=not alone))
                except LockedError as error:
                    other = "a run is at work" if alone else "`xdcbench prune` is at work"
                    raise UserError(f"{other} in {self.root}; wait until it has ended") from error
                except OSError as error:
                    if alone:
                        raise UserError(f"cannot change anything in {self.root}: {error.strerror}") from error
                    if error.errno not in READ_ONLY:
                        raise
            yield

    def _writing(self) -> AbstractContextManager[None]:
        return writing(f"results to {self.root}", "give another with --results")

    @contextmanager
    def held(self, key: str, *, wait: bool = True) -> Iterator[None]:
        """Hold the run ``key``, so that no other process builds it.

        Raises:
            LockedError: another process holds it, and this one is not to ``wait``; the text says which.
        """
        waiting = f"waiting for {key}, which another command is making in {self.root}" if wait else None
        with ExitStack() as stack:
            with self._writing():
                (self.runs / ".building").mkdir(exist_ok=True)
                gone = stack.enter_context(lock(self.lock(key), waiting=waiting, owner=this_process()))
            self._look_again()
            if gone and not self.is_there(key):
                log.info("%s: %s, which was making it, is gone", key, gone)
            yield

    def is_there(self, key: str) -> bool:
        """Whether there is a run ``key``, damaged or not, also if another node has just published it."""
        if not self.path(key).is_dir():
            self._look_again()
        return self.path(key).is_dir()

    def _look_again(self) -> None:
        """Have NFS ask its server what ``runs`` holds, which it does when a folder is opened."""
        with suppress(OSError):
            os.close(os.open(self.runs, os.O_RDONLY))

    def begin(self, key: str, *, anew: bool = False) -> Path:
        """The folder in which ``key``, which is held, is built: with what an interrupted build left, or ``anew``."""
        work = self.work(key)
        if anew:
            shutil.rmtree(work, ignore_errors=True)
        with self._writing():
            drop_links(work)
            work.mkdir(exist_ok=True)
            remove_part_files(work)
        return work

    @contextmanager
    def building(self, key: str, *, anew: bool = False) -> Iterator[Path]:
        """``held``, and the folder of ``begin``."""
        with self.held(key):
            yield self.begin(key, anew=anew)

    def publish(self, key: str, work: Path) -> None:
        """Make ``work`` the run ``key`` by one rename, once all of it is on the disk; an earlier one goes.

        Its checkpoints go afterwards: killed before, the run is resumed from them.
        """
        target, old = self.path(key), work.with_name(f"{key}.old")
        write_manifest(work)
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        work.rename(target)
        for folder in (self.runs, work.parent):
            fsync(folder)
        self._named.discard(key)
        shutil.rmtree(old, ignore_errors=True)
        for path in (path for pattern in CHECKPOINTS for path in target.glob(pattern)):
            path.unlink()

    def fail(self, key: str, error: str) -> Path:
        """Keep the log and the error of a failed attempt; returns their folder."""
        attempts = self.runs / ".failed" / key
        attempts.mkdir(parents=True, exist_ok=True)
        attempt = attempts / f"{len(list(attempts.iterdir())) + 1:03d}"
        attempt.mkdir()
        (attempt / "error.txt").write_text(error, encoding="utf-8", errors="backslashreplace")
        log = self.work(key) / "log.txt"
        if log.exists():
            shutil.copy(log, attempt / "log.txt")
        return attempt

    def resolve(self, prefix: str) -> Path:
        """The one run, damaged or not, or failed attempt that ``keys_named`` finds; none and several are refused."""
        failed = self.runs / ".failed"
        everything = self.there() + (sorted(p.name for p in failed.iterdir()) if failed.is_dir() else [])
        found = keys_named(prefix, everything)
        if len(found) != 1:
            many = f"matches {len(found)} runs: {', '.join(found[:5])}" if found else "matches no run"
            raise UserError(
                f"{prefix!r} {many} in {self.root}. Try: more of the key, or a name that `xdcbench runs` "
                "lists"
            )
        path = self.path(found[0])
        return path if path.is_dir() else failed / found[0]


def this_process() -> str:
    """What others are told of the command that makes a run."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def keys_named(prefix: str, keys: Iterable[str]) -> list[str]:
    """Those of ``keys`` that start with ``prefix``, or whose hash does, sorted."""
    return sorted({key for key in keys if key.startswith(prefix) or key.split("-")[-1].startswith(prefix)})
