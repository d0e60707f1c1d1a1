import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pytest

from tests.unit.data.trees import column, config, counts, text, touch
from xdcbench.config.data import Dataset
from xdcbench.data.scan import scan
from xdcbench.data.scanning import items
from xdcbench.data.scanning.items import Scan, fingerprint, media_files, table
from xdcbench.data.sources import Lookup, find_source
from xdcbench.errors import UserError
from xdcbench.utils.code import Consent

ROOT = Path(__file__).parents[4]
DATASETS = ROOT / "xdcbench" / "data" / "datasets"

TRUSTED = Consent(everything=True)


def part(found: Scan, split: str) -> dict[str, str]:
    return column(found, "split:" + split)


# ------------------------------------------------------------------------------------ small trees


def ucf101(root: Path) -> None:
    names = [f"{c}/v_{c}_g{g:02d}_c01" for c in ("Archery", "YoYo") for g in (1, 2, 3)]
    touch(root, *(f"UCF-101/{n}.avi" for n in names), "Archery/.hidden.avi", "Archery/notes.txt")
    for number in (1, 2, 3):
        train = [n for n in names if f"_g{number:02d}" not in n]
        test = [n for n in names if f"_g{number:02d}" in n]
        label = {"Archery": 1, "YoYo": 2}
        text(
            root,
            f"ucfTrainTestlist/trainlist0{number}.txt",
            *(f"{n}.avi {label[n.split('/')[0]]}" for n in train),
        )
        text(root, f"ucfTrainTestlist/testlist0{number}.txt", *(f"{n}.avi" for n in test * 2))


def hmdb51(root: Path) -> None:
    for name in ("hug", "wave"):
        touch(root, *(f"{name}/video_{i}_{name}_{j}.avi" for i in range(4) for j in range(2)))
        for split in (1, 2, 3):
            codes = {0: 1, 1: 2, 2: 0, 3: 1}
            lines = [
                f"video_{i}_{name}_{j}.avi {codes[(i + split) % 4]} " for i in range(4) for j in range(2)
            ]
            text(root, f"testTrainMulti_7030_splits/{name}_test_split{split}.txt", *lines)


def kinetics400(root: Path) -> None:
    touch(root, "train/abseiling/a1.mp4", "train/zumba/z1.mp4", "train/zumba/z2.mkv", "val/abseiling/a3.mp4")


def imagenet(root: Path) -> None:
    touch(root, "train/n01/n01_1.JPEG", "train/n02/n02_1.JPEG", "val/n02/ILSVRC2012_val_1.JPEG")


def esc50(root: Path, folds: tuple[int, ...] = (1, 2, 3, 4, 5), suffix: str = "wav") -> None:
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for fold in folds:
        for target, category in ((41, "chainsaw"), (0, "dog"), (7, "cow")):
            name = f"{fold}-{target}00-A-{target}.{suffix}"
            rows.append(f"{name},{fold},{target},{category},{category != 'cow'},{target}00,A")
            touch(root, f"audio/{name}")
    text(root, "meta/esc50.csv", *rows)


def esc10(root: Path) -> None:
    esc50(root, (1, 2, 3, 5), "ogg")


def dcase(root: Path) -> None:
    for folder in ("scenes_stereo", "scenes_stereo_testset"):
        touch(root, *(f"{folder}/{c}{i:02d}.wav" for c in ("bus", "tube", "tubestation") for i in (3, 11)))


def grid(root: Path) -> None:
    text(
        root, "labels.csv", "file,command", *(f"video/{i}.mpg,{'bin' if i % 2 else 'lay'}" for i in range(40))
    )
    touch(root, *(f"video/{i}.mpg" for i in range(40)))


TREES: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (ucf101, hmdb51, kinetics400, imagenet, esc50, esc10, dcase, grid)
}


@pytest.mark.parametrize("name", sorted(TREES))
def test_scan_holds_its_promises(tmp_path: Path, name: str) -> None:
    TREES[name](tmp_path)
    dataset = config(name)
    found = scan(tmp_path, dataset)
    items = found.items
    assert list(items)[:5] == ["id", "path", "label", "group", "bytes"]
    assert items["label"].dtype == items["bytes"].dtype == "int64"
    assert items["id"].is_unique
    assert all((tmp_path / p).is_file() for p in items["path"])
    assert set(items["label"]) == set(range(len(found.classes)))
    assert found.missing == found.extra == ()
    for split in dataset.splits:
        train, test = counts(found, split)
        assert train > 0
        assert test > 0


