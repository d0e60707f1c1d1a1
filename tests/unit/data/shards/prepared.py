"""Prepared shards written by tests alone, with the standard library's tar and the synthetic world's encoders."""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import av
import numpy as np
import pandas as pd

from xdcbench.config.data import Dataset, ShardSettings
from xdcbench.config.keys import science
from xdcbench.config.stages import IndexStage
from xdcbench.data.media import read_audio
from xdcbench.data.probing import probe_all
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import fingerprint
from xdcbench.data.shards.layout import (
    ITEMS_FILE,
    KINDS,
    NO_SHARD,
    SHARDS,
    Kind,
    Shard,
    ShardsManifest,
    member_name,
    shard_name,
    shards_fingerprint,
)
from xdcbench.data.synthetic.encode import encode_video, encode_wav

RATE = 16_000


def write_dataset(
    folder: Path,
    root: Path,
    name: str,
    dataset: Dataset,
    *,
    per_shard: int = 4,
    settings: ShardSettings | None = None,
) -> ShardsManifest:
    """Prepared shards of every item of a dataset; videos and images keep their size and rate."""
    settings = settings or ShardSettings()
    found = scan(root, dataset)
    known = probe_all(found.items, root, folder / "opened").drop(columns="mtime")  # the members' rows have it
    items = pd.concat([found.items.reset_index(drop=True), known], axis=1)
    (folder / SHARDS).mkdir(parents=True)
    rows, shards = [], []
    for begin in range(0, len(items), per_shard):
        part = range(begin, len(items))[:per_shard]
        files = {
            number: members(
                root / items["path"].iloc[number], dataset.media, audio=bool(items["audio"].iloc[number])
            )
            for number in part
        }
        rows += write_shard(folder / SHARDS / shard_name(len(shards)), files, len(shards))
        shards.append(shard_of(folder / SHARDS / shard_name(len(shards))))
    items = pd.concat([items, pd.DataFrame(rows)], axis=1)
    items.to_parquet(folder / ITEMS_FILE, index=False)
    mark = fingerprint(found)
    manifest = ShardsManifest(
        name=name,
        dataset=science(IndexStage(name=name, dataset=dataset))["dataset"],
        media=dataset.media,
        classes=found.classes,
        splits=dataset.splits,
        official=dataset.official_splits or dataset.splits,
        settings=settings,
        source_fingerprint=mark,
        fingerprint=shards_fingerprint(settings, mark, items),
        items_sha256=hashlib.sha256((folder / ITEMS_FILE).read_bytes()).hexdigest(),
        versions={},
        shards=tuple(shards),
    )
    manifest.save(folder)
    return manifest


def write_shard(
    path: Path, files: Mapping[int, Mapping[str, bytes]], position: int
) -> list[dict[str, object]]:
    """A tar file of members by number and suffix; returns a row of the index for each number."""
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for number, contents in files.items():
            for suffix, content in contents.items():
                info = tarfile.TarInfo(member_name(number, suffix))
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    with tarfile.open(path) as tar:
        places = {info.name: info.offset_data for info in tar}
    rows: list[dict[str, object]] = []
    for number, contents in files.items():
        row: dict[str, object] = {"number": number, "shard": position if contents else NO_SHARD, "mtime": 0}
        row |= (
            {"width": 24, "height": 24, "fps": 8.0}
            if {"mp4", "jpg"} & set(contents)
            else dict.fromkeys(("width", "height", "fps"), 0)
        )
        for kind in KINDS:
            suffix = next((s for s in contents if kind_of(s) == kind), None)
            content = contents[suffix] if suffix else b""
            row[f"{kind}_offset"] = places[member_name(number, suffix)] if suffix else 0
            row[f"{kind}_size"] = len(content)
            row[f"{kind}_sha256"] = hashlib.sha256(content).digest() if suffix else None
        rows.append(row)
    return rows


def kind_of(suffix: str) -> Kind:
    return "audio" if suffix in ("wav", "flac") else "video"


def shard_of(path: Path) -> Shard:
    content = path.read_bytes()
    return Shard(name=path.name, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def members(path: Path, media: str, *, audio: bool) -> dict[str, bytes]:
    """Contents of an item's members by suffix."""
    if media == "image":
        return {"jpg": path.read_bytes()}
    found = {}
    with av.open(str(path)) as container:
        seconds = container.duration / av.time_base
        if container.streams.video:
            rate = round(container.streams.video[0].average_rate)
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
            seconds = len(frames) / rate
            found["mp4"] = encode_video(frames, None, container="mp4", fps=rate, sample_rate=RATE)
    if audio:
        samples = read_audio(path, start=0.0, seconds=seconds, sample_rate=RATE).numpy()
        found["wav"] = encode_wav(samples.clip(-1, 1), sample_rate=RATE)
    return found
