"""What an earlier verification of a data set found out about its files, for those who index it."""

from pathlib import Path

import pandas as pd

from xdcbench.data.scan import MISSING
from xdcbench.progress import log
from xdcbench.store import read_json

SCHEMA_VERSION = 2
"""Of ``verify.json``."""
DIFFER = 0.1
"""Seconds by which lengths of one track may differ without mention."""
LENGTHS = ["video_seconds", "video_gap", "audio_span", "offset"]
KEY = ["path", "bytes", "mtime"]


def with_verified(items: pd.DataFrame, root: Path, folder: Path, mark: str) -> pd.DataFrame:
    """Items with the lengths that `data verify` decoded where those of the packets are others.

    Args:
        items: of an index.
        root: folder of the data set.
        folder: ``data`` of a results folder.
        mark: fingerprint of the data set. Facts count only of files whose size and time of change are still
            those that were verified.
    """
    known = _verified(folder, mark)
    if known is None:
        return items
    stamps = [_mtime(root / path, size) for path, size in zip(items["path"], items["bytes"], strict=True)]
    keyed = items[["path", "bytes"]].assign(mtime=stamps).astype({"path": "string"})
    found = keyed.merge(known, how="left", on=KEY).set_index(items.index)
    late = found["offset"].fillna(0.0)
    allowed = (2 * found["video_gap"]).clip(lower=DIFFER)  # how long the last frame stands is a guess
    video = items["video"] & ((found["video_seconds"] - items["video_seconds"]).abs() > allowed)
    video &= found["video_seconds"] > 0
    audio = (found["audio_span"] - items["audio_seconds"]).abs() > DIFFER
    audio |= (late - items["audio_start"]).abs() > DIFFER
    audio &= items["audio"] & (found["audio_span"] > 0)
    items = items.assign(
        video_seconds=items["video_seconds"].mask(video, found["video_seconds"]),
        audio_start=items["audio_start"].mask(audio, late),
        audio_seconds=items["audio_seconds"].mask(audio, found["audio_span"]),
    )
    if (video | audio).any():
        log.info("%d items have the lengths that `data verify` found", int((video | audio).sum()))
    return items.assign(duration=items["video_seconds"].where(items["video"], items["audio_seconds"]))


def _verified(folder: Path, mark: str) -> pd.DataFrame | None:
    """Facts by path, bytes and mtime of the verifications of a data set; None where there is none."""
    tables = []
    for report in sorted(folder.glob("*/verify.json")):
        about = read_json(report)
        facts = report.with_name("items.parquet")
        if (about["schema_version"], about["fingerprint"]) == (SCHEMA_VERSION, mark) and facts.exists():
            table = pd.read_parquet(facts, columns=[*KEY, "error", *LENGTHS])
            tables.append(table[(table["bytes"] != MISSING) & (table["error"] == "")])
    if not tables:
        return None
    return pd.concat(tables, ignore_index=True)[[*KEY, *LENGTHS]].drop_duplicates(KEY, keep="last")


def _mtime(path: Path, size: int) -> int:
    try:
        return MISSING if size == MISSING else path.stat().st_mtime_ns
    except OSError:  # gone since it was listed, which opening it has told
        return MISSING
