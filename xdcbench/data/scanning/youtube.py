"""Clips cut from YouTube videos: which of a list's rows a file holds, from the ways in which downloads are named."""

import numpy as np
import pandas as pd

from xdcbench.data.scanning.lists import ABSENT, per_value, place_at
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
    return place_at(rows.assign(listed=rows["id"]), files, _row_of(rows, files))


def _row_of(rows: pd.DataFrame, files: pd.DataFrame) -> np.ndarray:
    """Position in ``rows`` of the clip that each file holds, `ABSENT` where there is none."""
    from xdcbench.utils.mapped_table import places  # with pyarrow, which torch.hub's entries do without

    ytid, start, end = named_parts(files["stem"])
    bare = start.isna().to_numpy()
    row = np.full(len(files), ABSENT, dtype=np.int64)
    if bare.any():
        video, _ = rows["ytid"].factorize()
        single = rows["ytid"].where(np.bincount(video)[video] == 1, "")
        row[bare] = places(ytid[bare], single)
    if not bare.all():
        row[~bare] = _row_at(rows, files["path"][~bare], ytid[~bare], start[~bare], end[~bare])
    return row


def _row_at(
    rows: pd.DataFrame, path: pd.Series, ytid: pd.Series, start: pd.Series, end: pd.Series
) -> np.ndarray:
    """``_row_of`` files whose names have a start."""
    begin, until = per_value(start, pd.to_numeric), per_value(end, pd.to_numeric)
    long = until - begin >= 1000
    may_be_ms = (begin >= 1000) & ~start.str.match(r"0|.*\.") & (long | until.isna())
    decimals = per_value(start, lambda starts: starts.str.extract(r"\.(.*)$")[0].str.len()).fillna(0)
    in_seconds = _clip_at(rows, ytid, begin, 10.0**-decimals)
    in_ms = np.full(len(begin), ABSENT)
    if may_be_ms.any():
        in_ms[may_be_ms] = _clip_at(rows, ytid[may_be_ms], begin[may_be_ms] / 1000, 1e-3)
    both = (in_seconds != ABSENT) & (in_ms != ABSENT) & (in_seconds != in_ms) & ~long
    if both.any():
        first = int(np.argmax(both))
        one, other = (rows["id"].iloc[at[first]] for at in (in_seconds, in_ms))
        raise UserError(
            f"{path.iloc[first]}: this is `{one}` in seconds and `{other}` in milliseconds. Try: name it "
            "<id>_<start>_<end>"
        )
    return np.where((in_ms != ABSENT) & (long | (in_seconds == ABSENT)), in_ms, in_seconds)


def named_parts(stems: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Id, start and end in names of clips, as strings; missing where a name has none, or is no such name."""
    import pyarrow as pa  # as above
    import pyarrow.compute as pc

    found = pc.extract_regex(pa.chunked_array([pa.array(stems, pa.large_string())]), f"^{NAME}$")
    nothing = pa.scalar(None, pa.large_string())
    parts = (pc.if_else(pc.not_equal(part, ""), part, nothing).to_pandas() for part in found.flatten())
    ytid, start, end = (part.set_axis(stems.index) for part in parts)
    return ytid, start, end


def _clip_at(
    rows: pd.DataFrame, ytid: pd.Series, start: pd.Series, accuracy: pd.Series | float
) -> np.ndarray:
    """Position in ``rows`` of the clip of each video at ``start``, `ABSENT` where there is none."""
    from xdcbench.utils.mapped_table import places  # as above

    at = places(_clip(ytid, start), _clip(rows["ytid"], rows["start"]))
    listed = rows["start"].to_numpy(dtype=float)[at] if len(rows) else start.to_numpy(dtype=float)
    near = (start % 1 == 0) | (listed % 1 == 0) | (np.abs(listed - start) < accuracy * 0.999)
    return np.where(near, at, ABSENT)


def _clip(ytid: pd.Series, start: pd.Series) -> pd.Series:
    return ytid + "_" + start.astype("int64").astype("str")
