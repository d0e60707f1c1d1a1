"""The index of a dataset: its items, labels and splits, and what each file holds."""

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xdcbench.config.base import Modality
from xdcbench.config.data import Dataset, Subset
from xdcbench.config.stages import IndexStage
from xdcbench.data.context import INDEX_ITEMS, PREPARED, Context
from xdcbench.data.fingerprints import Fingerprints, fingerprints, require_planned
from xdcbench.data.known_lengths import lengths_hash, verified_lengths, with_lengths
from xdcbench.data.media import Indexed, probe
from xdcbench.data.media.local_file import FileState, state_of
from xdcbench.data.media.probe import LENGTHS
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import CHUNK, LABELS, MISSING, SPLIT
from xdcbench.data.shards.reader import CHANGED, ShardReader, open_shards
from xdcbench.data.synthetic.read import read_world
from xdcbench.errors import MediaError, UserError
from xdcbench.utils.documents import RUN_AGAIN, read_as, write_json
from xdcbench.utils.mapped_table import map_table, write_table
from xdcbench.utils.progress import log, track

PROBES = 4
"""Threads that open files; opening waits on the disk more than it computes."""

NAMED = 20
"""Unreadable items that a record names itself."""

TOGETHER = 0.1
"""Seconds by which tracks of one file may begin or end apart and count as of one length."""

FACTS = {
    "ok": "bool",
    "reason": "object",
    "duration": "float64",
    "video_seconds": "float64",
    "audio_start": "float64",
    "audio_seconds": "float64",
    "video": "bool",
    "audio": "bool",
}
"""Columns that opening a file fills, with their types."""

COLUMNS = ("id", "path", "label", "group", "bytes", "mtime", *FACTS)
"""Columns of the items of every index, beside those of its splits."""


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What ``index.json`` holds."""

    name: str
    media: str
    classes: tuple[str, ...]
    splits: tuple[str, ...]
    official: tuple[str, ...]
    fingerprint: str
    world: bool
    subset: str
    max_failed: float
    shards: dict[str, Any] | None = None
    stamp: str
    strengths: dict[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Index(_Facts):
    """A dataset as later stages see it.

    ``items`` has one row per item that the lists name: id, path, label, group, bytes (-1 where the file
    is missing), a column ``split:<name>`` (train, test or empty) per split, mtime (nanoseconds, of the file's last
    change; -1 where it is missing, and in shards and synthetic worlds, which have hashes of their own), ok, reason,
    duration (of the video track, else of the audio), video_seconds, audio_start and audio_seconds (of each track on the
    shared clock, on which video starts at 0; seconds, 0 without the track; nan where not ok), video and audio (whether
    the file has such a track). ``shards`` describes the prepared shards that the items are read from, None for files.
    ``stamp`` is as of `Fingerprints`, empty for shards. ``strengths`` are those of the synthetic world by group
    (`Factors.groups`); none for real data. Loaded, ``items`` is a view of a file that all processes share, as
    ``map_table`` says; whoever takes rows takes columns first.
    """

    items: pd.DataFrame
    stamp: str = ""

    @classmethod
    def load(cls, run: Path) -> "Index":
        """Read the run directory of an index stage.

        Raises:
            UserError: a file of it is missing or damaged.
        """
        facts, path = read_as(_Facts, run / "index.json", fix=RUN_AGAIN), run / INDEX_ITEMS
        items = map_table(path, fix=RUN_AGAIN)
        if lost := [name for name in COLUMNS if name not in items]:
            raise UserError(f"{path} has no column {lost[0]}. Try: {RUN_AGAIN}")
        return cls(**vars(facts), items=items)

    def save(self, run: Path) -> None:
        """Write what ``load`` reads."""
        facts = {k: v for k, v in vars(self).items() if k != "items"}
        few = ["reason", *(column for column in map(str, self.items) if column.startswith(SPLIT))]
        write_table(run / INDEX_ITEMS, self.items, categories=few)
        write_json(run / "index.json", facts)

    def rows(self, split: str, part: str, *, tracks: tuple[Modality, ...] = ()) -> np.ndarray:
        """Positions (int64) of readable items of one part of a split that have all of ``tracks``."""
        keep = (self.items[f"split:{split}"] == part) & self.items["ok"]
        for kind in tracks:
            keep &= self.items[kind]
        return np.flatnonzero(keep.to_numpy())

    def listed(self, split: str, part: str) -> np.ndarray:
        """Positions (int64) of all items that the lists name for one part of a split."""
        return np.flatnonzero((self.items[f"split:{split}"] == part).to_numpy())

    def unreadable(self, rows: np.ndarray) -> np.ndarray:
        """Those of ``rows`` whose file is there but could not be opened."""
        ok, size = (self.items[name].to_numpy()[rows] for name in ("ok", "bytes"))
        unreadable: np.ndarray = rows[~ok & (size != MISSING)]
        return unreadable

    def names(self, rows: Iterable[int]) -> tuple[str, ...]:
        """Ids of the first few of ``rows``, for a record."""
        return tuple(self.items["id"].iloc[sorted(rows)[:NAMED]])

    def stretches(self, *, video: bool) -> tuple[np.ndarray, np.ndarray]:
        """Where clips of each item may lie: begin and length, float64 (n,), seconds on the shared clock.

        Where ``video`` is read, clips lie in it; audio that is shorter is silent in the rest of it. Windows of audio
        alone lie in the audio; where both tracks begin and end together, they lie where clips do.

        Raises:
            UserError: the index is of a version that knew one length per item.
        """
        if not set(FACTS) <= set(self.items):
            raise UserError(
                f"the index of {self.name} does not hold the length of each track. Try: run its suite again"
            )
        seen, begin, heard = (
            self.items[name].to_numpy() for name in ("video_seconds", "audio_start", "audio_seconds")
        )
        if video:
            return np.broadcast_to(0.0, len(seen)), seen
        together = (np.abs(begin) <= TOGETHER) & (np.abs(begin + heard - seen) <= TOGETHER)
        alone = self.items["audio"].to_numpy() & ~together
        return np.where(alone, begin, 0.0), np.where(alone, heard, seen)

    @property
    def labels(self) -> np.ndarray:
        """Class of each item, int64, read-only; -1 where there is none."""
        labels: np.ndarray = self.items["label"].to_numpy(dtype=np.int64)
        return labels


def media_of(index: Index, context: Context) -> Path | ShardReader:
    """Where the files of an index are read: its folder, or its shards."""
    prepared = context.prepared.get(index.name)
    if prepared and index.shards is not None:
        return open_shards(str(prepared))
    return context.roots[index.name]


def run(config: IndexStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: scan the folder, take the subset, open every file once; shards know all that already."""
    dataset, root = config.dataset, context.roots[config.name]
    if "shards" in inputs:
        root = open_shards(str(inputs["shards"] / PREPARED))
    if isinstance(root, ShardReader):
        items, classes = prepared(config, root), root.manifest.classes
        mark = Fingerprints(root.manifest.fingerprint, "")
    else:
        items, classes, mark = scanned(config, root, context)
    if "world" in inputs:  # its run has hashes of its files, which are written again where they are damaged
        items["mtime"] = MISSING
    _check_failed(config.name, dataset, items)
    index = Index(
        name=config.name,
        media=dataset.media,
        classes=classes,
        splits=dataset.splits,
        official=dataset.official_splits or dataset.splits,
        fingerprint=mark.fingerprint,
        stamp=mark.stamp,
        world="world" in inputs,
        subset=dataset.subset.words,
        max_failed=dataset.max_failed,
        items=items,
        shards=root.facts if isinstance(root, ShardReader) else None,
        strengths=read_world(inputs["world"]).factors.groups if "world" in inputs else {},
    )
    index.save(work)


