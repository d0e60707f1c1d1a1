"""Whether the runs of results folders are what was written, by hash, and moving aside those that are not."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from xdcbench.results.marker import MARKER, is_marked
from xdcbench.results.run_store import DAMAGED, RunStore
from xdcbench.utils.manifest import find_damage, renew
from xdcbench.utils.progress import track


def verify_results(folders: Sequence[Path], *, repair: bool) -> tuple[list[str], int]:
    """Hash every file of every complete run.

    ``repair`` moves each damaged run to ``runs/.damaged``, so that its suite makes it again; a lost
    ``results.json`` is written again, and copies of whole runs get times by which they count as unchanged.

    Returns:
        Lines for the user, and the exit code: 1 where anything was found damaged, also if it is repaired now.

    Raises:
        UserError: a folder is not a results folder; or, to repair, a run is at work in it or it is read-only.
    """
    lines: list[str] = []
    faults = 0
    for root in folders:
        store = RunStore.existing(root)
        with store.in_use(alone=True) if repair else nullcontext():
            said, bad = _verified(store, repair=repair)
        lines += said
        faults += bad
    return lines, 1 if faults else 0


def _verified(store: RunStore, *, repair: bool) -> tuple[list[str], int]:
    lines: list[str] = []
    if not is_marked(store.root):
        lines.append(f"damaged  {store.root / MARKER}")
        if repair:
            RunStore(store.root)
            lines.append(f"repaired {store.root / MARKER}: written again")
    keys = store.there()
    with track(f"verifying {store.root}", len(keys)) as tick:
        for path in map(store.path, keys):
            try:
                said = find_damage(path, thorough=True, hashed=set())
            except OSError as error:
                lines.append(f"damaged  {error.filename or path} cannot be read: {error.strerror}")
            else:
                lines += [f"damaged  {path}: {said}"] if said else []
                if said and repair:
                    lines.append(f"repaired {path}: moved to {_moved(path)}; its suite makes it again")
                elif repair:
                    renew(path)
            tick()
    faults = sum(line.startswith("damaged") for line in lines)
    return [*lines, f"{store.root}: {len(keys)} runs verified, {faults or 'nothing'} damaged"], faults


def _moved(run: Path) -> Path:
    """Where a run lies after it was moved aside."""
    folder = run.parent / DAMAGED
    folder.mkdir(exist_ok=True)
    count = len(list(folder.glob(f"{run.name}*")))
    return run.rename(folder / (f"{run.name}.{count}" if count else run.name))
