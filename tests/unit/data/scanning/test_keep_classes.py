"""A view of a dataset by names of classes, whatever its layout."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.data.trees import column, config, text, touch
from xdcbench.config.keys import science
from xdcbench.config.stages import IndexStage
from xdcbench.data.scan import scan
from xdcbench.data.scanning.classes import keep_classes
from xdcbench.data.scanning.items import LABELS, Scan
from xdcbench.errors import UserError

KINETICS = config("kinetics400")
FILES = [
    f"{part}/{name}/{name[:3]}{part}.mp4"
    for part in ("train", "val")
    for name in ("abseiling", "tap_dancing", "yoga")
]


def test_items_of_the_chosen_classes_are_kept_in_the_order_that_is_named(tmp_path: Path) -> None:
    touch(tmp_path, *FILES)
    found = scan(tmp_path, KINETICS.model_copy(update={"classes": ("yoga", "tap dancing")}))
    assert found.classes == ("yoga", "tap_dancing")
    assert column(found, "label") == {"tapval": 1, "taptrain": 1, "yogval": 0, "yogtrain": 0}
    assert not found.extra


def test_of_an_item_of_several_classes_the_chosen_ones_are_kept(tmp_path: Path) -> None:
    text(
        tmp_path,
        "class_labels_indices.csv",
        "index,mid,display_name",
        "0,/m/0,dog",
        "1,/m/1,cat",
        "2,/m/2,car",
    )
    rows = [
        f'{c * 11}, 0.0, 10.0, "{mids}"' for c, mids in (("a", "/m/0,/m/2"), ("b", "/m/1"), ("c", "/m/2"))
    ]
    text(tmp_path, "balanced_train_segments.csv", *rows[:2])
    text(tmp_path, "eval_segments.csv", rows[2])
    touch(tmp_path, *(f"{c * 11}.mp4" for c in "abc"))
    found = scan(tmp_path, config("audioset_balanced", classes=("car", "dog")))
    assert column(found, "labels") == {"a" * 11: (0, 1), "c" * 11: (0,)}


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        (("tap dansing",), r"Kinetics-400: classes: unknown class 'tap dansing'; did you mean 'tap_dancing'"),
        (("yoga", "Yoga"), r"classes: 'Yoga' is named twice"),
    ],
)
def test_a_name_that_is_no_class_is_told(tmp_path: Path, classes: tuple[str, ...], said: str) -> None:
    touch(tmp_path, *FILES)
    with pytest.raises(UserError, match=said):
        scan(tmp_path, KINETICS.model_copy(update={"classes": classes}))


@given(st.data())
def test_a_view_has_the_items_of_its_classes_and_no_others(data: st.DataObject) -> None:
    names = tuple("abcde")
    labels = data.draw(st.lists(st.integers(-1, 4), max_size=20))
    chosen = tuple(data.draw(st.lists(st.sampled_from(names), unique=True)))
    items = pd.DataFrame({"id": [str(i) for i in range(len(labels))], "label": labels}).astype(
        {"label": "int64"}
    )
    found = keep_classes(Scan(items, names), KINETICS.model_copy(update={"classes": chosen}))
    assert found.classes == chosen
    before = {str(i): names[label] for i, label in enumerate(labels) if label >= 0 and names[label] in chosen}
    assert {i: chosen[label] for i, label in column(found, "label").items()} == before


SETS = st.sets(st.integers(0, 4)).map(lambda labels: tuple(sorted(labels)))


@given(labels=st.lists(SETS, max_size=12), chosen=st.lists(st.sampled_from("abcde"), unique=True))
def test_items_of_several_classes_keep_the_chosen_ones(labels: list[Any], chosen: list[str]) -> None:
    items = pd.DataFrame({"id": [str(i) for i in range(len(labels))], "label": -1})
    items[LABELS] = pd.Series(labels, dtype=object)
    found = keep_classes(Scan(items, tuple("abcde")), KINETICS.model_copy(update={"classes": tuple(chosen)}))
    if not chosen or not labels:
        assert found.items.empty
        return
    kept = {
        str(i): tuple(sorted(chosen.index("abcde"[label]) for label in several if "abcde"[label] in chosen))
        for i, several in enumerate(labels)
    }
    assert column(found, LABELS) == {name: several for name, several in kept.items() if several}


def test_classes_change_a_key_only_where_they_are_given() -> None:
    plain, view = (
        science(IndexStage(name="x", dataset=KINETICS.model_copy(update={"classes": classes})))
        for classes in ((), ("yoga",))
    )
    assert "classes" not in plain["dataset"] and view["dataset"]["classes"] == ["yoga"]


def test_kinetics_sounds_has_32_classes() -> None:
    sounds = config("kinetics_sounds")
    assert len(set(sounds.classes)) == 32
    assert (sounds.adapter, sounds.folder) == (KINETICS.adapter, KINETICS.folder)
