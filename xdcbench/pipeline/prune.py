"""Room on the disk: what a results folder holds that no kept result needs."""

import fnmatch
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from xdcbench.errors import UserError
from xdcbench.results.run_facts import RunFacts, read_facts
from xdcbench.results.run_store import DAMAGED, PRUNED, RunStore
from xdcbench.utils.disk import disk_usage
from xdcbench.utils.documents import write_json
from xdcbench.utils.format import short
from xdcbench.utils.io import file_system_time, remove_part_files
from xdcbench.utils.locks import LockedError, is_locked, lock
from xdcbench.utils.manifest import forget
from xdcbench.utils.progress import log

LEFT = ("checkpoint*", ".checkpoint", "features", "features*.npy", "extracted")
"""What a stage works with and a complete run of another kind than ``features`` does not need."""

KEPT_OF_FAILURES = ("error.txt", "log.txt")


@dataclass(frozen=True)
class Removal:
    """What can go.

    Attributes:
        what: in words, as the summary counts it.
        paths: files and folders.
        run: the complete run that they are of; None where they are of none.
        input: whether that run can no longer be used as an input without them.
        key: run or attempt whose lock is held while they go; None without one.
    """

    what: str
    paths: tuple[Path, ...]
    run: Path | None = None
    input: bool = False
    key: str | None = None


def prune_lines(
    out: Path, *, dry_run: bool, keep: Sequence[str], older_than: float, encoders: bool
) -> Iterator[str]:
    """Remove what is not needed, and say what of each kind went and how much room that made.

    Args:
        keep: patterns of keys and names of runs of which nothing goes.
        older_than: age from which an interrupted build is given up.
        encoders: whether encoders of rounds that a later round continued from go as well.

    Raises:
        UserError: ``out`` is not a results folder or read-only, or a run is at work in it.
    """
    store = RunStore.existing(out)
    counts: dict[str, int] = defaultdict(int)
    sizes: dict[str, int] = defaultdict(int)
    # Between two stages no key is locked, and what the next one needs must not go.
    with nullcontext() if dry_run else store.in_use(alone=True), _removing(out):
        for find in find_removals(store, keep=keep, hours=older_than, encoders=encoders):
            size = sum(map(disk_usage, find.paths))
            if dry_run or remove(find, store):
                counts[find.what] += 1
                sizes[find.what] += size
        if not dry_run:
            remove_part_files(out, older=older_than * 3600)
            _unlock(store)
    for what, count in counts.items():
        yield f"{what:<28} {count:>5}  {short(sizes[what], 'B')}"
    yield f"{'would free' if dry_run else 'freed'} {short(sum(sizes.values()), 'B')} in {out}"


@contextmanager
def _removing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot remove {error.filename or 'files'} from {out}: {error.strerror}") from error


def find_removals(store: RunStore, *, keep: Sequence[str], hours: float, encoders: bool) -> Iterator[Removal]:
    """What can go; see ``prune_lines``."""
    yield from _builds(store, keep, hours)
    yield from _failures(store, keep)
    aside = (path for path in sorted((store.runs / DAMAGED).glob("*")) if not _matches(keep, path.name))
    yield from (Removal("damaged runs moved aside", (path,)) for path in aside)
    runs = {key: read_facts(store.path(key)) for key in store.keys()}  # noqa: SIM118
    free = {key: about for key, about in runs.items() if not _matches(keep, key, about["name"])}
    for key, about in free.items():
        if about["kind"] != "features":
            left = tuple(sorted(path for pattern in LEFT for path in store.path(key).glob(pattern)))
            if left:
                yield Removal("files of finished work", left, run=store.path(key))
    busy = [key for key in _building(store) if is_locked(store.lock(key))]
    if busy:
        log.warning("features and encoders stay while %s is in work", ", ".join(busy))
        return
    read = {source for about in runs.values() for source in about["inputs"].values()}
    yield from _matrices(store, {key: about for key, about in free.items() if key in read})
    if encoders:
        yield from _encoders(store, runs, free)


def remove(find: Removal, store: RunStore) -> bool:
    """Remove a find; False where another process has begun to work on it."""
    if find.key is not None:
        try:
            with lock(store.lock(find.key)):
                _remove(find.paths)
        except LockedError:
            return False
        return True
    if find.run is not None:
        note = find.run / PRUNED
        if find.input and not note.exists():
            # First the note, then the files: a run is never taken for whole that is not.
            write_json(note, {"removed": [path.name for path in find.paths]})
        forget(find.run, find.paths, new=[note] if find.input else [])
    _remove(find.paths)
    return True


def _unlock(store: RunStore) -> None:
    """Remove lock files that nobody holds; as long as no run may begin, nobody waits for one either."""
    for path in (store.runs / ".building").glob("*.lock"):
        if not is_locked(path):
            path.unlink()


def _builds(store: RunStore, keep: Sequence[str], hours: float) -> Iterator[Removal]:
    """Interrupted builds that were given up, that failed, or whose run is there."""
    for key in _building(store):
        if _matches(keep, key) or is_locked(store.lock(key)):
            continue
        work, old = store.work(key), store.work(key).with_name(f"{key}.old")
        failed = (store.runs / ".failed" / key).is_dir()
        if work.is_dir() and (store.complete(key) or failed or _age(work) >= hours * 3600):
            yield Removal("builds that failed" if failed else "interrupted builds", (work,), key=key)
        if old.is_dir() and store.complete(key):
            yield Removal("replaced runs", (old,), key=key)


def _failures(store: RunStore, keep: Sequence[str]) -> Iterator[Removal]:
    """What failed attempts left beside their error and log."""
    for attempt in sorted((store.runs / ".failed").glob("*/*")):
        rest = tuple(path for path in sorted(attempt.iterdir()) if path.name not in KEPT_OF_FAILURES)
        if rest and not _matches(keep, attempt.parent.name):
            yield Removal("files of failed attempts", rest)


def _matrices(store: RunStore, free: dict[str, RunFacts]) -> Iterator[Removal]:
    """Features that a finished evaluation has read."""
    for key, about in free.items():
        matrix = store.path(key) / "features.npy"
        if about["kind"] == "features" and matrix.exists():
            yield Removal("matrices of features", (matrix,), run=store.path(key), input=True)


def _encoders(store: RunStore, runs: dict[str, RunFacts], free: dict[str, RunFacts]) -> Iterator[Removal]:
    """Weights of rounds that a later round continued from; centroids stay."""
    rounds = [about for about in runs.values() if about["kind"] == "round"]
    passed = {about["inputs"]["encoders"] for about in rounds}
    for key, about in free.items():
        weights = set(store.path(key).glob("*.safetensors")) - {store.path(key) / "centroids.safetensors"}
        if about["kind"] == "round" and key in passed and weights:
            paths = tuple(sorted(weights))
            yield Removal("encoders of earlier rounds", paths, run=store.path(key), input=True)


def _building(store: RunStore) -> list[str]:
    """Keys of which something lies where runs are built."""
    folder = store.runs / ".building"
    return sorted({path.name.split(".")[0] for path in folder.iterdir()}) if folder.is_dir() else []


def _matches(patterns: Iterable[str], *names: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns for name in names)


def _age(folder: Path) -> float:
    """Seconds since anything in a folder changed."""
    return file_system_time(folder.parent) - max(
        path.stat().st_mtime for path in (folder, *folder.rglob("*"))
    )


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
