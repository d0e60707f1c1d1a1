"""Names that do not join: what was expected, what is there, and how they differ."""

from pathlib import Path
from unicodedata import normalize

import pytest

from tests.unit.data.trees import config, paths, text, touch
from xdcbench.data.scan import scan
from xdcbench.data.scanning.names import explanation
from xdcbench.errors import UserError

NFC, NFD = normalize("NFC", "pêche"), normalize("NFD", "pêche")
ID = "a_-aaaaaaaa"
CASES = {
    # expected, found, reasons
    ("v/1.mp4", "v/1.mkv"): "suffix .mkv",
    ("v/1.mp4", "v/1.MP4"): "suffix .MP4",
    ("v/Dog.mp4", "v/dog.mp4"): "upper and lower case",
    ("V/1.mp4", "v/1.mp4"): "upper and lower case",
    (r"v\1.mp4", "v/1.mp4"): "backslashes in the list",
    (r"C:\v\1.mp4", "v/1.mp4"): "backslashes in the list, another folder",
    (f"v/{NFC}.mp4", f"v/{NFD}.mp4"): "NFC in the list, NFD on disk",
    (f"{NFD}/1.mp4", f"{NFC}/1.mp4"): "NFD in the list, NFC on disk",
    ("v/1.mp4", "data/v/1.mp4"): "another folder",
    ("v/1.mp4", "1.mp4"): "another folder",
    (r"V\Dog.mp4", "w/dog.mkv"): "backslashes in the list, another folder, upper and lower case, suffix .mkv",
    ("c/v_c_g01", "UCF/c/v_c_g01.wav"): "another kind of file",
    ("c/v_c_g01", "C/v_c_g01.avi"): "upper and lower case",
    (f"{ID}_000030_000040", f"x/{ID}_31.mp4"): "another start than the list's",
    (
        f"{ID}_000030_000040",
        f"x/{ID}.mp4",
    ): "no start in its name, and the list has several clips of its video",
    (ID, f"x/{ID}_31.0-41.0.wav"): "another start than the list's",
    (ID, f"x/A title [{ID}].mp4"): "a title in its name",
    (ID, f"x/A title-{ID}.mp4"): "a title in its name",
    (ID, f"x/{ID}.wav"): "another kind of file",
    ("v/holiday_01.mp4", "v/holiday-01.mp4"): "another name",
}


@pytest.mark.parametrize("case", CASES)
def test_a_name_is_told_beside_the_nearest(case: tuple[str, str]) -> None:
    expected, found = case
    others = ["zzz/other.mp4", "q.mkv"]
    said = explanation([expected], [*others, found, *others], guess=True)
    assert said.startswith(f"expected `{expected}`, found `{found}`: {CASES[case]}. Try: ")


def test_a_true_difference_comes_before_likeness() -> None:
    expected = [f"v/{i}.mp4" for i in range(5000)]
    assert "found `V/4000.mp4`" in explanation(expected, ["v/5001.mp4", "V/4000.mp4"], guess=True)


def test_nothing_alike() -> None:
    assert explanation(["v/1.mp4"], ["other.mp4"], guess=True) == ""
    assert explanation(["v/holiday_01.mp4"], ["v/holiday-01.mp4"], guess=False) == ""
    assert explanation([], ["a.mp4"], guess=True) == explanation(["a.mp4"], [], guess=True) == ""


def test_a_list_none_of_whose_names_joins(tmp_path: Path) -> None:
    touch(tmp_path, f"video/{NFD}.mp4")
    text(tmp_path, "list.csv", "path", f"video/{NFC}.mp4")
    with pytest.raises(UserError) as error:
        scan(tmp_path, config("filelist", options={"list": "list.csv"}))
    assert str(error.value).endswith(
        f"no video file that list.csv names below {tmp_path}: expected `video/{NFC}.mp4`, found `video/{NFD}.mp4`: "
        "NFC in the list, NFD on disk. Try: write both in one Unicode form"
    )


def test_a_list_some_of_whose_names_do_not_join(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    touch(tmp_path, "a.mp4", "B.mp4")
    text(tmp_path, "list.csv", "path", "a.mp4", "b.mp4", "c.mp4")
    found = scan(tmp_path, config("filelist", options={"list": "list.csv"}))
    assert found.missing == ("b.mp4", "c.mp4")
    (line,) = caplog.messages
    assert "2 of 3 listed files are missing; expected `b.mp4`, found `B.mp4`: upper and lower case" in line


def test_a_folder_of_another_kind(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.wav")
    with pytest.raises(
        UserError, match=r"no video file below .*: found only 2 others, such as `a.wav`. Try: "
    ):
        scan(tmp_path, config("filelist"))


def test_a_list_without_suffixes(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    text(tmp_path, "list.csv", "path", "a")
    with pytest.raises(UserError, match=r"expected `a`, found `a\.mp4`: no suffix in the list\. Try: "):
        scan(tmp_path, config("filelist", options={"list": "list.csv"}))


def test_names_that_have_nothing_in_common(tmp_path: Path) -> None:
    touch(tmp_path, "1.mp4")
    text(tmp_path, "list.csv", "path", "holiday.mp4")
    with pytest.raises(UserError, match=r"expected `holiday\.mp4`, found only 1 others, such as `1\.mp4`"):
        scan(tmp_path, config("filelist", options={"list": "list.csv"}))


@pytest.mark.parametrize("folder", ["", "train/", "train/Air drumming/"])
@pytest.mark.parametrize(
    "name",
    ["{0}_30.0-40.0", "{0}_30_40", "{0}_30000_40000", "Y{0}_30.000", "{0}", "{0}_000030-000040", "{0}-30-40"],
)
def test_names_of_downloaders_join(tmp_path: Path, name: str, folder: str) -> None:
    stem = folder + name.format(ID)
    for kind, media in (("audioset", "wav"), ("vggsound", "mp4"), ("kinetics400", "mp4")):
        root = tmp_path / kind
        touch(root, f"{stem}.{media}")
    text(tmp_path, "audioset/class_labels_indices.csv", "index,mid,display_name", "0,/m/01,a")
    for part, row in (
        ("eval", ""),
        ("unbalanced_train", f'{ID}, 30.000, 40.000, "/m/01"'),
        ("balanced_train", ""),
    ):
        text(
            tmp_path,
            f"audioset/{part}_segments.csv",
            "# YTID, start_seconds, end_seconds, positive_labels",
            row,
        )
    text(tmp_path, "vggsound/vggsound.csv", f"{ID},30,a,train")
    text(
        tmp_path,
        "kinetics400/train.csv",
        "label,youtube_id,time_start,time_end,split",
        f"air drumming,{ID},30,40,train",
    )
    assert list(paths(scan(tmp_path / "audioset", config("audioset", media="audio"))).values()) == [
        f"{stem}.wav"
    ]
    for kind in ("vggsound", "kinetics400"):
        assert list(paths(scan(tmp_path / kind, config(kind))).values()) == [f"{stem}.mp4"]