def test_ucf101(tmp_path: Path) -> None:
    ucf101(tmp_path)
    (tmp_path / "UCF-101/YoYo/v_YoYo_g02_c01.avi").unlink()
    touch(tmp_path, "UCF-101/YoYo/v_YoYo_g09_c01.avi")
    found = scan(tmp_path, config("ucf101"))
    assert found.classes == ("Archery", "YoYo")
    assert found.missing == ("YoYo/v_YoYo_g02_c01",)
    assert found.extra == ("UCF-101/YoYo/v_YoYo_g09_c01.avi",)
    assert [counts(found, s) for s in "123"] == [(4, 2)] * 3, "a missing video is still listed"
    assert found.items.set_index("id")["bytes"].to_dict()["v_YoYo_g02_c01"] == -1
    assert set(found.items["group"]) >= {"v_Archery_g01", "v_YoYo_g03"}
    assert {p.name for p in found.sources} == {
        f"{a}list0{n}.txt" for a in ("train", "test") for n in (1, 2, 3)
    }


def test_ucf101_transcoded_keeps_its_lists(tmp_path: Path) -> None:
    ucf101(tmp_path)
    before = scan(tmp_path, config("ucf101"))
    for path in list(tmp_path.rglob("v_*.avi")):
        path.rename(path.with_suffix(".mp4"))
    after = scan(tmp_path, config("ucf101"))
    assert fingerprint(after) == fingerprint(before)
    assert set(after.items["path"]) != set(before.items["path"])


def test_ucf101_without_lists(tmp_path: Path) -> None:
    touch(tmp_path, "Archery/v_Archery_g01_c01.avi")
    with pytest.raises(UserError, match=r"no list .*trainlist01.txt; get it from https.*options\.lists"):
        scan(tmp_path, config("ucf101"))


