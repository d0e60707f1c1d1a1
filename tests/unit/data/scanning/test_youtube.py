"""Files of YouTube clips, in the ways in which downloads are named."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from xdcbench.data.scanning.lists import place_at
from xdcbench.data.scanning.names import CLIP
from xdcbench.data.scanning.youtube import named_parts, place_clips
from xdcbench.errors import UserError

ID = "Y_-aB3xyz09"
LETTERS = "abcXYZ019_-"
ids = st.text(LETTERS, min_size=11, max_size=11)
NAMES = {
    "seconds": lambda ytid, start, end: f"{ytid}_{start}",
    "padded": lambda ytid, start, end: f"{ytid}_{start:06d}",
    "padded span": lambda ytid, start, end: f"{ytid}_{start:06d}_{end:06d}",
    "span": lambda ytid, start, end: f"{ytid}_{start}_{end}",
    "decimals": lambda ytid, start, end: f"{ytid}_{start}.000_{end}.000",
    "milliseconds": lambda ytid, start, end: f"{ytid}_{start * 1000}",
    "milliseconds span": lambda ytid, start, end: f"{ytid}_{start * 1000}_{end * 1000}",
    "dashed span": lambda ytid, start, end: f"{ytid}_{start}-{end}",
    "dashed decimals": lambda ytid, start, end: f"{ytid}_{start}.0-{end}.0",
    "dashed milliseconds": lambda ytid, start, end: f"{ytid}_{start * 1000}-{end * 1000}",
    "dashed padded": lambda ytid, start, end: f"{ytid}_{start:06d}-{end:06d}",
    "dashes": lambda ytid, start, end: f"{ytid}-{start}-{end}",
    "a Y and dashes": lambda ytid, start, end: f"Y{ytid}_{start}.000-{end}.000",
    "with a Y": lambda ytid, start, end: f"Y{ytid}_{start}",
}


def rows(*clips: tuple[str, float]) -> pd.DataFrame:
    frame = pd.DataFrame(clips, columns=["ytid", "start"])
    return frame.assign(id=frame["ytid"] + "@" + frame["start"].astype(str))


def files(*stems: str) -> pd.DataFrame:
    return pd.DataFrame({"stem": stems, "path": [f"{s}.mp4" for s in stems], "bytes": 1}).astype(
        {"stem": "str"}
    )


def held(clips: pd.DataFrame, *stems: str) -> dict[str, str]:
    """Stem of the file of each clip that one of the files holds."""
    items, extra = place_clips(clips, files(*stems))
    here = items[items["bytes"] == 1]
    assert set(items.loc[items["bytes"] == -1, "path"]) == set(items.loc[items["bytes"] == -1, "id"])
    assert set(extra) == {f"{s}.mp4" for s in stems} - set(here["path"])
    return {i: Path(path).stem for i, path in zip(here["id"], here["path"], strict=True)}


@pytest.mark.parametrize("way", NAMES)
@settings(max_examples=15, deadline=None)
@given(clips=st.dictionaries(ids, st.integers(0, 9000), min_size=1, max_size=6))
def test_every_way_of_naming_finds_its_clip(way: str, clips: dict[str, int]) -> None:
    stems = {f"{y}@{s}": NAMES[way](y, s, s + 10) for y, s in clips.items()}
    assert held(rows(*clips.items()), *stems.values()) == stems


@settings(max_examples=15, deadline=None)
@given(clips=st.sets(ids, min_size=1, max_size=6), prefix=st.sampled_from(["", "Y"]))
def test_a_bare_id_stands_for_the_only_clip_of_its_video(clips: set[str], prefix: str) -> None:
    listed = sorted(clips)
    stems = {f"{y}@30": prefix + y for y in listed}
    assert held(rows(*((y, 30) for y in listed)), *stems.values()) == stems


@settings(max_examples=15, deadline=None)
@given(starts=st.sets(st.integers(0, 400), min_size=2, max_size=4), way=st.sampled_from(sorted(NAMES)))
def test_clips_of_one_video_are_told_apart(starts: set[int], way: str) -> None:
    ordered = sorted(starts)
    stems = {f"{ID}@{s}": NAMES[way](ID, s, s + 10) for s in ordered}
    assert held(rows(*((ID, s) for s in ordered)), *stems.values()) == stems
    assert held(rows(*((ID, s) for s in ordered)), ID) == {}, "a bare name could be any of them"


@pytest.mark.parametrize(
    "stem",
    [
        f"{ID}_31",
        f"{ID}_030000",  # zeros in front: seconds
        f"{ID}_30000_30010",  # ten units long: seconds
        f"{ID}_thumb",
        f"{ID}_٣٠",
        f"{ID}_30\n",
        f"{ID}_30--40",
        f"{ID}_30_40_50",
        ID[:-1],
        "X" + ID,
        f"{ID} (1)",
        "",
    ],
)
def test_another_name_is_another_file(stem: str) -> None:
    assert held(rows((ID, 30)), stem) == {}


def test_the_list_says_whether_a_start_is_in_milliseconds() -> None:
    both = rows((ID, 1200), (ID, 1))
    assert held(rows((ID, 1)), f"{ID}_1200_11200") == {f"{ID}@1": f"{ID}_1200_11200"}
    assert held(both, f"{ID}_1200_11200") == {f"{ID}@1": f"{ID}_1200_11200"}, "not twenty minutes"
    for stem in (f"{ID}_1200_1210", f"{ID}_001200", f"{ID}_1200.0"):
        assert held(both, stem) == {f"{ID}@1200": stem}
    with pytest.raises(
        UserError, match=rf"^{ID}_1200.mp4: this is `{ID}@1200` in seconds and `{ID}@1` in milli"
    ):
        held(both, f"{ID}_1200")


@pytest.mark.parametrize("stem", ["239.1", "239.81", "239801", "239.9-249.9"])
def test_another_start_within_the_second_is_another_file(stem: str) -> None:
    assert held(rows((ID, 239.8)), f"{ID}_{stem}") == {}


# Ids of every kind that could be read wrongly: with a Y in front, all of digits, ending in a separator.
tricky = st.one_of(
    ids,
    st.text("Y_-", min_size=11, max_size=11),
    st.text("0123456789_-", min_size=11, max_size=11),
    st.text("Y0_-.", min_size=11, max_size=11).map(lambda text: text.replace(".", "Y")),
)


@pytest.mark.parametrize("way", NAMES)
@settings(max_examples=40, deadline=None)
@given(ytid=tricky, start=st.integers(0, 9000), length=st.integers(1, 15))
def test_a_name_says_its_id_and_its_start(way: str, ytid: str, start: int, length: int) -> None:
    match = CLIP.fullmatch(NAMES[way](ytid, start, start + length))
    assert match is not None
    assert match[1] == ytid
    assert float(match[2]) in (start, 1000 * start)


@settings(max_examples=100, deadline=None)
@given(ytid=tricky, prefix=st.sampled_from(["", "Y"]))
def test_a_bare_name_is_the_id(ytid: str, prefix: str) -> None:
    match = CLIP.fullmatch(prefix + ytid)
    assert match is not None
    assert match.group(1, 2, 3) == (ytid, None, None)


@pytest.mark.parametrize("stem", ["239.800", "239.8_249.8", "239", "000239", "239800", "239800_249800"])
def test_a_start_between_seconds(stem: str) -> None:
    assert held(rows((ID, 239.8)), f"{ID}_{stem}") == {f"{ID}@239.8": f"{ID}_{stem}"}


def first_placed(rows: pd.DataFrame, files: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """``place_clips`` as it was first written, by pandas' indexes; an assertion where a name fits two clips."""

    def clip(ytid: pd.Series, start: pd.Series) -> pd.Series:
        return ytid + "_" + start.fillna(-1).astype("int64").astype("str")

    def clip_at(start: pd.Series, accuracy: pd.Series | float) -> np.ndarray:
        at = pd.Index(clip(rows["ytid"], rows["start"])).get_indexer(clip(ytid, start))
        listed = rows["start"].to_numpy(dtype=float)[at]
        near = (start % 1 == 0) | (listed % 1 == 0) | (np.abs(listed - start) < accuracy * 0.999)
        return np.where(near, at, -1)

    found = files["stem"].str.extract(f"^{CLIP.pattern}\\Z")
    ytid, start, end = (column for _, column in found.items())
    begin, until = pd.to_numeric(start), pd.to_numeric(end)
    long = until - begin >= 1000
    may_be_ms = (begin >= 1000) & ~start.str.match(r"0|.*\.").fillna(False) & (long | until.isna())
    decimals = start.str.extract(r"\.(.*)$")[0].str.len().fillna(0)
    in_seconds = clip_at(begin, 10.0**-decimals)
    in_ms = np.where(may_be_ms, clip_at(begin / 1000, 1e-3), -1)
    assert not ((in_seconds != -1) & (in_ms != -1) & (in_seconds != in_ms) & ~long).any()
    row = np.where((in_ms != -1) & (long | (in_seconds == -1)), in_ms, in_seconds)
    single = rows["ytid"].where(~rows["ytid"].duplicated(keep=False), rows["id"].index.astype("str"))
    row = np.where(start.isna(), pd.Index(single).get_indexer(ytid), row)
    return place_at(rows.assign(listed=rows["id"]), files, row)