def scanned(
    config: IndexStage, root: Path, context: Context
) -> tuple[pd.DataFrame, tuple[str, ...], Fingerprints]:
    """Items, classes and marks of a folder; every file is opened.

    Lengths of files that `data verify` decoded as they are now are those that it found, where the packets
    give others; planning notes which these are.

    Raises:
        UserError: files and lists do not fit the layout, or have changed since the stage was planned.
    """
    found = scan(root, config.dataset, context.consent)
    mark = fingerprints(found, root, context.fingerprint, context.cache)
    require_planned(config.fingerprint, mark.fingerprint, root, context.cache)
    items = take(found.items, config.dataset.subset, config.dataset.splits)
    items = pd.concat([items.reset_index(drop=True), probe_all(items, root)], axis=1)
    if config.lengths is not None:
        lengths = verified_lengths(context.cache.parent / "data", mark.fingerprint, root)
        if lengths_hash(lengths) != config.lengths:
            raise UserError(
                f"{root} was verified anew while this run was planned. Try: give the same command again"
            )
        items = with_lengths(items, lengths)
        log.debug("%d items have lengths that `data verify` found", len(lengths))
    return items, found.classes, mark


def prepared(config: IndexStage, shards: ShardReader) -> pd.DataFrame:
    """Items of prepared shards, with the columns of an index; no media are opened.

    Raises:
        UserError: the shards have changed since the stage was planned.
    """
    if config.fingerprint not in (None, shards.manifest.fingerprint):
        raise UserError(f"{shards.where}: {CHANGED}")
    items = shards.items()
    splits = [column for column in map(str, items) if column.startswith(SPLIT)]
    several = [LABELS] if LABELS in items else []
    items["mtime"] = MISSING  # the shards themselves say whether they have changed
    items = items[["id", "path", "label", "group", "bytes", *splits, *several, "mtime", *FACTS]]
    for path, reason in items.loc[~items["ok"], ["path", "reason"]].itertuples(index=False):
        log.warning("not used: %s (%s)", path, reason)
    return take(items, config.dataset.subset, config.dataset.splits).reset_index(drop=True)