@pytest.mark.parametrize(
    ("name", "line", "saying"),
    [
        (
            "trainlist01",
            "v_YoYo_g02_c01.avi 2",
            r"trainlist01.txt, line 5: `v_YoYo_g02_c01.avi 2` does not read <class>/",
        ),
        ("trainlist01", "YoYo/v_YoYo_g02_c01.avi 1", r"contradicts classInd.txt, where YoYo is 2"),
        ("testlist01", "Yoyo/v_Yoyo_g01_c01.avi", r"unknown class `Yoyo`, which is not in classInd.txt"),
        ("testlist01", "YoYo/v_YoYo_g02_c01.avi", r"is in train and test of split 1"),
        ("classInd", "YoYo", r"classInd.txt, line 3: `YoYo` is not a number and a class"),
    ],
)
def test_ucf101_mistakes(tmp_path: Path, name: str, line: str, saying: str) -> None:
    ucf101(tmp_path)
    text(tmp_path, "ucfTrainTestlist/classInd.txt", "1 Archery", "2 YoYo")
    with (tmp_path / f"ucfTrainTestlist/{name}.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=saying):
        scan(tmp_path, config("ucf101"))


def test_hmdb51_test_lists_may_share_clips(tmp_path: Path) -> None:
    hmdb51(tmp_path)
    again = tmp_path / "testTrainMulti_7030_splits/hug_test_split2.txt"
    again.write_text((tmp_path / "testTrainMulti_7030_splits/hug_test_split1.txt").read_text())
    found = scan(tmp_path, config("hmdb51"))
    assert part(found, "1")["video_0_hug_1"] == part(found, "2")["video_0_hug_1"] == "test"


def test_hmdb51_mistakes(tmp_path: Path) -> None:
    hmdb51(tmp_path)
    path = tmp_path / "testTrainMulti_7030_splits/hug_test_split1.txt"
    good = path.read_text()
    path.write_text(good + "video_9_hug_0.avi\n")
    with pytest.raises(
        UserError, match=r"hug_test_split1.txt, line 9: `video_9_hug_0.avi` must end in 0, 1 or 2"
    ):
        scan(tmp_path, config("hmdb51"))
    path.write_text(good + "video_0_hug_0.avi 1\n")
    with pytest.raises(UserError, match="hug/video_0_hug_0 is in two parts of split 1"):
        scan(tmp_path, config("hmdb51"))


def test_official_classes_that_look_alike(tmp_path: Path) -> None:
    hmdb51(tmp_path)
    lists = tmp_path / "testTrainMulti_7030_splits"
    text(tmp_path, "testTrainMulti_7030_splits/Wave_test_split1.txt", "video_9_Wave_0.avi 1")
    with pytest.raises(UserError, match="classes `Wave` and `wave` are one"):
        scan(tmp_path, config("hmdb51"))
    (lists / "Wave_test_split1.txt").rename(lists / "波_test_split1.txt")
    assert scan(tmp_path, config("hmdb51")).classes == ("hug", "wave", "波")


def test_hmdb51(tmp_path: Path) -> None:
    hmdb51(tmp_path)
    found = scan(tmp_path, config("hmdb51"))
    assert [counts(found, s) for s in "123"] == [(8, 4)] * 3
    assert part(found, "1")["video_1_hug_0"] == ""
    assert part(found, "1")["video_0_hug_1"] == "test"
    assert dict(zip(found.items["id"], found.items["group"], strict=True))["video_0_hug_1"] == "video_0_hug"


def test_hmdb51_without_lists(tmp_path: Path) -> None:
    touch(tmp_path, "hug/a.avi")
    with pytest.raises(UserError, match=r"no list .*_test_split1.txt"):
        scan(tmp_path, config("hmdb51"))


def test_class_folders(tmp_path: Path) -> None:
    kinetics400(tmp_path)
    touch(tmp_path, "train/stray.mp4", "train/zumba/readme.txt")
    found = scan(tmp_path, config("kinetics400"))
    assert found.classes == ("abseiling", "zumba")
    assert part(found, "official") == {"a1": "train", "z1": "train", "z2": "train", "a3": "test"}
    assert found.extra == ("train/stray.mp4",)


def test_one_id_twice(tmp_path: Path) -> None:
    kinetics400(tmp_path)
    touch(tmp_path, "val/zumba/z1.mp4")
    with pytest.raises(UserError, match=r"id `z1` occurs twice .*train/zumba/z1.mp4, val/zumba/z1.mp4"):
        scan(tmp_path, config("kinetics400"))


def test_esc50_folds(tmp_path: Path) -> None:
    esc50(tmp_path)
    found = scan(tmp_path, config("esc50"))
    assert found.classes == ("dog", "cow", "chainsaw")
    assert dict(zip(found.items["id"], found.items["label"], strict=True))["1-4100-A-41"] == 2
    assert [counts(found, s) for s in "12345"] == [(12, 3)] * 5
    assert part(found, "4")["4-000-A-0"] == "test"


def test_esc10_is_a_part_of_esc50(tmp_path: Path) -> None:
    esc10(tmp_path)
    found = scan(tmp_path, config("esc10"))
    assert found.classes == ("dog", "chainsaw")
    assert [counts(found, s) for s in "1235"] == [(6, 2)] * 4
    assert found.extra == ()
    with pytest.raises(UserError, match="fold 4 has no recording"):
        scan(tmp_path, config("esc10", splits=tuple("12345")))


@pytest.mark.parametrize(
    ("change", "saying"),
    [
        (("fold,", "part,"), r"esc50.csv: no column `fold` among filename, part"),
        ((",0,dog,", ",zero,dog,"), "target `zero` is no number"),
        (
            ("1-000-A-0.wav,1,0,dog", "1-000-A-0.wav,1,0,cat"),
            r"esc50.csv, lines 3 and 6: `0` has category `cat` and `dog`",
        ),
        (("2-000-A-0.wav,2,", "1-000-A-0.wav,2,"), r"`audio/1-000-A-0` has fold `1` and `2`"),
        (
            ("7,cow", "7,Dog"),
            r"esc50.csv: classes `dog` and `Dog` are one, since at most case or Unicode form",
        ),
        (("7,cow", "7, dog"), r"esc50.csv: classes `dog` and `dog` are one"),
        (("cow,False", "cow,no"), "unknown esc10 `no`, which is not in True, False"),
        (("cow,False,700,A", "cow"), "has 4 fields, not 7"),
    ],
)
def test_esc50_mistakes(tmp_path: Path, change: tuple[str, str], saying: str) -> None:
    esc50(tmp_path)
    path = tmp_path / "meta/esc50.csv"
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(UserError, match=saying):
        scan(tmp_path, config("esc50"))


def test_a_source_in_two_folds_stays_as_published(tmp_path: Path) -> None:
    esc50(tmp_path)
    groups = column(scan(tmp_path, config("esc50")), "group")
    assert groups["1-000-A-0"] != groups["2-000-A-0"]


def test_dcase_labels_come_from_names(tmp_path: Path) -> None:
    dcase(tmp_path)
    touch(tmp_path, "scenes_stereo_testset/test_tube12.wav", "scenes_stereo/12.wav")
    found = scan(tmp_path, config("dcase"))
    labels = dict(zip(found.items["id"], found.items["label"], strict=True))
    assert found.classes == ("bus", "tube", "tubestation")
    assert labels["scenes_stereo/tubestation03"] == 2
    assert labels["scenes_stereo_testset/test_tube12"] == 1
    assert found.extra == ("scenes_stereo/12.wav",)
    assert counts(found, "official") == (6, 7)


# ------------------------------------------------------------------------------------ the checks


def custom(root: Path, dataset: Dataset) -> Scan:
    rows = [("a", 0, "g1", "train"), ("b", 1, "g1", "test"), ("c", 1, "g2", "train")]
    frame = pd.DataFrame(rows, columns=["id", "label", "group", "split:1"])
    return Scan(frame.assign(path=frame["id"] + ".mp4", bytes=1), ("x", "y"))


def user(**changes: Any) -> Dataset:
    base = {
        "title": "Mine",
        "adapter": f"{__name__}:custom",
        "folder": "x",
        "media": "video",
        "splits": ("1",),
    }
    return Dataset(**{**base, **changes})


def test_a_group_on_both_sides(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="group `g1` is in train and test of split `1`"):
        scan(tmp_path, user(), TRUSTED)


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="split `2` is not in the dataset, which has 1"):
        scan(tmp_path, user(splits=("2",)), TRUSTED)


