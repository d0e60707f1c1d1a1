"""Where the real data sets of a suite lie on this machine, and fingerprints that survive planning."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from typing_extensions import TypedDict

from xdcbench.data.audit.known import lengths_mark, verified_lengths
from xdcbench.data.prepared.cache import Cache
from xdcbench.data.prepared.layout import LABEL_FILE
from xdcbench.data.prepared.reader import Prepared, open_store
from xdcbench.data.prepared.remote import files_at
from xdcbench.data.scan import VERSION, scan
from xdcbench.data.states import Marks, Mode, marks
from xdcbench.errors import UserError
from xdcbench.progress import log
from xdcbench.schema import Dataset, Subset, Suite
from xdcbench.stages import IndexStage, Source, science
from xdcbench.store import recall, write_json
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.secrets import redact
from xdcbench.utils.tree import Folder, folders


def used_datasets(suite: Suite) -> list[str]:
    """Names of the data sets that a suite learns from or measures on."""
    learned = [group.data for group in suite.pretraining if group.data]
    return sorted({*learned, *(measure.dataset for measure in suite.measure)})


def root_of(dataset: Dataset, data_root: Path | None) -> Path | None:
    """Folder of a data set: its own ``root``, or its folder below the data root."""
    if dataset.root:
        return Path(dataset.root)
    return data_root / dataset.folder if data_root else None


def find_source(
    name: str,
    dataset: Dataset,
    data_root: Path | None,
    *,
    cache: Path | None,
    verified: Path | None = None,
    mode: Mode = "size",
    consent: Consent = NO_CODE,
) -> Source:
    """The marks of a data set's files, or why it is not available here.

    A folder is scanned once; later the scan is trusted while no folder below it and no list file changed, but that
    every file is looked at where contents count.

    Args:
        name: of the data set.
        dataset: its configuration.
        data_root: folder of all data sets.
        cache: folder of what planning remembers; None remembers nothing.
        verified: ``data`` of the results folder, where `data verify` keeps what it finds.
        mode: what of the files the fingerprint covers.
        consent: the code of others that the user lets run.

    Raises:
        UserError: the folder is there, but its lists or files do not fit the data set's layout.
    """
    root = root_of(dataset, data_root)
    if root is None:
        return Source(
            unavailable=f"no place given for {name}; give --data-root or --set datasets.{name}.root=DIR"
        )
    if not root.is_dir():
        return Source(unavailable=f"no folder {root} for {name}")
    config = IndexStage(name=name, dataset=dataset)
    text = json.dumps([VERSION, str(root.resolve()), science(config)], sort_keys=True)
    entry = cache / f"scan-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json" if cache else None
    if entry is not None and mode == "size":
        known: _Scanned | None = recall(entry, _Scanned)
        if known and known["stamps"] == stamps(known["stamps"]):
            return _source(Marks(known["fingerprint"], known["stamp"]), root, verified)
    found = scan(root, dataset, consent)
    now = marks(found, root, mode, cache)
    if entry is not None and mode == "size":
        # The scan has named what is passed over.
        watched = {folder.path for folder in folders(Folder.top(root), lambda path, reason: None)}
        watched |= {str(path) for path in found.sources}
        kept = {"fingerprint": now.fingerprint, "stamp": now.stamp, "stamps": stamps(watched)}
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            write_json(entry, kept)
        except OSError as error:  # a finished results folder may be read-only
            log.info("the scan of %s is not kept: %s", root, error.strerror)
    return _source(now, root, verified)


def _source(mark: Marks, root: Path, verified: Path | None) -> Source:
    lengths = lengths_mark(verified_lengths(verified, mark.fingerprint, root)) if verified else None
    return Source(mark.fingerprint, stamp=mark.stamp, lengths=lengths)


class _Scanned(TypedDict):
    """What is kept of a scan."""

    fingerprint: str
    stamp: str
    stamps: dict[str, list[int]]


def find_stores(
    places: Sequence[str], datasets: Mapping[str, Dataset], cache: Cache | None = None
) -> dict[str, Prepared]:
    """Prepared stores by the data sets that are read from them.

    Args:
        places: folders or addresses, each of a store, or of stores below it by the names of their data sets.
        datasets: those that are used; a store of another is not read.
        cache: for what is read of remote stores.

    Raises:
        UserError: there is no store at a place, there are two of one data set, or one is of another
            configuration of the data set.
    """
    found: dict[str, Prepared] = {}
    for place in places:
        for store in _stores_at(place.rstrip("/"), datasets, cache):
            name = store.label.name
            if name in found:
                raise UserError(
                    f"--store: {found[name].where} and {store.where} both hold {name}; give one of them"
                )
            if name not in datasets:
                log.warning("store %s holds %s, which this suite does not use", store.where, name)
                continue
            _check_store(store, datasets[name])
            found[name] = store
    return found


def _stores_at(place: str, datasets: Mapping[str, Dataset], cache: Cache | None) -> list[Prepared]:
    if files_at(place, cache).has(LABEL_FILE):
        return [open_store(place, cache)]
    below = [f"{place}/{name}" for name in datasets]
    stores = [open_store(where, cache) for where in below if files_at(where, cache).has(LABEL_FILE)]
    if not stores:
        raise UserError(
            f"--store {redact(place)}: no {LABEL_FILE} there, nor in a folder below it named {', '.join(datasets)}; "
            f"give what `xdcbench data prepare` wrote"
        )
    return stores


def _check_store(store: Prepared, dataset: Dataset) -> None:
    """Splits and subset may be fewer than those that the store was made with; what it holds may not differ."""
    label = store.label
    known = {
        name: field.get_default(call_default_factory=True) for name, field in Dataset.model_fields.items()
    }
    for name in ("adapter", "media", "options"):
        asked, held = getattr(dataset, name), label.dataset.get(name, known[name])
        if asked != held:
            raise UserError(
                f"store {store.where} was made from {label.name} with {name} {held!r}, and {asked!r} is asked for; "
                f"prepare another, or set datasets.{label.name}.{name}"
            )
    part = Subset.model_validate(label.dataset.get("subset", {}))
    if part.words and part != dataset.subset:
        raise UserError(
            f"store {store.where} holds a subset of {label.name}, {part.words}; prepare the whole, or set "
            f"datasets.{label.name}.subset to the same"
        )
    for split in dataset.splits:
        if split not in label.splits:
            raise UserError(
                f"store {store.where} has no split {split!r} of {label.name}, only {', '.join(label.splits)}; prepare "
                f"another with it, or set datasets.{label.name}.splits"
            )


def stamps(paths: Iterable[str]) -> dict[str, list[int]]:
    """Times of the last change of each folder or list file and of its inode, nanoseconds; none where it is gone.

    Tools that keep a file's own time, as ``cp -p`` does, change that of the inode.
    """
    found = {path: Path(path).stat() if Path(path).exists() else None for path in sorted(paths)}
    return {path: [facts.st_mtime_ns, facts.st_ctime_ns] if facts else [] for path, facts in found.items()}
