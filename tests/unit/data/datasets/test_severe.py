"""Something-Something v2, Diving48 and FineGym: tiny lists and files in exactly the official layouts."""

import json
from pathlib import Path

import pytest

from tests.unit.data.trees import column, config, paths, text, touch
from xdcbench.data.scan import scan
from xdcbench.errors import UserError

SOMETHING = config("something_something_v2")
DIVING = config("diving48")
GYM = config("finegym99")


def something(root: Path, **changed: object) -> None:
    lists: dict[str, object] = {
        "labels": {"Holding something next to something": "1", "Approaching something with your camera": "0"},
        "train": [
            {
                "id": "78687",
                "label": "holding potato next to vicks vaporub bottle",
                "template": "Holding [something] next to [something]",
                "placeholders": ["potato", "vicks vaporub bottle"],
            },
            {
                "id": "42326",
                "label": "",
                "template": "Approaching [something] with your camera",
                "placeholders": [],
            },
        ],
        "validation": [
            {
                "id": "74225",
                "label": "",
                "template": "Holding [something] next to [something]",
                "placeholders": [],
            }
        ],
    }
    for name, content in (lists | changed).items():
        text(root, f"labels/something-something-v2-{name}.json", json.dumps(content))
    touch(
        root, "20bn-something-something-v2/78687.webm", "20bn-something-something-v2/74225.webm", "new/1.webm"
    )


def test_something_something(tmp_path: Path) -> None:
    something(tmp_path)
    found = scan(tmp_path, SOMETHING)
    assert found.classes == ("Approaching something with your camera", "Holding something next to something")
    assert column(found, "label") == {"78687": 1, "42326": 0, "74225": 1}
    assert column(found, "split:official") == {"78687": "train", "42326": "train", "74225": "test"}
    assert paths(found) == {i: f"20bn-something-something-v2/{i}.webm" for i in ("78687", "74225")}
    assert found.missing == ("42326",) and found.extra == ("new/1.webm",)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"validation": [{"id": "7", "template": "Holding [air]"}]},
            r"validation\.json: unknown template `Holding air`",
        ),
        (
            {"train": [{"id": "7"}]},
            r"train\.json: 0\.template: Field required\. Try: get the official list again",
        ),
        ({"labels": ["Holding"]}, r"labels\.json: .*valid dictionary"),
    ],
)
def test_lists_of_something_something_that_contradict_are_told(
    tmp_path: Path, changed: dict[str, object], said: str
) -> None:
    something(tmp_path, **changed)
    with pytest.raises(UserError, match=said):
        scan(tmp_path, SOMETHING)


def diving(root: Path, label: int = 1) -> None:
    rows = [("-mmq0PT-u8k_00155", 0), ("-mmq0PT-u8k_00156", label), ("2x00lRzlTVQ_00000", 0)]
    listed = [{"vid_name": n, "label": of, "start_frame": 0, "end_frame": 48} for n, of in rows]
    text(root, "Diving48_V2_train.json", json.dumps(listed[:2]))
    text(root, "Diving48_V2_test.json", json.dumps(listed[2:]))
    dives = [["Back", "15som", "05Twis", "FREE"], ["Back", "15som", "15Twis", "FREE"]]
    text(root, "Diving48_vocab.json", json.dumps(dives))
    touch(root, *(f"rgb/{name}.mp4" for name, _ in rows))


def test_diving48(tmp_path: Path) -> None:
    diving(tmp_path)
    found = scan(tmp_path, DIVING)
    assert found.classes == ("Back_15som_05Twis_FREE", "Back_15som_15Twis_FREE")
    assert list(column(found, "label").values()) == [0, 1, 0]
    assert list(column(found, "split:official").values()) == ["train", "train", "test"]
    assert list(column(found, "group").values()) == ["train--mmq0PT-u8k"] * 2 + ["test-2x00lRzlTVQ"]
    assert len(paths(found)) == 3


def test_a_dive_that_the_vocabulary_lacks_is_told(tmp_path: Path) -> None:
    diving(tmp_path, label=2)
    with pytest.raises(
        UserError, match=r"train\.json: unknown label `2`, which is not in Diving48_vocab\.json"
    ):
        scan(tmp_path, DIVING)


TRAIN = ("A0xAXXysHUo_E_002184_002237_A_0035_0036 1", "A0xAXXysHUo_E_002184_002237_A_0021_0022 0")
VAL = ("zNL3kn3UBmg_E_008111_008200_A_0046_0048 1",)


def gym(root: Path, *train: str) -> None:
    categories = (
        "Clabel:   0; set: 1; Glabel: 1; (VT) round-off, flic-flac on, stretched salto",
        "Clabel:   1; set: 21; Glabel: 14; (FX) switch leap with 0.5 turn",
    )
    text(root, "annotations/gym99_categories.txt", *categories)
    text(root, "annotations/gym99_train_element_v1.1.txt", *(train or TRAIN))
    text(root, "annotations/gym99_val_element.txt", *VAL)
    touch(root, *(f"subactions/{row.split()[0]}.mp4" for row in (*TRAIN, *VAL)))


def test_finegym(tmp_path: Path) -> None:
    gym(tmp_path)
    found = scan(tmp_path, GYM)
    assert found.classes == (
        "(VT) round-off, flic-flac on, stretched salto",
        "(FX) switch leap with 0.5 turn",
    )
    assert list(column(found, "label").values()) == [1, 0, 1]
    assert list(column(found, "split:official").values()) == ["train", "train", "test"]
    assert list(column(found, "group").values()) == ["train-A0xAXXysHUo"] * 2 + ["test-zNL3kn3UBmg"]
    assert len(paths(found)) == 3 and not found.extra


@pytest.mark.parametrize("row", ["A0xAXXysHUo 1", TRAIN[0][:-1] + "2", "A0xAXXysHUo_E_002184_002237 0"])
def test_a_row_of_finegym_that_is_none_is_told(tmp_path: Path, row: str) -> None:
    gym(tmp_path, TRAIN[1], row)
    with pytest.raises(
        UserError, match=rf"v1\.1\.txt, line 2: `{row}` does not read .* class from 0 to 1; get"
    ):
        scan(tmp_path, GYM)


@pytest.mark.parametrize("name", ["something_something_v2", "diving48", "finegym99"])
def test_a_list_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "rgb/a.mp4")
    with pytest.raises(UserError, match=r"no list .*; get it from https?://"):
        scan(tmp_path, config(name))
