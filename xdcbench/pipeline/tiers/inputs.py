"""Tier 1: items, splits, decoded clips and spectrograms of a suite's datasets."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np

from xdcbench.config.base import Modality
from xdcbench.config.data import LEARNED_TRACKS
from xdcbench.config.models import Models
from xdcbench.config.pretraining import Augment
from xdcbench.data.clip_dataset import Batch, ClipDataset
from xdcbench.data.clips import ClipSpec, even_clips, training_clips
from xdcbench.data.dataloader import batches
from xdcbench.data.index import Index
from xdcbench.data.scanning.items import MISSING
from xdcbench.data.shards.reader import ShardReader
from xdcbench.data.spectrogram import LogMel
from xdcbench.data.transforms import Normalize, square_crops
from xdcbench.pipeline.tiers.values import Values, digest, projected, text_digest

ITEMS = 3
"""Items of a dataset whose clips are read: the first, one in the middle and the last."""


def input_values(index: Index, source: Path | ShardReader, models: Models) -> Values:
    """Values of one dataset; clips are those of evaluations (two of an item) and of pretraining (one)."""
    name = f"inputs/{index.name}"
    found: dict[str, float | str] = {f"{name}/items": text_digest(_listed(index))}
    for split in index.splits:
        parts = [digest(index.rows(split, part)) for part in ("train", "test")]
        found[f"{name}/split {split}"] = text_digest(" ".join(parts))
    rows = _some(index)
    tracks = [
        track
        for track in LEARNED_TRACKS[index.media]
        if index.media == "image" or index.items[track].iloc[rows].all()
    ]
    specs = [
        *even_clips(rows, 2),
        *training_clips(rows, augment=Augment(flip=False), seed=0, epoch=0),
    ]
    if isinstance(source, Path):
        found[f"{name}/unreadable"] = _of_torn_file(index, source, tracks, models)
    for track in tracks:
        clips = ClipDataset(index, source, **{track: models.by_modality[track].input})  # type: ignore[arg-type]
        batch = _read(clips, specs)
        values = _video(batch, models) if track == "video" else _audio(batch, models)
        found |= {f"{name}/{what}": value for what, value in values.items()}
    return found


def _listed(index: Index) -> str:
    """Every item with its class and its part of each split, in one order on every machine."""
    columns = ["id", "label", "group", *(f"split:{split}" for split in index.splits)]
    rows = index.items[columns].sort_values("id").astype("str")
    return "\n".join(["\t".join(index.classes), *("\t".join(row) for row in rows.itertuples(index=False))])


def _some(index: Index) -> np.ndarray:
    readable = np.flatnonzero(index.items["ok"].to_numpy())
    chosen: np.ndarray = readable[np.linspace(0, len(readable) - 1, ITEMS).round().astype(int)]
    return np.unique(chosen)


def _of_torn_file(index: Index, source: Path, tracks: Sequence[Modality], models: Models) -> str:
    """What becomes of an item whose file holds no media, between two others: it fails, and nothing stands in for it."""
    rows = _some(index)
    paths, mtimes = index.items["path"].to_list(), index.items["mtime"].to_numpy().copy()
    inputs = {track: models.by_modality[track].input for track in tracks}
    with NamedTemporaryFile(suffix=".mp4") as file:
        file.write(b"no media")
        file.flush()
        paths[rows[1]], mtimes[rows[1]] = file.name, MISSING
        torn = replace(index, items=index.items.assign(path=paths, mtime=mtimes))
        clips = ClipDataset(torn, source, **inputs)  # type: ignore[arg-type]
        batch = _read(clips, [*even_clips(rows, 1)])
    return f"read {batch.rows.tolist()}, failed {[row for row, _ in batch.failed]}"


def _read(clips: ClipDataset, specs: list[ClipSpec]) -> Batch:
    (batch,) = batches(clips, specs, size=len(specs), workers=0)
    return batch


def _video(batch: Batch, models: Models) -> Values:
    """The pixels, equal to the bit, and the mean of each channel as the encoder gets it."""
    assert batch.video is not None
    spec = models.video.input
    prepared = Normalize(spec)(square_crops(batch.video, spec.size))
    channels = dict(zip(("red", "green", "blue"), prepared.mean(dim=(0, 2, 3, 4)).tolist(), strict=True))
    return {
        "frames": digest(batch.video.pixels.numpy()),
        **{f"{name} mean": of for name, of in channels.items()},
    }


def _audio(batch: Batch, models: Models) -> Values:
    """Mean and deviation of the spectrograms, and a projection of each, which any shift in time or pitch changes."""
    assert batch.audio is not None
    prepared = LogMel(models.audio.log_mel)(batch.audio)
    found = {"spectrogram mean": float(prepared.mean()), "spectrogram deviation": float(prepared.std())}
    return found | {f"spectrogram {n + 1}": projected(window.numpy()) for n, window in enumerate(prepared)}
