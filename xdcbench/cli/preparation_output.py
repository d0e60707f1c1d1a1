"""What the commands about prepared shards do and tell."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd

from xdcbench.cli.request import Request
from xdcbench.cli.validation_output import NAMED, placed, processes
from xdcbench.config.data import ShardSettings
from xdcbench.data.local import LocalDataset, find_local
from xdcbench.data.media import Media, Member, read_audio, read_clip, read_image
from xdcbench.data.preparation.catalog import records
from xdcbench.data.preparation.prepare import Build, prepare, prepare_part
from xdcbench.data.preparation.verify import verify_shards
from xdcbench.data.shards.layout import FAILED_FILE, SHARDS
from xdcbench.errors import UserError
from xdcbench.utils.format import duration, short
from xdcbench.utils.parts import Part

TIMED = 8
"""Items of which original and shards are read, to tell the time that is saved."""
FRAMES, SECONDS = 8, 2.0
"""Frames and seconds of audio of a clip, as the paper's encoders take them."""


def originals(request: Request) -> LocalDataset:
    """The dataset that a request names, scanned; nothing is written.

    Raises:
        UserError: there is no such dataset or folder, or they do not fit.
    """
    return find_local(Path(request.name).stem, *placed(request), None, request.fingerprint, request.consent)


def prepare_lines(
    request: Request, folder: Path, settings: ShardSettings, *, shard_bytes: int, part: Part | None = None
) -> Iterator[str]:
    """Write shards; what they hold, what was lost, and what they save.

    Of a ``part`` the same, if no original is left to other parts.

    Raises:
        UserError: as `originals` and `prepare`.
    """
    data = originals(request)
    build = Build(folder, data, settings, shard_bytes)
    workers, limit = processes(request), request.timeout
    if part and (left := prepare_part(build, part, workers=workers, limit=limit)):
        yield f"part {part} is prepared; {left} of {len(data.scan.items)} originals are left to other parts"
        return
    items = prepare(build, workers=workers, limit=limit, wait=part is not None)
    before, after = int(items.loc[items["ok"], "bytes"].sum()), sum(shard.bytes for shard in build.shards)
    used = int(items[["video_size", "audio_size"]].to_numpy().sum())
    size = after / before if before else 1.0
    change = f"{1 - size:.0%} less" if size <= 1 else f"{size - 1:.0%} more"
    subset = data.dataset.subset.words
    yield f"{data.dataset.title}, {data.root}" + (f" ({subset})" if subset else "")
    yield f"{int(items['ok'].sum())} of {len(items)} items in {len(build.shards)} shards"
    yield f"originals    {short(before, 'B')}"
    yield f"shards       {short(after, 'B')}, {change}; {short(used, 'B')} of video and audio in use"
    yield from _saved(build, items)
    faulty = items[items["reason"] != ""]
    yield f"failed       {len(faulty)}" + (f", all in {folder / FAILED_FILE}" if len(faulty) else "")
    yield from (f"    {row.path}: {row.reason}" for row in faulty.head(NAMED).itertuples())
    yield f"shards       {folder}"


def _saved(build: Build, items: pd.DataFrame) -> Iterator[str]:
    """Time to read a clip and its audio from some originals and from the shards."""
    good = items[items["ok"]]
    times = []
    for row in records(good.iloc[:: max(1, len(good) // TIMED)].head(TIMED)):
        prepared: dict[str, Media] = {}
        for kind in ("video", "audio"):
            if row[f"{kind}_size"]:
                with (build.folder / SHARDS / build.shards[row["shard"]].name).open("rb") as shard:
                    shard.seek(row[f"{kind}_offset"])
                    prepared[kind] = Member(Path(row["path"]), shard.read(row[f"{kind}_size"]))
        source = {kind: build.data.root / row["path"] for kind in prepared}
        kind = build.data.dataset.media
        times.append([_seconds(partial(_read, media, row, kind)) for media in (source, prepared)])
    if times:
        before, after = (median(column) for column in zip(*times, strict=True))
        yield (
            f"reading      {1e3 * before:.1f} ms a clip and its audio from originals, {1e3 * after:.1f} from the "
            f"shards: {before / after:.1f}x; {duration((before - after) * len(good))} of one core saved an epoch"
        )


def _read(media: dict[str, Media], row: dict[str, Any], kind: str) -> None:
    middle = max(0.0, (row["duration"] or 0.0) / 2 - SECONDS / 2)
    side = int(min(128, row["width"], row["height"]))
    if kind == "image":
        read_image(media["video"], short_side=side)
    elif "video" in media:
        read_clip(media["video"], start=middle, frames=FRAMES, fps=30.0, short_side=side)
    if "audio" in media:
        read_audio(media["audio"], start=middle, seconds=SECONDS, sample_rate=16_000)


def _seconds(read: Callable[[], None]) -> float:
    """The least of two: the first fetches the file from the disk."""
    taken = []
    for _ in range(2):
        begun = time.perf_counter()
        read()
        taken.append(time.perf_counter() - begun)
    return min(taken)


def verify_shards_lines(
    name: str, folder: Path, *, workers: int, part: Part | None = None
) -> tuple[list[str], int]:
    """What shards hold and what is wrong with them; exit code 1 where anything is.

    Raises:
        UserError: as `verify_shards`; it is of another dataset.
    """
    found = verify_shards(folder, workers=workers, part=part)
    manifest = found.manifest
    if Path(name).stem != manifest.name:
        raise UserError(
            f"{folder} holds shards of {manifest.name}, not of {Path(name).stem}; name that dataset, or other shards"
        )
    lines = [
        f"{manifest.name}, {folder}, fingerprint {manifest.fingerprint[:12]}",
        f"{found.items} items, {found.members} members whose hashes are right, in {len(manifest.shards)} shards"
        + (f", of which this is part {part}" if part else ""),
        f"{short(found.dead, 'B')} of members of items that are gone; shards in a new folder have none",
        f"{len(found.faults)} faults" + (":" if found.faults else ""),
        *(f"    {fault}" for fault in found.faults),
    ]
    if found.faults:
        lines.append("the shards are not to be used: prepare them again into a new folder")
    return lines, int(bool(found.faults))
