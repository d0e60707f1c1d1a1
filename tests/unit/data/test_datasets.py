from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xdcbench.data.datasets.labelled import _parts
from xdcbench.data.scan import Scan, fingerprint, scan
from xdcbench.errors import UserError
from xdcbench.schema import Dataset

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "datasets").glob("*.yaml"))


def config(name: str, **changes: Any) -> Dataset:
    path = next(p for p in CONFIGS if p.stem == name)
    return Dataset(**{**yaml.safe_load(path.read_text()), **changes})


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def text(root: Path, name: str, *lines: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text("".join(line + "\n" for line in lines))


def counts(found: Scan, split: str) -> tuple[int, int]:
    column = found.items["split:" + split]
    return int((column == "train").sum()), int((column == "test").sum())


def part(found: Scan, split: str) -> dict[str, str]:
    return dict(zip(found.items["id"], found.items["split:" + split], strict=True))


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
        touch(root, *(f"{name}/film_{i}_{name}_{j}.avi" for i in range(4) for j in range(2)))
        for split in (1, 2, 3):
            codes = {0: 1, 1: 2, 2: 0, 3: 1}
            lines = [f"film_{i}_{name}_{j}.avi {codes[(i + split) % 4]} " for i in range(4) for j in range(2)]
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


def test_every_config_has_a_tree_here() -> None:
    assert {p.stem for p in CONFIGS} >= set(TREES)


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


def test_hmdb51(tmp_path: Path) -> None:
    hmdb51(tmp_path)
    found = scan(tmp_path, config("hmdb51"))
    assert [counts(found, s) for s in "123"] == [(8, 4)] * 3
    assert part(found, "1")["film_1_hug_0"] == ""
    assert part(found, "1")["film_0_hug_1"] == "test"
    assert dict(zip(found.items["id"], found.items["group"], strict=True))["film_0_hug_1"] == "film_0_hug"


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


def test_labelled_reports_what_does_not_match(tmp_path: Path) -> None:
    grid(tmp_path)
    (tmp_path / "video/3.mpg").unlink()
    touch(tmp_path, "video/new.mpg")
    found = scan(tmp_path, config("grid"))
    assert (found.missing, found.extra) == (("video/3.mpg",), ("video/new.mpg",))
    assert found.classes == ("bin", "lay")
    assert (len(found.items), (found.items["bytes"] >= 0).sum()) == (40, 39)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "mood"}, "no column `mood`; set `options.label` to one of file, command"),
        ({"label": "command", "path": "file", "test_share": 2}, "options.test_share is 2"),
        ({"list": "other.csv"}, "no list .*other.csv"),
        ({"colour": 1}, "no option `colour` of adapter `labelled`; it takes list, path, label, test_share"),
    ],
)
def test_labelled_mistakes(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    grid(tmp_path)
    with pytest.raises(UserError, match=message):
        scan(tmp_path, config("grid", options=options))


@given(st.sets(st.text(min_size=1, max_size=8), min_size=8), st.sets(st.text(min_size=9, max_size=10)))
@settings(max_examples=50, deadline=None)
def test_hashed_split_is_stable(ids: set[str], more: set[str]) -> None:
    before, after = _parts(sorted(ids), 0.25), _parts(sorted(ids | more), 0.25)
    assert set(before.values()) == {"train", "test"}
    # Only a side that the hash alone leaves empty borrows an item, and gives it back.
    assert sum(before[i] != after[i] for i in ids) <= 2


def test_hashed_split_keeps_its_share_and_its_items() -> None:
    ids = [f"video/{i}" for i in range(4000)]
    parts = _parts(ids, 0.25)
    assert sum(p == "test" for p in parts.values()) == pytest.approx(1000, abs=80)
    fewer = _parts(ids[::2], 0.25)
    assert all(parts[i] == fewer[i] for i in fewer)


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
        scan(tmp_path, user())


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="split `2` is not in the data set, which has 1"):
        scan(tmp_path, user(splits=("2",)))


@pytest.mark.parametrize(
    ("adapter", "message"),
    [("ucf", "no adapter `ucf`; use one of dcase, "), ("nowhere:scan", "nowhere"), ("json:scan", "scan")],
)
def test_an_adapter_that_is_not_there(tmp_path: Path, adapter: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        scan(tmp_path, user(adapter=adapter))


def test_no_folder_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no folder .*absent"):
        scan(tmp_path / "absent", config("kinetics400"))
    with pytest.raises(UserError, match="no video file below"):
        scan(tmp_path, config("kinetics400"))


def test_fingerprint_sees_content_alone(tmp_path: Path) -> None:
    for name in ("here", "there"):
        grid(tmp_path / name)
    here, there = (scan(tmp_path / n, config("grid")) for n in ("here", "there"))
    shuffled = replace(here, items=here.items.sample(frac=1, random_state=1))
    assert fingerprint(here) == fingerprint(there) == fingerprint(shuffled)
    assert len(fingerprint(here)) == 64
    for column, value in (("bytes", 7), ("label", 9), ("id", "new"), ("split:hashed", "")):
        changed = here.items.copy()
        changed.loc[3, column] = value
        assert fingerprint(replace(here, items=changed)) != fingerprint(here), column


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
