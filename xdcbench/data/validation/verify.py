"""Whether a dataset is whole and readable: what was expected, what is there, what is wrong with it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import ConfigDict
from typing_extensions import TypedDict

from xdcbench.config.data import Dataset
from xdcbench.data.index import Index
from xdcbench.data.known_lengths import DIFFER, SCHEMA_VERSION
from xdcbench.data.local import LocalDataset
from xdcbench.data.scanning.items import LABELS, MISSING, SPLIT
from xdcbench.utils.documents import read_cache, write_json

UNUSABLE = ("missing", "undecodable", "wrong_kind")
KINDS = (
    "missing",
    "extra",
    "undecodable",
    "wrong_kind",
    "damaged",
    "no_audio",
    "silent",
    "audio_short",
    "audio_long",
    "gap",
    "length",
    "short",
)
"""Kinds of findings, in the order of a report."""
SILENCE = 1e-3
"""Peak below which a track is silent: -60 dB of full scale."""
AUDIO_GAP = 0.1
"""Seconds of video without audio that need no mention."""
LOST = 0.5
"""Seconds by which a file may end before the end that it states."""
STANDS = 1.0
"""Seconds from one frame to the next that need no mention."""

Part = Literal["train", "test"]
PARTS: tuple[Part, ...] = ("train", "test")
Report = dict[str, Any]


def verify(data: LocalDataset, items: pd.DataFrame, *, clip_seconds: float) -> Report:
    """Judge a dataset by its facts; writes ``verify.json`` into its folder.

    An item shorter than ``clip_seconds`` is too short.

    Returns:
        what the file holds: name, title, root, media, fingerprint, stamp, subset, clip_seconds, max_failed; ok,
        whether in each part of each split at most ``max_failed`` of the expected items are unusable; counts,
        whose ``expected`` is the number of items that the lists name or, where larger, the official one;
        splits, the same by part; classes without a usable item; findings of kind, id, path and reason.
    """
    dataset = data.dataset
    findings = _findings(data, items, clip_seconds)
    unusable = findings.loc[findings["kind"].isin(UNUSABLE), "path"]
    items = items.assign(found=items["bytes"] != MISSING, usable=~items["path"].isin(unusable))
    splits = {name: {part: _part(dataset, items, name, part) for part in PARTS} for name in dataset.splits}
    official = max(sum(part["official"] or 0 for part in split.values()) for split in splits.values())
    present = _labels(items[items["usable"]])
    report = {
        "schema_version": SCHEMA_VERSION,
        "name": data.name,
        "title": dataset.title,
        "root": str(data.root.absolute()),
        "media": dataset.media,
        "fingerprint": data.fingerprint,
        "stamp": data.stamp,
        "subset": dataset.subset.words,
        "clip_seconds": clip_seconds,
        "max_failed": dataset.max_failed,
        "ok": all(_enough(part, dataset.max_failed) for split in splits.values() for part in split.values()),
        "counts": {
            "expected": max(len(items), official),
            "found": int(items["found"].sum()),
            "usable": int(items["usable"].sum()),
            **{kind: int((findings["kind"] == kind).sum()) for kind in KINDS},
        },
        "splits": splits,
        "classes": {
            "number": len(data.scan.classes),
            "without_items": [name for i, name in enumerate(data.scan.classes) if i not in present],
        },
        "findings": findings.to_dict("records"),
    }
    write_json(data.folder / "verify.json", report)
    return report


class _Counted(TypedDict):
    """What is read again of ``verify.json``."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    schema_version: int
    fingerprint: str
    stamp: str
    subset: str
    counts: dict[str, int]


def verified_counts(folder: Path, index: Index) -> dict[str, int] | None:
    """Counts of the verification of an index's subset or, where there is none, of its whole dataset.

    Files that were written again since they were verified have not been. ``folder`` is ``data`` of a results folder; a
    report counts under whatever name the dataset was verified.
    """
    counts: dict[str, dict[str, int]] = {}
    for path in sorted(folder.glob("*/verify.json")):
        report: _Counted | None = read_cache(path, _Counted)
        state = (SCHEMA_VERSION, index.fingerprint, index.stamp)
        if report and (report["schema_version"], report["fingerprint"], report["stamp"]) == state:
            counts[report["subset"]] = report["counts"]
    return counts.get(index.subset, counts.get(""))


def _part(dataset: Dataset, items: pd.DataFrame, split: str, part: Part) -> Report:
    """Numbers of items: official (None where unknown, or of a subset), listed, found, usable."""
    inside = items[items[SPLIT + split] == part]
    return {
        "official": None
        if dataset.subset.words or dataset.classes
        else dataset.counts.get(split, {}).get(part),
        "listed": len(inside),
        "found": int(inside["found"].sum()),
        "usable": int(inside["usable"].sum()),
    }


def _enough(part: Report, max_failed: float) -> bool:
    expected = part["listed"] if part["official"] is None else part["official"]
    return bool(expected - part["usable"] <= max_failed * expected)


