"""Where the real data sets of a suite lie on this machine, and fingerprints that survive planning."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from xdcbench.data.scan import fingerprint, scan
from xdcbench.schema import Dataset, Suite
from xdcbench.stages import IndexStage, Source, science
from xdcbench.store import read_json, write_json


def used_datasets(suite: Suite) -> list[str]:
    """Names of the data sets that a suite learns from or measures on."""
    learned = [group.data for group in suite.pretraining if group.data]
    return sorted({*learned, *(measure.dataset for measure in suite.measure)})


def root_of(dataset: Dataset, data_root: Path | None) -> Path | None:
    """Folder of a data set: its own ``root``, or its folder below the data root."""
    if dataset.root:
        return Path(dataset.root)
    return data_root / dataset.folder if data_root else None


def find_source(name: str, dataset: Dataset, data_root: Path | None, *, cache: Path | None) -> Source:
    """The fingerprint of a data set's files, or why it is not available here.

    A folder is scanned once; later the scan is trusted while no folder below it and no list file changed.

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
    text = json.dumps([str(root.resolve()), science(config)], sort_keys=True)
    entry = cache / f"scan-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json" if cache else None
    if entry is not None and entry.exists():
        known = read_json(entry)
        if known["stamps"] == stamps(known["stamps"]):
            return Source(known["fingerprint"])
    found = scan(root, dataset)
    mark = fingerprint(found)
    if entry is not None:
        watched = {str(folder) for folder, _, _ in os.walk(root, followlinks=True)}
        watched |= {str(path) for path in found.sources}
        entry.parent.mkdir(parents=True, exist_ok=True)
        write_json(entry, {"fingerprint": mark, "stamps": stamps(watched)})
    return Source(mark)


def stamps(paths: Iterable[str]) -> dict[str, int]:
    """Time of the last change of each folder or list file, nanoseconds; -1 where it is gone."""
    return {path: Path(path).stat().st_mtime_ns if Path(path).exists() else -1 for path in sorted(paths)}