def of_several(root: Path, dataset: Dataset) -> Scan:
    found = custom(root, dataset)
    items = found.items.assign(group=found.items["id"], label=-1, labels=[(0, 1)] * 3)
    return replace(found, items=items)


@pytest.mark.parametrize(
    ("adapter", "declared", "said"),
    [
        ("custom", True, r"gives each item one class; set `multi_label: false` for this dataset"),
        ("of_several", False, r"gives each item several classes; set `multi_label: true` for this dataset"),
    ],
)
def test_a_dataset_declares_whether_it_is_multi_label(
    tmp_path: Path, adapter: str, declared: bool, said: str
) -> None:
    with pytest.raises(UserError, match=f"Mine: adapter `.*:{adapter}` {said}"):
        scan(tmp_path, user(adapter=f"{__name__}:{adapter}", multi_label=declared), TRUSTED)
    found = scan(tmp_path, user(adapter=f"{__name__}:of_several", multi_label=True), TRUSTED)
    assert column(found, "labels") == dict.fromkeys("abc", (0, 1))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ("ucf", "no adapter `ucf`; use one of audioset, dcase, "),
        ("nowhere:scan", "nowhere"),
        ("json:scan", "scan"),
    ],
)
def test_an_adapter_that_is_not_there(tmp_path: Path, adapter: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scan(tmp_path, user(adapter=adapter), TRUSTED)


def test_no_folder_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*absent"):
        scan(tmp_path / "absent", config("kinetics400"))
    with pytest.raises(UserError, match="no video file below"):
        scan(tmp_path, config("kinetics400"))


def test_files_of_the_wrong_kind_are_extra(tmp_path: Path) -> None:
    esc50(tmp_path)
    (tmp_path / "audio/1-000-A-0.wav").rename(tmp_path / "audio/1-000-A-0.mp4")
    found = scan(tmp_path, config("esc50"))
    assert found.missing == ("audio/1-000-A-0",)
    assert found.extra == ("audio/1-000-A-0.mp4",)


@pytest.mark.parametrize("chunk", [3, 7, 100])
def test_media_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(items, "CHUNK", chunk)
    touch(
        tmp_path,
        "b/2.MP4",
        "b/1.tar.mkv",
        "b c/3.mp4",
        "b-c/4.mp4",
        "a.mp4",
        ".hidden/5.mp4",
        "b/.6.mp4",
        "x.txt",
        "b/mp4",
    )
    touch(tmp_path, "track.wav")
    (tmp_path / "link").symlink_to(tmp_path / "b", target_is_directory=True)
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "a.mp4").write_bytes(b"12345")
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    files, others = media_files(tmp_path, config("kinetics400"))
    assert files["path"].tolist() == [
        "a.mp4", "b/1.tar.mkv", "b/2.MP4", "b c/3.mp4", "b-c/4.mp4", "link/1.tar.mkv", "link/2.MP4"
    ]  # fmt: skip
    assert files["folder"].tolist() == ["", "b", "b", "b c", "b-c", "link", "link"]
    assert files["stem"].tolist() == ["a", "1.tar", "2", "3", "4", "1.tar", "2"]
    assert files["bytes"].tolist() == [5, 0, 0, 0, 0, 0, 0]
    assert others == (r"caf\xe9.mp4", "gone.mp4", "track.wav"), "a name that is no text cannot be an id"
    below, _ = media_files(tmp_path, config("kinetics400"), "b")
    assert below["path"].tolist() == ["b/1.tar.mkv", "b/2.MP4"]
    assert media_files(tmp_path, config("kinetics400"), "absent")[0].empty


