"""Clips cut from YouTube videos: which of a list's rows a file holds, from the ways in which downloads are named."""

import numpy as np
import pandas as pd

from xdcbench.data.lists import place

NAME = r"^Y?([A-Za-z0-9_-]{11})(?:_(\d+(?:\.\d+)?)(?:_(\d+(?:\.\d+)?))?)?$"
"""``<ytid>``, ``<ytid>_<start>`` or ``<ytid>_<start>_<end>``, with or without a Y in front."""


def place_clips(rows: pd.DataFrame, files: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Join listed clips with files by video and start.

    A start is in seconds (30, 000030, 30.000) or in milliseconds (30000): the latter where the list knows
    no clip at that second, and neither leading zeros nor an end within 1000 say otherwise. A name without a
    start stands for the only clip of its video.

    Args:
        rows: id, ytid (11 characters) and start (seconds); ytid and whole second are unique.
        files: as ``media_files`` returns them.

    Returns:
        the rows with path and bytes, a missing clip under its id; paths of the files that hold none of them.
    """
    ytid, start, end = (column for _, column in files["stem"].str.extract(NAME).items())
    begin, until = pd.to_numeric(start), pd.to_numeric(end)
    known = pd.Index(_clip(rows["ytid"], rows["start"]))
    in_seconds = known.get_indexer(_clip(ytid, begin))
    in_ms = known.get_indexer(_clip(ytid, begin / 1000))
    may_be_ms = (begin >= 1000) & ~start.str.match(r"0|.*\.").fillna(False) & ~(until - begin < 1000)
    row = np.where((in_seconds < 0) & may_be_ms, in_ms, in_seconds)
    single = rows["ytid"].where(~rows["ytid"].duplicated(keep=False), rows["id"].index.astype("str"))
    row = np.where(start.isna(), pd.Index(single).get_indexer(ytid), row)
    numbered = rows.assign(row=np.arange(len(rows)), listed=rows["id"])
    return place(numbered, files.assign(row=row), "row")


def _clip(ytid: pd.Series, start: pd.Series) -> pd.Series:
    return ytid + "_" + start.fillna(-1).astype("int64").astype("str")