def _labels(items: pd.DataFrame) -> set[int]:
    """Classes that occur, in single-label and multi-label sets."""
    return set(items["label"]).union(*items[LABELS]) if LABELS in items else set(items["label"])


def _findings(data: LocalDataset, items: pd.DataFrame, clip_seconds: float) -> pd.DataFrame:
    """Columns kind, id, path and reason, ordered by kind; an item may occur with several kinds."""
    rows: list[Any] = [("extra", "", path, _why_extra(data.root / path)) for path in data.scan.extra]
    for item in items.itertuples():
        rows += [
            (kind, item.id, item.path, reason) for kind, reason in _faults(item, data.dataset, clip_seconds)
        ]
    rows.sort(key=lambda row: KINDS.index(row[0]))
    return pd.DataFrame(rows, columns=["kind", "id", "path", "reason"])


def _why_extra(path: Path) -> str:
    try:
        passed_over = path.is_dir() or (path.is_symlink() and not path.exists())
    except OSError:  # in a folder that cannot be searched
        passed_over = True
    if passed_over:
        return "passed over: a folder that cannot be read, or a link that leads nowhere or back"
    return "on disk, but in no list or of another kind"


def _faults(item: Any, dataset: Dataset, clip_seconds: float) -> Iterator[tuple[str, str]]:
    """Kinds and reasons of what is wrong with one item; nothing more of one that is unusable."""
    unusable = _unusable(item, dataset.media)
    if unusable is not None:
        yield unusable
        return
    if item.damaged or item.lost > LOST:
        yield "damaged", f"{item.damaged} packets or frames are corrupt, {item.lost:.2f} s lost at the end"
    if dataset.media == "image":
        return
    seconds = item.video_seconds if dataset.media == "video" else item.audio_seconds
    if seconds < clip_seconds:
        yield "short", f"{seconds:.2f} s"
    yield from _audio_faults(item, dataset.media)
    for track in ("audio",) if dataset.media == "audio" else ("video", "audio"):
        yield from _length_faults(item, track)


def _unusable(item: Any, media: str) -> tuple[str, str] | None:
    if item.bytes == MISSING:
        return "missing", "listed, but not on disk"
    if item.error:
        return "undecodable", item.error
    if media == "audio":
        if not item.audio_codec:
            return "wrong_kind", "holds no audio"
        if item.bad_sample:
            return "undecodable", item.bad_sample
        return None if item.audio_seconds else ("undecodable", "nothing of its audio track decodes")
    if not item.video_codec:
        return "wrong_kind", "holds audio alone"
    if not item.frames:
        return "undecodable", "no frame decodes"
    image = item.frames == 1 and not item.audio_codec and item.container.endswith(("_pipe", "image2", "gif"))
    if image != (media == "image"):
        return "wrong_kind", "holds an image" if image else "holds a video"
    return None


def _audio_faults(item: Any, media: str) -> Iterator[tuple[str, str]]:
    if not item.audio_codec:
        yield "no_audio", "no audio track"
    elif not item.audio_seconds:
        yield "damaged", "nothing of its audio track decodes"
    else:
        if item.bad_sample:
            yield "damaged", item.bad_sample
        if item.peak < SILENCE and not item.bad_sample:
            yield "silent", f"peak {20 * math.log10(item.peak):.1f} dB" if item.peak else "nothing but zeros"
        late = 0.0 if math.isnan(item.offset) else item.offset
        end = late + item.audio_span
        covered = min(item.video_seconds, late + item.audio_seconds) - max(0.0, late)
        gap = item.video_seconds - max(0.0, covered)
        if media == "video" and gap > AUDIO_GAP:
            yield "audio_short", f"{gap:.2f} of {item.video_seconds:.2f} s are without audio"
        before, after = max(0.0, -late), max(0.0, end - item.video_seconds)
        if media == "video" and max(before, after) > AUDIO_GAP:
            yield "audio_long", f"{before:.2f} s of audio before the video and {after:.2f} s after it"


def _length_faults(item: Any, track: str) -> Iterator[tuple[str, str]]:
    """Gaps in the time stamps of a track, and lengths by header, packets and decoding that differ."""
    gap = getattr(item, f"{track}_gap")
    if gap > (STANDS if track == "video" else AUDIO_GAP):
        yield "gap", f"{track}: nothing for {gap:.2f} s"
    lengths = {
        "stated": getattr(item, f"{track}_stated"),
        "packets": getattr(item, f"{track}_packets"),
        "decoded": item.video_seconds if track == "video" else item.audio_span,
    }
    known = {name: seconds for name, seconds in lengths.items() if not math.isnan(seconds)}
    # How long the last frame stands is known by some and guessed by others.
    allowed = max(DIFFER, 2 * gap if track == "video" else 0.0)
    if lengths["decoded"] and max(known.values()) - min(known.values()) > allowed:
        yield "length", f"{track}: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in known.items())
