"""Check that shards are as they were written: every shard and every member against its hash."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xdcbench.data.preparation.catalog import read_rows, records
from xdcbench.data.preparation.tar import Entry, ShardError, walk
from xdcbench.data.shards.layout import (
    ITEMS_FILE,
    KINDS,
    MANIFEST_FILE,
    SHARDS,
    Kind,
    Shard,
    ShardsManifest,
    read_manifest,
)
from xdcbench.utils.io import file_hash
from xdcbench.utils.parts import Part

SUFFIXES: dict[Kind, tuple[str, ...]] = {"video": ("mp4", "jpg"), "audio": ("wav", "flac")}


@dataclass(frozen=True)
class Verified:
    """What a verification found.

    Attributes:
        items: in the index.
        members: whose names, places and hashes are right.
        dead: bytes of members that no item of the index uses.
        faults: file and fault of whatever is wrong, one line each.
    """

    manifest: ShardsManifest
    items: int
    members: int
    dead: int
    faults: tuple[str, ...]


def verify_shards(folder: Path, *, workers: int, part: Part | None = None) -> Verified:
    """Read all shards once, ``workers`` of them at a time; or one ``part`` of them, and the index with the first.

    Raises:
        UserError: there are no shards, or those of a newer version, or their index cannot be read.
    """
    manifest, rows = read_manifest(folder), read_rows(folder)
    groups = dict(tuple(rows.groupby("shard")))

    def check(position: int) -> tuple[int, int, list[str]]:
        return _check(folder, manifest.shards[position], groups.get(position, rows[:0]))

    positions = range(len(manifest.shards))[part.slice if part else slice(None)]
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(check, positions))
    faults = [] if part and part.number > 1 else list(_of_index(folder, manifest, rows))
    faults += [fault for _, _, faults in found for fault in faults]
    members, dead = sum(right for right, _, _ in found), sum(unused for _, unused, _ in found)
    return Verified(manifest, len(rows), members, dead, tuple(faults))


def _of_index(folder: Path, manifest: ShardsManifest, rows: pd.DataFrame) -> Iterator[str]:
    if file_hash(folder / ITEMS_FILE) != manifest.items_sha256:
        yield f"{ITEMS_FILE}: is not the one that {MANIFEST_FILE} was written for"
    listed = {shard.name for shard in manifest.shards}
    for path in sorted((folder / SHARDS).glob("*")):
        if path.name not in listed:
            yield f"{SHARDS}/{path.name}: {MANIFEST_FILE} does not list it"
    held = (rows[[f"{kind}_size" for kind in KINDS]] > 0).any(axis=1)
    for row in rows[held & ~rows["shard"].between(0, len(manifest.shards) - 1)].itertuples():
        yield f"{ITEMS_FILE}: {row.path} lies in shard {row.shard}, which {MANIFEST_FILE} does not list"


def _check(folder: Path, shard: Shard, rows: pd.DataFrame) -> tuple[int, int, list[str]]:
    """Of one shard: members that are right, bytes that no item uses, faults."""
    path, name = folder / SHARDS / shard.name, f"{SHARDS}/{shard.name}"
    faults, entries = [], {}
    try:
        size = path.stat().st_size
        if size != shard.bytes:
            faults.append(f"{name}: holds {size} bytes in place of {shard.bytes}")
        for entry in walk(path):
            if isinstance(entry, Entry):
                entries[entry.offset] = entry
            elif entry != shard.sha256:
                faults.append(f"{name}: does not have the hash that {MANIFEST_FILE} states")
    except OSError as error:
        faults.append(f"{name}: {error.strerror}")
    except ShardError as error:
        faults.append(f"{name}: {error}")
    right, used = 0, set()
    for row in records(rows):
        used.add(f"{row['number']:08d}")
        for kind in KINDS:
            if row[f"{kind}_size"]:
                fault = _fault(row, kind, entries.get(row[f"{kind}_offset"]))
                right += fault is None
                faults += [] if fault is None else [f"{name}: {kind} of {row['path']}: {fault}"]
    dead = sum(entry.size for entry in entries.values() if entry.name.partition(".")[0] not in used)
    return right, dead, faults


def _fault(row: dict[str, Any], kind: Kind, entry: Entry | None) -> str | None:
    """What is wrong with a member; None where nothing is."""
    if entry is None:
        return f"no member begins at byte {row[f'{kind}_offset']}"
    if entry.name not in {f"{row['number']:08d}.{suffix}" for suffix in SUFFIXES[kind]}:
        return f"{entry.name} is there in its place"
    if entry.size != row[f"{kind}_size"]:
        return f"holds {entry.size} bytes in place of {row[f'{kind}_size']}"
    return None if entry.sha256 == row[f"{kind}_sha256"] else "does not have its hash"
