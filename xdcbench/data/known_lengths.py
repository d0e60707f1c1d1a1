"""Lengths that a verification of a dataset found to be others than its files' packets say."""

import hashlib
from pathlib import Path

import pandas as pd

from xdcbench.data.fingerprints import KEY
from xdcbench.data.scanning.items import MISSING
from xdcbench.errors import UserError
from xdcbench.utils.arrays import read_table
from xdcbench.utils.documents import read_cache
from xdcbench.utils.progress import log

SCHEMA_VERSION = 2
"""Of ``verify.json``."""
DIFFER = 0.1
"""Seconds by which lengths of one track may differ without mention."""

FACTS = ["video_packets", "video_seconds", "video_gap", "audio_packets", "audio_span", "offset"]
LENGTHS = ["video_seconds", "audio_start", "audio_seconds"]


def verified_lengths(folder: Path, mark: str, root: Path) -> pd.DataFrame:
    """Lengths that `data verify` decoded, of tracks of which the packets give another.

    ``folder`` is ``data`` of a results folder, ``mark`` the dataset's fingerprint. A file of another size or time of
    change than when it was verified is left out.

    Returns:
        path and `LENGTHS`, seconds as in an index, nan where the packets are right; sorted by path.
    """
    tables = [pd.DataFrame(columns=[*KEY, *FACTS])]
    for report in sorted(folder.glob("*/verify.json")):
        match read_cache(report):
            case {"schema_version": version, "fingerprint": of} if (version, of) == (SCHEMA_VERSION, mark):
                tables += _facts(report.with_name("items.parquet"))
    known = pd.concat(tables[1:] or tables, ignore_index=True).drop_duplicates(KEY, keep="last")
    allowed = (2 * known["video_gap"]).clip(lower=DIFFER)  # how long the last frame stands is a guess
    video = (known["video_seconds"] > 0) & _differ(known["video_packets"], known["video_seconds"], allowed)
    audio = (known["audio_span"] > 0) & _differ(known["audio_packets"], known["audio_span"], DIFFER)
    other = pd.DataFrame(
        {
            **{name: known[name] for name in KEY},
            "video_seconds": known["video_seconds"].where(video),
            "audio_start": known["offset"].fillna(0.0).where(audio),
            "audio_seconds": known["audio_span"].where(audio),
        }
    )[video | audio]
    same = [_same(root / path, size, mtime) for path, size, mtime in other[KEY].itertuples(index=False)]
    return other.loc[same, ["path", *LENGTHS]].sort_values("path", ignore_index=True)


def lengths_hash(lengths: pd.DataFrame) -> str | None:
    """Sha256, hex, of what `verified_lengths` returns; None where that is nothing."""
    if lengths.empty:
        return None
    return hashlib.sha256(lengths.to_csv(index=False, float_format="%.3f").encode()).hexdigest()


def with_lengths(items: pd.DataFrame, lengths: pd.DataFrame) -> pd.DataFrame:
    """Items of an index with the lengths that were verified, where the item can be read."""
    found = items[["path"]].merge(lengths.astype({"path": items["path"].dtype}), how="left", on="path")
    found = found.set_index(items.index).where(items["ok"])
    items = items.assign(**{name: found[name].fillna(items[name]) for name in LENGTHS})
    return items.assign(duration=items["video_seconds"].where(items["video"], items["audio_seconds"]))


def _facts(path: Path) -> list[pd.DataFrame]:
    """What is known of the files that were there; nothing where the table is missing or damaged."""
    if not path.exists():
        return []
    try:
        table = read_table(path, [*KEY, *FACTS])
    except UserError:
        log.warning("%s is damaged; run `xdcbench data verify` again for its lengths to count", path)
        return []
    return [table[table["bytes"] != MISSING]]


def _differ(a: pd.Series, b: pd.Series, allowed: pd.Series | float) -> pd.Series:
    return (a.astype(float) - b.astype(float)).abs() > allowed


def _same(path: Path, size: int, mtime: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    return (found.st_size, found.st_mtime_ns) == (size, mtime)
