import re
import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.data.trees import column, config, counts, paths, text, touch
from xdcbench.data.scan import scan
from xdcbench.errors import UserError

DATASET = config("kinetics400")
HEAD = "label,youtube_id,time_start,time_end,split"
TRAIN = (
    "air drumming,aaaaaaaaaaa,17,27,train",
    '"petting animal (not cat)",bbbbbbbbbbb,0,10,train',
    "air drumming,bbbbbbbbbbb,30,40,train",
)
VAL = ("air drumming,Ycccccccccc,124,134,val", "abseiling,ddddddddddd,5,15,validate")
A, B, B30, C, D = (
    "aaaaaaaaaaa_000017_000027",
    "bbbbbbbbbbb_000000_000010",
    "bbbbbbbbbbb_000030_000040",
    "Ycccccccccc_000124_000134",
    "ddddddddddd_000005_000015",
)


def lists(root: Path) -> None:
    text(root, "annotations/kinetics_train.csv", HEAD + ",is_cc", *(row + ",0" for row in TRAIN))
    text(root, "annotations/validate.csv", HEAD, *VAL)
    text(root, "annotations/test.csv", "youtube_id,time_start,time_end,split", "eeeeeeeeeee,1,11,test")


LAYOUTS = {
    "class folders": {
        A: "train/air_drumming/{}.mp4",
        B30: "train/air drumming/{}.mkv",
        C: "val/air_drumming/{}.mp4",
    },
    "flat parts": {A: "train/{}.mp4", B30: "train/{}.mp4", C: "val/{}.mp4"},
    "one folder": {A: "{}.mp4", B30: "{}.webm", C: "{}.mp4"},
    "renamed folders": {A: "k400/training/{}.mp4", B30: "k400/training/{}.mp4", C: "k400/validation/{}.mp4"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_with_lists(tmp_path: Path, layout: str) -> None:
    lists(tmp_path)
    expected = {name: path.format(name) for name, path in LAYOUTS[layout].items()}
    touch(tmp_path, *expected.values(), "test/eeeeeeeeeee_000001_000011.mp4")
    found = scan(tmp_path, DATASET)
    assert found.classes == ("abseiling", "air drumming", "petting animal (not cat)")
    assert column(found, "label") == {A: 1, B: 2, B30: 1, C: 1, D: 0}
    assert paths(found) == expected
    assert set(found.missing) == {B, D}
    assert found.extra == ("test/eeeeeeeeeee_000001_000011.mp4",), "the test part has no labels"
    assert counts(found, "official") == (3, 2)
    assert {p.name for p in found.sources} == {"kinetics_train.csv", "validate.csv"}
    groups = column(found, "group")
    assert groups[B] == groups[B30] != groups[A], "clips of one video belong together"


def test_bare_names(tmp_path: Path) -> None:
    lists(tmp_path)
    touch(tmp_path, "train/aaaaaaaaaaa.mp4", "train/bbbbbbbbbbb.mp4", "val/Ycccccccccc.mp4")
    found = scan(tmp_path, DATASET)
    assert paths(found) == {A: "train/aaaaaaaaaaa.mp4", C: "val/Ycccccccccc.mp4"}
    assert found.extra == ("train/bbbbbbbbbbb.mp4",), "it could be either of two clips"


def test_a_part_without_its_list_is_read_from_folders(tmp_path: Path) -> None:
    lists(tmp_path)
    (tmp_path / "annotations/kinetics_train.csv").unlink()
    touch(
        tmp_path,
        "train/air_drumming/x.mp4",
        "train/Petting_animal_not_cat/y.mp4",
        f"val/{C}.mp4",
        "val/z.mp4",
    )
    found = scan(tmp_path, DATASET)
    assert found.classes == ("Petting_animal_not_cat", "abseiling", "air drumming")
    assert column(found, "label") == {"x": 2, "y": 0, C: 2, D: 1}
    assert column(found, "split:official") == {"x": "train", "y": "train", C: "test", D: "test"}
    assert found.extra == ("val/z.mp4",)


def test_one_class_under_two_spellings(tmp_path: Path) -> None:
    touch(tmp_path, "train/air_drumming/x.mp4", "val/air drumming/y.mp4")
    found = scan(tmp_path, DATASET)
    assert found.classes == ("air_drumming",)
    assert column(found, "label") == {"x": 0, "y": 0}


def test_class_folders_keep_every_script_and_sign(tmp_path: Path) -> None:
    """By a key of a-z and 0-9, three Chinese classes are one, and so are C and C++."""
    names = [
        "击鼓",
        "弹琴",
        "吹笛",
        "pêche",
        "pèche",
        "peche",
        "C",
        "C++",
        "C#",
        "Тест",
        "тесто",
        "🎵",
        "🥁",
        "1",
        "-1",
    ]
    touch(
        tmp_path,
        *(f"{part}/{name}/{part}{i}.mp4" for i, name in enumerate(names) for part in ("train", "val")),
    )
    found = scan(tmp_path, DATASET)
    assert found.classes == tuple(sorted(names))
    labels = column(found, "label")
    for i, name in enumerate(names):
        assert labels[f"train{i}"] == labels[f"val{i}"] == found.classes.index(name)


def test_unicode_form_and_case_make_no_class(tmp_path: Path) -> None:
    form = unicodedata.normalize
    touch(
        tmp_path,
        f"train/{form('NFC', 'pêche')}/a.mp4",
        f"train/{form('NFD', 'pêche')}/b.mp4",
        "train/pèche/c.mp4",
    )
    touch(
        tmp_path,
        f"val/{form('NFD', 'PÊCHE')}/d.mp4",
        f"val/{form('NFC', '각')}/e.mp4",
        f"train/{form('NFD', '각')}/f.mp4",
    )
    labels = column(scan(tmp_path, DATASET), "label")
    assert labels["a"] == labels["b"] == labels["d"]
    assert labels["e"] == labels["f"]
    assert len(set(labels.values())) == 3


SPELLINGS = {
    "as listed": lambda name: name,
    "underscores": lambda name: name.replace(" ", "_"),
    "mmaction2": lambda name: name.replace('"', "").replace(" ", "_"),
    "no quotes": lambda name: name.replace("'", ""),
    "no parentheses": lambda name: name.replace("(", "").replace(")", ""),
    "letters alone": lambda name: re.sub(r"[^A-Za-z ]", "", name).replace(" ", "_").lower(),
    "signs to underscores": lambda name: re.sub(r"[ ()]", "_", name),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_folders_of_downloaders_join_the_list(tmp_path: Path, spelling: str) -> None:
    """Training folders as downloaders write them; the classes of the validation list, with the odd ones of K400."""
    names = (
        "air drumming",
        "massaging person's head",
        "tying knot (not on a tie)",
        "passing American football (in game)",
    )
    rows = [f'"{name}",{"abcd"[i] * 11},0,10,val' for i, name in enumerate(names)]
    text(tmp_path, "val.csv", HEAD, *rows)
    touch(tmp_path, *(f"train/{SPELLINGS[spelling](name)}/{i}.mp4" for i, name in enumerate(names)))
    found = scan(tmp_path, DATASET)
    assert found.classes == tuple(sorted(names))
    assert [found.classes[column(found, "label")[str(i)]] for i in range(4)] == list(names)


@pytest.mark.parametrize(
    ("one", "other"), [("air drumming", "air_drumming"), ("a (b)", "a b"), ("dont", "don't"), ("a  b", "a b")]
)
def test_classes_that_a_folder_could_not_tell_apart(tmp_path: Path, one: str, other: str) -> None:
    touch(tmp_path, f"train/{one}/x.mp4", f"train/{other}/y.mp4", "val/z/z.mp4")
    one, other = sorted((one, other))
    with pytest.raises(UserError) as error:
        scan(tmp_path, DATASET)
    assert f"{tmp_path / 'train'}: classes `{one}` and `{other}` differ only in" in str(error.value)
    shutil.rmtree(tmp_path / "train")
    text(tmp_path, "train.csv", HEAD, f'"{one}",aaaaaaaaaaa,0,10,train', f'"{other}",bbbbbbbbbbb,0,10,train')
    with pytest.raises(UserError, match=r"train.csv: classes `"):
        scan(tmp_path, DATASET)


def test_flat_without_lists(tmp_path: Path) -> None:
    touch(tmp_path, f"train/{A}.mp4")
    with pytest.raises(UserError, match=r"no list .*\*train\*.csv; get it from https.*options.lists"):
        scan(tmp_path, DATASET)


@pytest.mark.parametrize(
    ("rows", "saying"),
    [
        ((HEAD, "air drumming,aaaaaaaaaaa,17"), r"train.csv, line 2: .* has 3 fields, not 5"),
        ((HEAD.replace("label", "class"), *TRAIN), r"train.csv: no column `label` among class, youtube_id"),
        ((HEAD, *TRAIN, "zumba,aaaaaaaaaaa,17,27,train"), f"`{A}` has class `air drumming` and `zumba`"),
        (
            (HEAD, *TRAIN, "air drumming,aaaaaaaaaaa,17,22,train"),
            f"`aaaaaaaaaaa_000017` has id `{A}` and `aaaaaaaaaaa_000017_000022`",
        ),
        ((HEAD, "zumba,aaaaaaaaaaa,x,27,train"), "time_start `x` is no number"),
        ((HEAD, "zumba,aaaaaaaaaaa,17,27,test"), "unknown split `test`, which is not in train"),
        ((HEAD, "abseiling,ddddddddddd,5,15,train"), f"`{D}` has split:official `train` and `test`"),
    ],
)
def test_mistakes_in_lists(tmp_path: Path, rows: tuple[str, ...], saying: str) -> None:
    lists(tmp_path)
    text(tmp_path, "annotations/kinetics_train.csv", *rows)
    touch(tmp_path, f"{C}.mp4")
    with pytest.raises(UserError, match=saying):
        scan(tmp_path, DATASET)


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"lists": "nowhere"}, r"no folder .*nowhere; mend `options.lists`"),
        ({"lists": "train"}, r"no list .*train/\*train\*.csv"),
        ({"train": "train_240k.csv"}, r"no list .*train_240k.csv"),
    ],
)
def test_stated_lists_must_be_there(tmp_path: Path, options: dict[str, str], saying: str) -> None:
    touch(tmp_path, "train/zumba/x.mp4", "val/zumba/y.mp4")
    with pytest.raises(UserError, match=saying):
        scan(tmp_path, config("kinetics400", options=options))


@pytest.mark.parametrize(("name", "classes"), [("400", 400), ("600", 600)])
def test_official_lists(tmp_path: Path, shared_data: Path, name: str, classes: int) -> None:
    folder = shared_data / "annotations" / "kinetics"
    rows = pd.read_csv(folder / f"kinetics-{name}_val.csv")
    for row in rows.iloc[::30].itertuples():
        (tmp_path / f"{row.youtube_id}_{row.time_start:06d}_{row.time_end:06d}.mp4").touch()
    options = {"lists": str(folder), "test": f"kinetics-{name}_val.csv"}
    found = scan(tmp_path, config(f"kinetics{name}", options=options))
    assert list(found.classes) == sorted(rows["label"].unique())
    assert (len(found.classes), counts(found, "official")) == (classes, (0, len(rows)))
    assert len(found.missing) == len(rows) - len(rows.iloc[::30])
    assert found.extra == ()
    labels = dict(
        zip(found.items["id"].str[:11] + found.items["id"].str[12:18], found.items["label"], strict=True)
    )
    for row in rows.iloc[::500].itertuples():
        assert found.classes[labels[f"{row.youtube_id}{row.time_start:06d}"]] == row.label
