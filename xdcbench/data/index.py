"""The index of a dataset: its items, labels and splits, and what each file holds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from xdcbench.config.base import Modality
from xdcbench.data.context import INDEX_ITEMS, Context
from xdcbench.data.scanning.items import MISSING, SPLIT
from xdcbench.data.shards.reader import ShardReader, open_shards
from xdcbench.data.shards.scratch import on_scratch
from xdcbench.errors import UserError
from xdcbench.utils.documents import RUN_AGAIN, read_as, write_json, write_mapping

NAMED = 20
"""Unreadable items that a record names itself."""

TOLD = 65_536
"""Unreadable items that are looked up together."""

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
        from xdcbench.utils.mapped_table import (
            map_table,
        )  # with pyarrow, which torch.hub's entries do without

        facts, path = read_as(_Facts, run / "index.json", fix=RUN_AGAIN), run / INDEX_ITEMS
        items = map_table(path, fix=RUN_AGAIN)
        if lost := [name for name in COLUMNS if name not in items]:
            raise UserError(f"{path} has no column {lost[0]}. Try: {RUN_AGAIN}")
        return cls(**vars(facts), items=items)

    def save(self, run: Path) -> None:
        """Write what ``load`` reads."""
        from xdcbench.utils.mapped_table import write_table  # as above

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

    def names(self, rows: np.ndarray) -> tuple[str, ...]:
        """Ids of the first few of ``rows``, positions (int64), for a record."""
        return tuple(self.items["id"].iloc[np.sort(rows)[:NAMED]])

    def lost(self, rows: np.ndarray, failed: Mapping[int, str]) -> np.ndarray:
        """Those of ``rows`` that could not be opened, or are in ``failed``, sorted."""
        read = rows[np.isin(rows, np.fromiter(failed, np.int64))]
        lost: np.ndarray = np.union1d(self.unreadable(rows), read)
        return lost

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
    """Where the files of an index are read: its folder, or its shards, copied first where a scratch disk is given."""
    prepared = context.prepared.get(index.name)
    if prepared and index.shards is not None:
        root: Path | ShardReader = open_shards(str(prepared))
    else:
        root = context.roots[index.name]
    if context.scratch is None or not isinstance(root, ShardReader):
        return root
    return on_scratch(root, context.scratch)


def write_failed(work: Path, index: Index, failed: Mapping[int, str]) -> None:
    """Write ``failed.json``: id and reason of every listed item that a stage could not read."""
    write_mapping(work / "failed.json", _reasons(index, failed))


def _reasons(index: Index, failed: Mapping[int, str]) -> Iterator[tuple[str, str]]:
    """Id and reason of every item that was not read; of a list, millions may be missing."""
    ids, known = index.items["id"], index.items["reason"]
    unopened = np.flatnonzero(~index.items["ok"].to_numpy())
    for begin in range(0, len(unopened), TOLD):
        part = unopened[begin : begin + TOLD]
        for row, name, reason in zip(part.tolist(), ids.iloc[part], known.iloc[part], strict=True):
            if row not in failed:
                yield name, reason
    yield from ((ids.iloc[row], reason) for row, reason in sorted(failed.items()))


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