few_ids = st.sampled_from([ID, ID[::-1], "-" * 11])
starts = st.sampled_from([0, 1, 1.5, 2, 30, 30.25, 1000, 1500, 1000.5, 2000])
clips_listed = st.lists(
    st.tuples(few_ids, starts), min_size=1, max_size=6, unique_by=lambda clip: (clip[0], int(clip[1]))
)
stems_there = st.lists(
    st.builds(
        lambda prefix, ytid, start, sign, end: prefix + ytid + start + (sign + end if start and end else ""),
        st.sampled_from(["", "Y"]),
        few_ids,
        starts.map(lambda start: f"_{start:g}")
        | st.sampled_from(["", "_000001", "_1.50", "-1500", "_x", "_30\n"]),
        st.sampled_from("_-"),
        st.sampled_from(["", "11", "1010", "2500", "11500", "40.25"]),
    ),
    min_size=1,
    max_size=8,
)


@given(clips=clips_listed, stems=stems_there)
@settings(max_examples=150, deadline=None)
def test_files_are_placed_as_pandas_places_them(clips: list[tuple[str, float]], stems: list[str]) -> None:
    listed, there = rows(*clips).astype({"ytid": "str", "id": "str"}), files(*stems).astype({"path": "str"})
    try:
        expected, extra = first_placed(listed, there)
    except AssertionError:
        with pytest.raises(UserError, match="in seconds and"):
            place_clips(listed, there)
        return
    placed, unlisted = place_clips(listed, there)
    assert_frame_equal(placed, expected)
    assert unlisted == extra


@given(
    st.lists(
        st.text("Y_-.09aB\n٣ü", max_size=30) | st.from_regex(CLIP, fullmatch=True), min_size=1, max_size=6
    )
)
@settings(max_examples=200, deadline=None)
def test_arrow_reads_a_name_as_python_does(stems: list[str]) -> None:
    found = list(
        zip(*named_parts(pd.Series(stems, dtype="str", index=range(5, 5 + len(stems)))), strict=True)
    )
    matches = (CLIP.fullmatch(stem) for stem in stems)
    expected = [match.group("ytid", "start", "end") if match else (None,) * 3 for match in matches]
    assert [tuple(None if pd.isna(part) else part for part in parts) for parts in found] == expected