def test_a_scan_survives_its_tree(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """For adapters with lists, which are sought in the whole tree, and without."""
    text(tmp_path, "lists/vggsound.csv", "aaaaaaaaaaa,30,dog,train", "bbbbbbbbbbb,1,dog,test")
    touch(tmp_path, "video/aaaaaaaaaaa_000030.mp4")
    (tmp_path / "0_back").symlink_to(tmp_path)
    (tmp_path / "0_self").symlink_to("0_self")
    (tmp_path / "video/gone.mp4").symlink_to("nowhere.mp4")
    passed = ("0_back", "0_self", "video/gone.mp4")
    for name in ("vggsound", "filelist"):
        caplog.clear()
        found = scan(tmp_path, config(name))
        assert found.items.loc[found.items["bytes"] >= 0, "path"].tolist() == ["video/aaaaaaaaaaa_000030.mp4"]
        assert found.extra == passed
        assert [path in line for path, line in zip(passed, caplog.messages, strict=True)] == [True] * 3


def test_a_source_survives_its_tree(tmp_path: Path) -> None:
    grid(tmp_path / "grid")
    for name in "ab":  # the more links, the more ways round
        (tmp_path / f"grid/video/{name}").symlink_to(tmp_path / "grid")
    source = find_source("grid", config("grid"), Lookup(tmp_path, cache=tmp_path / "cache"))
    assert source.fingerprint == find_source("grid", config("grid"), Lookup(tmp_path)).fingerprint


@pytest.mark.parametrize("media", ["video", "audio"])
def test_common_suffixes_are_seen(tmp_path: Path, media: Literal["video", "audio"]) -> None:
    names = {
        "video": "mp4 ts mts m2ts ogv m4v 3gp 3g2 vob asf mpe m2v mxf f4v dv qt TS OGV avi mkv webm mov mpg wmv flv",
        "audio": "wav opus oga aif aiff wma amr ac3 au caf mka mp2 w64 wv ape m4b weba OGA flac ogg mp3 m4a aac",
    }
    made = {
        kind: [f"{i:02d}.{s}" for i, s in enumerate(suffixes.split())] for kind, suffixes in names.items()
    }
    touch(tmp_path, *made["video"], *made["audio"], "notes.txt", "list.csv", "x.py")
    found = scan(tmp_path, config("filelist", media=media).model_copy(update={"options": {}}))
    assert set(found.items["path"]) | set(found.extra) == {*made["video"], *made["audio"]}


def test_table_takes_rows_one_by_one_or_as_a_whole() -> None:
    rows = [
        {
            "id": "a",
            "path": "a.mp4",
            "label": -1,
            "group": "a",
            "bytes": 1,
            "split:1": "train",
            "labels": (0, 2),
        }
    ]
    assert "labels" not in table(rows, ["1"]), "a row has what the caller's columns say"
    whole = table(pd.DataFrame(rows, index=[7]).assign(more=1), ["1"])
    assert list(whole) == ["id", "path", "label", "group", "bytes", "split:1", "labels"]
    assert whole["labels"].tolist() == [(0, 2)]


def test_fingerprint_in_parts_is_that_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid(tmp_path)
    found = scan(tmp_path, config("grid"))
    whole = fingerprint(found)
    for size in (1, 7, 40):
        monkeypatch.setattr("xdcbench.data.scanning.items.CHUNK", size)
        assert fingerprint(found) == whole


def test_scanning_imports_no_torch(tmp_path: Path) -> None:
    names = [f"xdcbench.data.datasets.{m.stem}" for m in DATASETS.glob("*.py") if m.stem != "__init__"]
    assert len(names) > 8
    code = f"import sys, {', '.join(names)}; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_fingerprint_sees_content_alone(tmp_path: Path) -> None:
    for name in ("here", "there"):
        grid(tmp_path / name)
    here, there = (scan(tmp_path / n, config("grid")) for n in ("here", "there"))
    shuffled = replace(here, items=here.items.sample(frac=1, random_state=1))
    assert fingerprint(here) == fingerprint(there) == fingerprint(shuffled)
    assert len(fingerprint(here)) == 64
    for name, value in (("bytes", 7), ("label", 9), ("id", "new"), ("split:hashed", "")):
        changed = here.items.copy()
        changed.loc[3, name] = value
        assert fingerprint(replace(here, items=changed)) != fingerprint(here), name


# -------------------------------------------------------------------------------- official lists


def test_official_ucf101(tmp_path: Path, shared_data: Path) -> None:
    lists = shared_data / "annotations" / "ucfTrainTestlist"
    names = {
        line.split()[0] for p in lists.glob("*list0?.txt") for line in p.read_text().splitlines() if line
    }
    for folder in {n.split("/")[0] for n in names}:
        (tmp_path / folder).mkdir()
    for name in names:
        (tmp_path / name).touch()
    found = scan(tmp_path, config("ucf101", options={"lists": str(lists)}))
    assert [counts(found, s) for s in "123"] == [(9537, 3783), (9586, 3734), (9624, 3696)]
    official = [line.split()[1] for line in (lists / "classInd.txt").read_text().splitlines() if line.strip()]
    assert found.classes == tuple(official)
    assert found.missing == found.extra == ()


def test_official_hmdb51(tmp_path: Path, shared_data: Path) -> None:
    lists = shared_data / "annotations" / "testTrainMulti_7030_splits"
    for path in lists.glob("*_test_split1.txt"):
        folder = tmp_path / path.name.removesuffix("_test_split1.txt")
        folder.mkdir()
        for line in path.read_text().splitlines():
            (folder / line.split()[0]).touch()
    found = scan(tmp_path, config("hmdb51", options={"lists": str(lists)}))
    assert [counts(found, s) for s in "123"] == [(3570, 1530)] * 3
    assert (len(found.classes), len(found.items), found.missing) == (51, 6766, ())


def test_official_esc50(tmp_path: Path, shared_data: Path) -> None:
    csv = (shared_data / "annotations" / "esc50" / "esc50.csv").read_text()
    text(tmp_path, "meta/esc50.csv", *csv.splitlines())
    touch(tmp_path, *(f"audio/{line.split(',')[0]}" for line in csv.splitlines()[1:]))
    found = scan(tmp_path, config("esc50"))
    assert [counts(found, s) for s in "12345"] == [(1600, 400)] * 5
    assert len(found.classes) == 50


def test_real_esc10_and_grid(shared_data: Path) -> None:
    esc = scan(shared_data / "esc10", config("esc10"))
    assert [counts(esc, s) for s in "1235"] == [(240, 80)] * 4
    words = scan(shared_data / "grid", config("grid"))
    assert words.classes == ("bin", "lay", "place", "set")
    assert len(words.items) == 160
    assert words.missing == words.extra == ()
