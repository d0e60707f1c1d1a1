"""Files of YouTube clips, in the ways in which downloads are named."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xdcbench.data.youtube import place_clips

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
        f"{ID}_30_40_50",
        ID[:-1],
        "X" + ID,
        f"{ID} (1)",
        "",
    ],
)
def test_another_name_is_another_file(stem: str) -> None:
    assert held(rows((ID, 30)), stem) == {}


def test_seconds_come_before_milliseconds() -> None:
    clips = rows((ID, 1200), (ID, 1))
    assert held(clips, f"{ID}_1200") == {f"{ID}@1200": f"{ID}_1200"}
    assert held(rows((ID, 1)), f"{ID}_1200_11200") == {f"{ID}@1": f"{ID}_1200_11200"}


@pytest.mark.parametrize("stem", ["239.800", "239.8_249.8", "239", "000239", "239800", "239800_249800"])
def test_a_start_between_seconds(stem: str) -> None:
    assert held(rows((ID, 239.8)), f"{ID}_{stem}") == {f"{ID}@239.8": f"{ID}_{stem}"}
