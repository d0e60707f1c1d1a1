"""Where the real datasets of a suite lie on this machine, and fingerprints that survive planning."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from typing_extensions import TypedDict

from xdcbench.config.data import Dataset, Subset
from xdcbench.config.keys import science
from xdcbench.config.stages import IndexStage
from xdcbench.config.suite import Suite
from xdcbench.data.context import Source
from xdcbench.data.fingerprints import Fingerprints, Mode, fingerprints
from xdcbench.data.known_lengths import lengths_hash, verified_lengths
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import VERSION
from xdcbench.data.shards.cache import Cache
from xdcbench.data.shards.layout import MANIFEST_FILE
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.data.shards.remote import files_at
from xdcbench.errors import UserError
from xdcbench.utils.code import NO_CODE, Consent
from xdcbench.utils.documents import read_cache, write_json
from xdcbench.utils.progress import log
from xdcbench.utils.secrets import redact
from xdcbench.utils.tree import Folder, folders


def used_datasets(suite: Suite) -> list[str]:
    """Names of the datasets that a suite learns from or measures on."""
    learned = [group.data for group in suite.pretraining if group.data]
    return sorted({*learned, *(measure.dataset for measure in suite.evaluate)})


def root_of(dataset: Dataset, data_root: Path | None) -> Path | None:
    """Folder of a dataset: its own ``root``, or its folder below the data root."""
    if dataset.root:
        return Path(dataset.root)
    return data_root / dataset.folder if data_root else None


@dataclass(frozen=True)
class Lookup:
    """Where and how datasets are looked for on this machine.

    Attributes:
        data_root: folder of all datasets.
        cache: folder of what planning remembers; None remembers nothing.
        verified: ``data`` of the results folder, where `data verify` keeps what it finds.
        mode: what of the files the fingerprint covers.
        consent: the code of others that the user lets run.
    """

    data_root: Path | None
    cache: Path | None = None
    verified: Path | None = None
    mode: Mode = "size"
    consent: Consent = NO_CODE


def find_source(name: str, dataset: Dataset, lookup: Lookup) -> Source:
    """The marks of a dataset's files, or why it is not available here.

    A folder is scanned once; later the scan is trusted while no folder below it and no list file changed, but that
    every file is looked at where contents count.

    Raises:
        UserError: the folder is there, but its lists or files do not fit the dataset's layout.
    """
    root, cache = root_of(dataset, lookup.data_root), lookup.cache
    if root is None:
        return Source(
            unavailable=f"no place given for {name}; give --data-root or --set datasets.{name}.root=DIR"
        )
    if not root.is_dir():
        return Source(unavailable=f"no folder {root} for {name}")
    config = IndexStage(name=name, dataset=dataset)
    text = json.dumps([VERSION, str(root.resolve()), science(config)], sort_keys=True)
    entry = cache / f"scan-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json" if cache else None
    if entry is not None and lookup.mode == "size":
        known: _Scanned | None = read_cache(entry, _Scanned)
        if known and known["stamps"] == stamps(known["stamps"]):
            return _source(Fingerprints(known["fingerprint"], known["stamp"]), root, lookup.verified)
    found = scan(root, dataset, lookup.consent)
    now = fingerprints(found, root, lookup.mode, cache)
    if entry is not None and lookup.mode == "size":
        # The scan has named what is passed over.
        watched = {folder.path for folder in folders(Folder.top(root), lambda path, reason: None)}
        watched |= {str(path) for path in found.sources}
        kept = {"fingerprint": now.fingerprint, "stamp": now.stamp, "stamps": stamps(watched)}
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            write_json(entry, kept)
        except OSError as error:  # a finished results folder may be read-only
            log.info("the scan of %s is not kept: %s", root, error.strerror)
    return _source(now, root, lookup.verified)


def _source(mark: Fingerprints, root: Path, verified: Path | None) -> Source:
    lengths = lengths_hash(verified_lengths(verified, mark.fingerprint, root)) if verified else None
    return Source(mark.fingerprint, stamp=mark.stamp, lengths=lengths)


class _Scanned(TypedDict):
    """What is kept of a scan."""

    fingerprint: str
    stamp: str
    stamps: dict[str, list[int]]


def find_shards(
    places: Sequence[str], datasets: Mapping[str, Dataset], cache: Cache | None = None
) -> dict[str, ShardReader]:
    """Prepared shards by the datasets that are read from them.

    Args:
        places: folders or addresses, each of one dataset's shards, or of shards below it by dataset.
        datasets: those that are used; shards of another are not read.
        cache: for remote shards.

    Raises:
        UserError: there are no shards at a place, two hold one dataset, or some are of another
            configuration of the dataset.
    """
    found: dict[str, ShardReader] = {}
    for place in places:
        for reader in _readers_at(place.rstrip("/"), datasets, cache):
            name = reader.manifest.name
            if name in found:
                raise UserError(
                    f"--shards: {found[name].where} and {reader.where} both hold {name}; give one of them"
                )
            if name not in datasets:
                log.warning("shards %s hold %s, which this suite does not use", reader.where, name)
                continue
            _check_shards(reader, datasets[name])
            found[name] = reader
    return found


def _readers_at(place: str, datasets: Mapping[str, Dataset], cache: Cache | None) -> list[ShardReader]:
    if files_at(place, cache).has(MANIFEST_FILE):
        return [open_shards(place, cache)]
    below = [f"{place}/{name}" for name in datasets]
    readers = [open_shards(where, cache) for where in below if files_at(where, cache).has(MANIFEST_FILE)]
    if not readers:
        raise UserError(
            f"--shards {redact(place)}: no {MANIFEST_FILE} there, nor in a folder below it named "
            f"{', '.join(datasets)}; give what `xdcbench data prepare` wrote"
        )
    return readers


def _check_shards(reader: ShardReader, dataset: Dataset) -> None:
    """Splits and subset may be fewer than those that the shards were made with; what they hold may not differ."""
    manifest = reader.manifest
    known = {
        name: field.get_default(call_default_factory=True) for name, field in Dataset.model_fields.items()
    }
    for name in ("adapter", "media", "options", "classes"):
        values = getattr(dataset, name), manifest.dataset.get(name, known[name])
        asked, held = (list(value) if isinstance(value, tuple) else value for value in values)
        if asked != held:
            raise UserError(
                f"shards {reader.where} were made from {manifest.name} with {name} {held!r}, "
                f"and {asked!r} is asked for; "
                f"prepare another, or set datasets.{manifest.name}.{name}"
            )
    part = Subset.model_validate(manifest.dataset.get("subset", {}))
    if part.words and part != dataset.subset:
        raise UserError(
            f"shards {reader.where} hold a subset of {manifest.name}, {part.words}; prepare the whole, or set "
            f"datasets.{manifest.name}.subset to the same"
        )
    for split in dataset.splits:
        if split not in manifest.splits:
            raise UserError(
                f"shards {reader.where} have no split {split!r} of {manifest.name}, "
                f"only {', '.join(manifest.splits)}; prepare "
                f"another with it, or set datasets.{manifest.name}.splits"
            )


def stamps(paths: Iterable[str]) -> dict[str, list[int]]:
    """Times of the last change of each folder or list file and of its inode, nanoseconds; none where it is gone.

    Tools that keep a file's own time, as ``cp -p`` does, change that of the inode.
    """
    found = {path: Path(path).stat() if Path(path).exists() else None for path in sorted(paths)}
    return {path: [facts.st_mtime_ns, facts.st_ctime_ns] if facts else [] for path, facts in found.items()}
