"""Clips cut from YouTube videos: which of a list's rows a file holds, from the ways in which downloads are named."""

import numpy as np
import pandas as pd

from xdcbench.data.scanning.lists import ABSENT, place_at
from xdcbench.data.scanning.names import NAME
from xdcbench.errors import UserError


def place_clips(rows: pd.DataFrame, files: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Join listed clips with files by video and start.

    A start is in seconds (30, 000030, 30.000) or in milliseconds (30000, with no zeros in front and no end within
    1000), whichever the list has a clip at. Where it has one at both, an end 1000 or more away says milliseconds.
    A whole second, in the list or in the name, stands for any start within it; other starts must be the same, as
    far as the name has them.
    A name without a start stands for the only clip of its video.

    Args:
        rows: id, ytid (11 characters) and start (seconds); ytid and whole second are unique.
        files: as of ``media_files``.

    Returns:
        the rows with path and bytes, a missing clip under its id; paths of the files that hold none of them.

    Raises:
        UserError: a name fits two clips, one in seconds and one in milliseconds.
    """
    ytid, start, end = (column for _, column in files["stem"].str.extract(NAME).items())
    begin, until = pd.to_numeric(start), pd.to_numeric(end)
    long = until - begin >= 1000
    may_be_ms = (begin >= 1000) & ~start.str.match(r"0|.*\.").fillna(False) & (long | until.isna())
    decimals = start.str.extract(r"\.(.*)$")[0].str.len().fillna(0)
    in_seconds = _clip_at(rows, ytid, begin, 10.0**-decimals)
    in_ms = np.where(may_be_ms, _clip_at(rows, ytid, begin / 1000, 1e-3), ABSENT)
    both = (in_seconds != ABSENT) & (in_ms != ABSENT) & (in_seconds != in_ms) & ~long
    if both.any():
        first = int(np.argmax(both))
        one, other = (rows["id"].iloc[row[first]] for row in (in_seconds, in_ms))
        raise UserError(
            f"{files['path'].iloc[first]}: this is `{one}` in seconds and `{other}` in milliseconds. Try: name it "
            "<id>_<start>_<end>"
        )
    row = np.where((in_ms != ABSENT) & (long | (in_seconds == ABSENT)), in_ms, in_seconds)
    single = rows["ytid"].where(~rows["ytid"].duplicated(keep=False), rows["id"].index.astype("str"))
    row = np.where(start.isna(), pd.Index(single).get_indexer(ytid), row)
    return place_at(rows.assign(listed=rows["id"]), files, row)


def _clip_at(
    rows: pd.DataFrame, ytid: pd.Series, start: pd.Series, accuracy: pd.Series | float
) -> np.ndarray:
    """Position in ``rows`` of the clip of each video at ``start``, `ABSENT` where there is none."""
    at = pd.Index(_clip(rows["ytid"], rows["start"])).get_indexer(_clip(ytid, start))
    listed = rows["start"].to_numpy(dtype=float)[at] if len(rows) else start.to_numpy(dtype=float)
    near = (start % 1 == 0) | (listed % 1 == 0) | (np.abs(listed - start) < accuracy * 0.999)
    return np.where(near, at, ABSENT)


def _clip(ytid: pd.Series, start: pd.Series) -> pd.Series:
    return ytid + "_" + start.fillna(-1).astype("int64").astype("str")
