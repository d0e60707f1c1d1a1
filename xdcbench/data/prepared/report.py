"""What the commands about prepared stores do and tell."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from xdcbench.data.audit.local import Local
from xdcbench.data.audit.report import NAMED, Request, placed, processes
from xdcbench.data.index import take
from xdcbench.data.media import Media, Member, read_audio, read_clip, read_image
from xdcbench.data.prepared.catalogue import records
from xdcbench.data.prepared.layout import FAILED_FILE, SHARDS, Settings
from xdcbench.data.prepared.prepare import Build, prepare
from xdcbench.data.prepared.verify import verify_store
from xdcbench.data.scan import scan
from xdcbench.data.states import marks
from xdcbench.errors import UserError

TIMED = 8
"""Items of which original and store are read, to tell the time that is saved."""
FRAMES, SECONDS = 8, 2.0
"""Pictures and sound of a clip, as the paper's encoders take them."""


def originals(request: Request) -> Local:
    """The data set that a request names, scanned; nothing is written.

    Raises:
        UserError: there is no such data set or folder, or they do not fit.
    """
    dataset, root = placed(request)
    found = scan(root, dataset, request.consent)
    items = take(found.items, dataset.subset, dataset.splits).reset_index(drop=True)
    mark = marks(found, root, request.fingerprint, None)
    kept, name = replace(found, items=items), Path(request.name).stem
    return Local(name, dataset, root, kept, mark.fingerprint, root, mark.stamp)


def prepare_lines(request: Request, store: Path, settings: Settings, *, shard_bytes: int) -> Iterator[str]:
    """Write a store; what it holds, what was lost, and what it saves.

    Raises:
        UserError: as `originals` and `prepare`.
    """
    data = originals(request)
    build = Build(store, data, settings, shard_bytes)
    items = prepare(build, workers=processes(request), limit=request.limit_seconds)
    before, after = int(items.loc[items["ok"], "bytes"].sum()), sum(shard.bytes for shard in build.shards)
    used = int(items[["video_size", "sound_size"]].to_numpy().sum())
    size = after / before if before else 1.0
    change = f"{1 - size:.0%} less" if size <= 1 else f"{size - 1:.0%} more"
    subset = data.dataset.subset.words
    yield f"{data.dataset.title}, {data.root}" + (f" ({subset})" if subset else "")
    yield f"{int(items['ok'].sum())} of {len(items)} items in {len(build.shards)} shards"
    yield f"originals    {before / 1e9:>9.3f} GB"
    yield f"store        {after / 1e9:>9.3f} GB, {change}; {used / 1e9:.3f} GB of pictures and sound in use"
    yield from _saved(build, items)
    faulty = items[items["reason"] != ""]
    yield f"failed       {len(faulty):>9}" + (f", all in {store / FAILED_FILE}" if len(faulty) else "")
    yield from (f"    {row.path}: {row.reason}" for row in faulty.head(NAMED).itertuples())
    yield f"store        {store}"


def _saved(build: Build, items: pd.DataFrame) -> Iterator[str]:
    """Time to read a clip and its sound from some originals and from the store."""
    good = items[items["ok"]]
    times = []
    for row in records(good.iloc[:: max(1, len(good) // TIMED)].head(TIMED)):
        stored: dict[str, Media] = {}
        for kind in ("video", "sound"):
            if row[f"{kind}_size"]:
                with (build.store / SHARDS / build.shards[row["shard"]].name).open("rb") as shard:
                    shard.seek(row[f"{kind}_offset"])
                    stored[kind] = Member(Path(row["path"]), shard.read(row[f"{kind}_size"]))
        source = {kind: build.data.root / row["path"] for kind in stored}
        kind = build.data.dataset.media
        times.append([_seconds(partial(_read, media, row, kind)) for media in (source, stored)])
    if times:
        before, after = (median(column) for column in zip(*times, strict=True))
        yield (
            f"reading      {1e3 * before:>9.1f} ms a clip and its sound from originals, {1e3 * after:.1f} from the "
            f"store: {before / after:.1f}x; {(before - after) * len(good):.0f} core seconds saved an epoch"
        )


def _read(media: dict[str, Media], row: dict[str, Any], kind: str) -> None:
    middle = max(0.0, (row["duration"] or 0.0) / 2 - SECONDS / 2)
    side = int(min(128, row["width"], row["height"]))
    if kind == "image":
        read_image(media["video"], short_side=side)
    elif "video" in media:
        read_clip(media["video"], start=middle, frames=FRAMES, rate=30.0, short_side=side)
    if "sound" in media:
        read_audio(media["sound"], start=middle, seconds=SECONDS, rate=16_000)


def _seconds(read: Callable[[], None]) -> float:
    """The least of two: the first fetches the file from the disk."""
    taken = []
    for _ in range(2):
        begun = time.perf_counter()
        read()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def verify_store_lines(name: str, store: Path, *, workers: int) -> tuple[list[str], int]:
    """What a store holds and what is wrong with it; exit code 1 where anything is.

    Raises:
        UserError: as `verify_store`; it is of another data set.
    """
    found = verify_store(store, workers=workers)
    label = found.label
    if Path(name).stem != label.name:
        raise UserError(
            f"{store} is a store of {label.name}, not of {Path(name).stem}; name that, or another store"
        )
    lines = [
        f"{label.name}, {store}, fingerprint {label.fingerprint[:12]}",
        f"{found.items} items, {found.members} members whose hashes are right, in {len(label.shards)} shards",
        f"{found.dead / 1e9:.3f} GB of members of items that are gone; a store in a new folder has none",
        f"{len(found.faults)} faults" + (":" if found.faults else ""),
        *(f"    {fault}" for fault in found.faults),
    ]
    if found.faults:
        lines.append("the store is not to be used: prepare it again into a new folder")
    return lines, int(bool(found.faults))
