from pathlib import Path

import pytest

from tests.unit.data.trees import column, config, counts, paths, text, touch
from xdcbench.data.scan import scan
from xdcbench.errors import UserError

DATASET = config("vggsound")
ROWS = (
    'aaaaaaaaaaa,30,"bird chirping, tweeting",train',
    "bbbbbbbbbbb,1,dog barking,train",
    "bbbbbbbbbbb,200,dog barking,test",
    "_-ccccccccc,7,air horn,test",
)


def test_the_list_of_all(tmp_path: Path) -> None:
    text(tmp_path, "vggsound.csv", *ROWS)
    touch(tmp_path, "video/aaaaaaaaaaa_000030.mp4", "video/bbbbbbbbbbb_1000_11000.mp4", "bbbbbbbbbbb_200.mp4")
    touch(tmp_path, "video/aaaaaaaaaaa_000031.mp4", "video/bbbbbbbbbbb.mp4")
    found = scan(tmp_path, DATASET)
    assert found.classes == ("air horn", "bird chirping, tweeting", "dog barking")
    assert column(found, "label") == {
        "aaaaaaaaaaa_000030": 1,
        "bbbbbbbbbbb_000001": 2,
        "bbbbbbbbbbb_000200": 2,
        "_-ccccccccc_000007": 0,
    }
    assert counts(found, "official") == (2, 2), "a video with clips in both parts stays as published"
    assert paths(found) == {
        "aaaaaaaaaaa_000030": "video/aaaaaaaaaaa_000030.mp4",
        "bbbbbbbbbbb_000001": "video/bbbbbbbbbbb_1000_11000.mp4",
        "bbbbbbbbbbb_000200": "bbbbbbbbbbb_200.mp4",
    }
    assert found.missing == ("_-ccccccccc_000007",)
    assert set(found.extra) == {"video/aaaaaaaaaaa_000031.mp4", "video/bbbbbbbbbbb.mp4"}


def test_the_lists_of_the_first_release(tmp_path: Path) -> None:
    text(tmp_path, "train.csv", "aaaaaaaaaaa_000030.mp4,dog barking", end="\r\n")
    text(tmp_path, "test.csv", "_-ccccccccc_000007.mp4,air horn")
    touch(tmp_path, "audio/_-ccccccccc_000007.wav")
    found = scan(tmp_path, config("vggsound", media="audio"))
    assert column(found, "split:official") == {"aaaaaaaaaaa_000030": "train", "_-ccccccccc_000007": "test"}
    assert paths(found) == {"_-ccccccccc_000007": "audio/_-ccccccccc_000007.wav"}


@pytest.mark.parametrize(
    ("row", "saying"),
    [
        ("ddddddddddd,3,dog barking", r"vggsound.csv, line 5: .* has 3 fields, not 4"),
        ("ddddddddddd,3,dog barking,val", "unknown split:official `val`, which is not in train, test"),
        ("ddddddddddd,three,dog barking,test", "start `three` is no number"),
        (
            "aaaaaaaaaaa,30,air horn,train",
            "`aaaaaaaaaaa_000030` has class `bird chirping, tweeting` and `air horn`",
        ),
        ("ddddddddddd,3,dog brking,test", r"unknown class `dog brking`, which is not in .*stat.csv"),
    ],
)
def test_mistakes_in_the_list(tmp_path: Path, row: str, saying: str) -> None:
    text(tmp_path, "vggsound.csv", *ROWS, row)
    text(
        tmp_path,
        "stat.csv",
        '"bird chirping, tweeting",9,animals',
        "dog barking,5,animals",
        "air horn,2,vehicle",
    )
    with pytest.raises(UserError, match=saying):
        scan(tmp_path, DATASET)


def test_mistakes_in_a_list_of_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no list .*vggsound.csv; get it from https"):
        scan(tmp_path, DATASET)
    text(tmp_path, "test.csv", "aaaaaaaaaaa.mp4,dog barking")
    with pytest.raises(
        UserError, match=r"test.csv, line 1: `aaaaaaaaaaa.mp4` does not read <ytid>_<start>.mp4"
    ):
        scan(tmp_path, DATASET)


def test_official_lists(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "annotations" / "vggsound"
    listed = [line.split(",")[0] for line in (folder / "test.csv").read_text().splitlines()]
    touch(tmp_path, *listed[::9])
    found = scan(tmp_path, config("vggsound", options={"lists": str(folder)}))
    assert counts(found, "official") == (0, 15446)
    assert len(found.classes) == 309
    assert sorted(paths(found).values()) == sorted(listed[::9])
    assert found.extra == ()