def write_failed(work: Path, index: Index, failed: Mapping[int, str]) -> None:
    """Write ``failed.json``: id and reason of every listed item that a stage could not read."""
    items = index.items[["id", "reason"]]
    known = items[~index.items["ok"]]
    named = dict(zip(known["id"], known["reason"], strict=True))
    named |= {items["id"].iloc[row]: reason for row, reason in sorted(failed.items())}
    write_json(work / "failed.json", named)


def check_failed(index: Index, rows: np.ndarray, failed: dict[int, str], *, limit: float) -> None:
    """Fail the stage when too many items could not be read.

    Raises:
        UserError: names the share, the limit and the first file.
    """
    if len(failed) > limit * len(rows):
        row, reason = next(iter(failed.items()))
        raise UserError(
            f"{index.name}: {len(failed)} of {len(rows)} items could not be decoded, first "
            f"{index.items['path'].iloc[row]} ({reason}); fix them or raise max_failed above {limit}"
        )


def take(items: pd.DataFrame, subset: Subset, splits: tuple[str, ...]) -> pd.DataFrame:
    """The subset of ``items``: in each part of each split, the first of each class in an order by hash.

    An item keeps only the splits that it was drawn for; the draw of an item does not depend on which
    other items there are.
    """
    if subset.per_class is None and subset.items is None:
        return items
    if subset.per_class is not None and LABELS in items:
        raise UserError(
            "subset.per_class: items with several labels each cannot be counted by class; give subset.items"
        )
    items = items.copy()
    draw = [hashlib.sha256(f"{subset.seed}/{name}".encode()).hexdigest() for name in items["id"]]
    order = pd.Series(draw, index=items.index)
    for split in splits:
        column = f"split:{split}"
        for part in subset.parts:
            inside = order[items[column] == part].sort_values().index
            rank = items.loc[inside].groupby("label").cumcount()
            if subset.per_class is not None:
                rank = rank[rank < subset.per_class]
            kept = rank.sort_values(kind="stable").index[: subset.items]
            items.loc[inside.difference(kept), column] = ""
    used = (items[[f"split:{split}" for split in splits]] != "").any(axis=1)
    return items[used]


def probe_all(items: pd.DataFrame, root: Path) -> pd.DataFrame:
    """Open every file: columns mtime and those of `FACTS`.

    Raises:
        MediaUnreachableError: a file is there, and cannot be read.
        MediaChangedError: a file is not of the size that the scan saw.
    """

    def look(path: str, size: int) -> dict[str, object]:
        unknown = dict.fromkeys(LENGTHS, float("nan"))
        blank = {"mtime": MISSING, "ok": False, "reason": "", **unknown, "video": False, "audio": False}
        if size == MISSING:
            return blank | {"reason": "missing"}
        state = state_of(root / path)
        blank["mtime"] = state.mtime
        try:
            info = probe(Indexed(root / path, FileState(size, state.mtime)))
        except MediaError as error:
            return blank | {"reason": error.reason}
        lengths = {name: getattr(info, name) for name in unknown}
        return blank | {"ok": True, **lengths, "video": info.has_video, "audio": info.has_audio}

    tables = []
    with track("opening files", len(items)) as tick, ThreadPoolExecutor(PROBES) as pool:
        for begin in range(0, max(1, len(items)), CHUNK):
            part, rows = items.iloc[begin : begin + CHUNK], []
            for path, row in zip(part["path"], pool.map(look, part["path"], part["bytes"]), strict=True):
                if not row["ok"]:
                    log.warning("not used: %s (%s)", path, row["reason"])
                rows.append(row)
                tick()
            tables.append(pd.DataFrame(rows, columns=["mtime", *FACTS]))
    return pd.concat(tables, ignore_index=True)


def _check_failed(name: str, dataset: Dataset, items: pd.DataFrame) -> None:
    here = items["bytes"] != MISSING
    failed, count = items[here & ~items["ok"]], int(here.sum())
    if len(failed) > dataset.max_failed * count:
        first = failed.iloc[0]
        raise UserError(
            f"{name}: {len(failed)} of {count} files are unreadable, first {first['path']} "
            f"({first['reason']}); mend them or raise datasets.{name}.max_failed above {dataset.max_failed}"
        )
