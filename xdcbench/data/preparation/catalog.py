"""The index of shards and their manifest: rows of what is prepared, joined to the dataset's items."""

import filecmp
from pathlib import Path
from typing import Any

import av
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from xdcbench.config.data import ShardSettings
from xdcbench.config.keys import science
from xdcbench.config.stages import IndexStage
from xdcbench.data.fingerprints import KEY, mtimes
from xdcbench.data.index import FACTS
from xdcbench.data.local import LocalDataset
from xdcbench.data.scanning.items import LABELS, MISSING
from xdcbench.data.shards.layout import (
    FAILED_FILE,
    ITEMS_FILE,
    KINDS,
    MANIFEST_FILE,
    NO_SHARD,
    PLACES,
    Shard,
    ShardsManifest,
    read_manifest,
    shards_fingerprint,
)
from xdcbench.errors import UserError
from xdcbench.utils.documents import write_json
from xdcbench.utils.io import file_hash

HASHES = {f"{kind}_sha256": "object" for kind in KINDS}
ROW = {"path": "object", "bytes": "int64"} | FACTS | PLACES | HASHES
"""Columns that preparing finds out about an original, and the original's path and bytes."""

ROWS = 1 << 17
"""Rows of a row group."""


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows by names of columns."""
    rows: list[Any] = table.to_dict("records")
    return rows


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows, each with all of `ROW`, in its types; hashes are given in hex."""
    table = pd.DataFrame(rows, columns=list(ROW))
    for name in HASHES:
        table[name] = pd.Series(
            [bytes.fromhex(h) if isinstance(h, str) else None for h in table[name]], dtype="object"
        )
    return table.astype(ROW)


def read_rows(folder: Path) -> pd.DataFrame:
    """The columns of `ROW` of the index of shards; UserError where it cannot be read."""
    path = folder / ITEMS_FILE
    try:
        table: pd.DataFrame = pq.read_table(path, columns=list(ROW)).to_pandas()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} cannot be read ({reason}); prepare the dataset into another folder"
        ) from error
    return table.astype(ROW)


def write_shards(
    folder: Path, data: LocalDataset, settings: ShardSettings, shards: list[Shard], rows: pd.DataFrame
) -> pd.DataFrame:
    """Write ``items.parquet``, ``failed.json`` and, last, ``shards.json``; files that would not change are left.

    ``rows`` are of `ROW`, of all originals that were looked at, and maybe of some that are gone.

    Returns:
        the items as written.
    """
    items = _items(data, rows)
    _write(folder / ITEMS_FILE, items)
    faults = items[items["reason"] != ""]
    write_json(folder / FAILED_FILE, dict(zip(faults["id"], faults["reason"], strict=True)))
    dataset = data.dataset
    manifest = ShardsManifest(
        name=data.name,
        dataset=science(IndexStage(name=data.name, dataset=dataset))["dataset"],
        media=dataset.media,
        classes=data.scan.classes,
        splits=dataset.splits,
        official=dataset.official_splits or dataset.splits,
        settings=settings,
        source_fingerprint=data.fingerprint,
        fingerprint=shards_fingerprint(settings, data.fingerprint, items),
        items_sha256=file_hash(folder / ITEMS_FILE),
        versions={"av": av.__version__} | {k: ".".join(map(str, v)) for k, v in av.library_versions.items()},
        shards=tuple(shards),
    )
    if not (folder / MANIFEST_FILE).exists() or read_manifest(folder) != manifest:
        manifest.save(folder)
    return items


def _items(data: LocalDataset, rows: pd.DataFrame) -> pd.DataFrame:
    """Items of the scan with what is known of each; of several rows of one original the last counts."""
    items = data.scan.items.assign(mtime=mtimes(data.scan.items, data.root))
    rows = rows.drop_duplicates(KEY, keep="last").astype({"path": items["path"].dtype})
    joined = items.merge(rows, how="left", on=KEY)
    missing = joined["bytes"] == MISSING
    changed = joined["ok"].isna() & ~missing
    joined["reason"] = (
        joined["reason"].mask(missing, "missing").mask(changed, "changed while it was prepared")
    )
    blank = {"ok": False, "video": False, "audio": False, "number": -1, "shard": NO_SHARD}
    blank |= {name: 0 for name in PLACES if name not in ("number", "shard", "mtime")}
    typed = joined.astype({"ok": "boolean", "video": "boolean", "audio": "boolean"}).fillna(blank)
    return typed.astype({name: kind for name, kind in (FACTS | PLACES).items() if kind != "object"})


def _write(path: Path, items: pd.DataFrame) -> None:
    """Numbers lie in columns of their own, so that random access by item reads little of the file."""
    table = pa.Table.from_pandas(items, preserve_index=False)
    for name in HASHES:
        place = table.schema.get_field_index(name)
        table = table.set_column(
            place, name, pa.array(items[name].where(items[name].notna(), None), pa.binary(32))
        )
    if LABELS in items:
        place = table.schema.get_field_index(LABELS)
        table = table.set_column(place, LABELS, table[LABELS].cast(pa.list_(pa.int64())))
    part = path.with_name(f".{path.name}")
    repeated = [
        name for name in table.schema.names if name.startswith("split:") or name in ("group", "reason")
    ]
    pq.write_table(table, part, row_group_size=ROWS, compression="zstd", use_dictionary=repeated)
    if path.exists() and filecmp.cmp(part, path, shallow=False):
        part.unlink()
    else:
        part.replace(path)
