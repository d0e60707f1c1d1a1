from pathlib import Path
from typing import Any
from unicodedata import normalize

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.trees import column, config, counts, first_draw, paths, text, touch
from xdcbench.data.scan import scan
from xdcbench.data.scanning.draw import draw
from xdcbench.data.scanning.items import Scan
from xdcbench.errors import UserError

FILES = [f"video/{i}.mpg" for i in range(40)]
TABLE = pd.DataFrame(
    {
        "path": FILES,
        "label": ["", *(f"c{i % 3}" for i in range(39))],
        "split": [("train", "train", "test", "")[i // 4 % 4] for i in range(40)],
        "group": [f"take{i // 4}" for i in range(40)],
    }
)


def filelist(root: Path, **options: Any) -> Scan:
    return scan(root, config("filelist", options=options))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    touch(tmp_path, *FILES)
    TABLE.to_csv(tmp_path / "list.csv", index=False)
    TABLE.replace({"label": {"": None}}).astype({"label": "category"}).to_parquet(tmp_path / "list.parquet")
    text(tmp_path, "broken.parquet", "PAR1")
    return tmp_path


def test_without_a_list(tree: Path) -> None:
    touch(tree, "deeper/down/new.mkv", "track.wav", ".cache/no.mp4")
    found = filelist(tree)
    assert set(found.items["path"]) == {*FILES, "deeper/down/new.mkv"}
    assert set(found.items["label"]) == {-1}
    assert found.classes == found.sources == ()
    assert counts(found, "all") == (41, 0)
    assert found.extra == ("track.wav",)


@pytest.mark.parametrize("name", ["list.csv", "list.parquet"])
def test_columns_of_a_list(tree: Path, name: str) -> None:
    (tree / "video/3.mpg").unlink()
    touch(tree, "video/new.mpg")
    found = filelist(tree, list=name, label="label", split="split", group="group")
    assert found.classes == ("c0", "c1", "c2")
    assert column(found, "label") == {f"video/{i}": (i - 1) % 3 if i else -1 for i in range(40)}
    assert counts(found, "all") == (24, 8)
    assert column(found, "group")["video/7"] == "take1"
    assert (found.missing, found.extra, found.sources) == (
        ("video/3.mpg",),
        ("video/new.mpg",),
        (tree / name,),
    )


def test_a_column_that_no_option_names_is_not_used(tree: Path) -> None:
    found = filelist(tree, list="list.csv")
    assert set(found.items["label"]) == {-1}
    assert counts(found, "all") == (40, 0)
    assert (found.items["group"] == found.items["id"]).all()


def test_order_of_classes(tree: Path) -> None:
    found = filelist(tree, list="list.csv", label="label", classes=["c2", "c9", "c0", "c1"])
    assert found.classes == ("c2", "c9", "c0", "c1")
    assert column(found, "label")["video/1"] == 2


def test_one_column_may_serve_several_options(tree: Path) -> None:
    """A draw by the column of paths is the same whatever the label; a label may be the group."""
    parts = [
        column(filelist(tree, list="list.csv", label=label, group="path", test_share=0.3), "split:all")
        for label in ("label", "group")
    ]
    assert parts[0] == parts[1] and set(parts[0].values()) == {"train", "test"}
    items = filelist(tree, list="list.csv", label="group", group="group", test_share=0.3).items
    assert items["label"].nunique() == items["group"].nunique() == 10


def test_no_draw_parts_a_group(tree: Path) -> None:
    found = filelist(tree, list="list.csv", label="label", group="group", test_share=0.3)
    assert (found.items.groupby("group")["split:all"].nunique() == 1).all()
    parts = dict(zip(found.items["group"], found.items["split:all"], strict=True))
    assert parts == first_draw(sorted(parts), 0.3) and set(parts.values()) == {"train", "test"}


@pytest.mark.parametrize("takes", [("one", "two"), ("two", "one")])
def test_a_draw_of_groups_has_both_sides(tree: Path, takes: tuple[str, str]) -> None:
    rows = [
        f"video/{i}.mpg,{label},{takes[take]}"
        for i, (label, take) in enumerate([("x", 0), ("x", 1), ("z", 0)])
    ]
    text(tree, "list.csv", "path,label,group", *rows)
    found = filelist(tree, list="list.csv", label="label", group="group", test_share=1e-9)
    assert set(found.items["split:all"]) == {"train", "test"}


def test_every_class_is_on_both_sides_of_a_draw(tree: Path) -> None:
    found = filelist(tree, list="list.csv", label="label", test_share=0.01)
    sides = found.items.groupby("label")["split:all"].nunique().to_dict()
    assert sides == {-1: 1, 0: 2, 1: 2, 2: 2}, "but for what is alone"
    for _, items in found.items.groupby("label"):
        parts = dict(zip(items["id"], items["split:all"], strict=True))
        assert parts == first_draw(sorted(parts), 0.01)


def test_files_elsewhere_and_of_other_kinds(tmp_path: Path) -> None:
    touch(tmp_path, "root/a.mp4", "root/b.dat", "root/c.wav", "root/d.wav", "other/e.mp4")
    away = (tmp_path / "other/e.mp4").as_posix()
    text(tmp_path, "root/list.csv", "path", "./a.mp4", "b.dat", "c.wav", away, "gone.mp4")
    found = filelist(tmp_path / "root", list="list.csv")
    assert paths(found) == {"a": "a.mp4", "b": "b.dat", "c": "c.wav", away.removesuffix(".mp4"): away}
    assert (found.missing, found.extra) == (("gone.mp4",), ("d.wav",))


@pytest.mark.parametrize(
    ("options", "saying"),
    [
        ({"list": "other.csv"}, r"no list .*other.csv; say where it is with `options.list`"),
        (
            {"list": "list.csv", "label": "mood"},
            r"list.csv: no column `mood`; set `options.label` to one of path, ",
        ),
        (
            {"list": "list.parquet", "path": "file"},
            "no column `file`; set `options.path` to one of path, label",
        ),
        ({"list": "list.csv", "test_share": 2}, "options.test_share is 2; give 0 to 1"),
        (
            {"list": "list.csv", "split": "label"},
            r"list.csv, line 3: unknown split `c0`, which is not in train, test",
        ),
        ({"list": "list.csv", "split": "split", "test_share": 0.1}, "both say how to split; keep one"),
        (
            {"list": "list.csv", "label": "label", "classes": ["c0", "c1"]},
            "unknown label `c2`, .* options.classes",
        ),
        ({"list": "broken.parquet"}, r"broken.parquet cannot be read .*Try: write it again"),
        ({"label": "label"}, "options.label needs a list; say where it is"),
        ({"color": 1}, "no option `color` of adapter `filelist`; it takes list, path, label, "),
    ],
)
def test_mistakes(tree: Path, options: dict[str, Any], saying: str) -> None:
    with pytest.raises(UserError, match=saying):
        filelist(tree, **options)


def test_rows_that_contradict_each_other(tree: Path) -> None:
    text(tree, "list.csv", "path,label,note", "a.mp4,x,1", "a.mp4,x,2", "b.mp4,x,3", "a.mp4,y,4")
    with pytest.raises(
        UserError, match=r"list.csv, lines 2 and 5: `a.mp4` has label `x` and `y`; keep one of the rows"
    ):
        filelist(tree, list="list.csv", label="label")


def test_labels_lose_the_space_around_them(tmp_path: Path) -> None:
    touch(tmp_path, *(f"d{i}.mp4" for i in range(4)))
    text(tmp_path, "list.csv", "path, label", "d0.mp4, dog", "d1.mp4,dog ", " d2.mp4,cat", "d3.mp4\t,\tcat")
    found = filelist(tmp_path, list="list.csv", label="label")
    assert (found.classes, found.missing) == (("cat", "dog"), ())
    pd.DataFrame({"path": ["d0.mp4 ", "d1.mp4"], "label": ["dog", " dog"]}).to_parquet(
        tmp_path / "list.parquet"
    )
    assert filelist(tmp_path, list="list.parquet", label="label").classes == ("dog",)


def test_labels_of_one_class(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["C", "C++", "pêche", normalize("NFD", "pêche"), "pèche", "Dog", "dog", "击鼓", "弹琴"]
    touch(tmp_path, *(f"{i}.mp4" for i in range(len(names))))
    text(tmp_path, "list.csv", "path,label", *(f"{i}.mp4,{name}" for i, name in enumerate(names)))
    found = filelist(tmp_path, list="list.csv", label="label")
    labels = column(found, "label")
    assert found.classes == ("C", "C++", "Dog", "pèche", "pêche", "击鼓", "弹琴")
    assert labels["2"] == labels["3"] != labels["4"]
    assert labels["5"] == labels["6"]
    assert [("`Dog` and `dog` are one class" in line) for line in caplog.messages] == [False, True]
    told = filelist(tmp_path, list="list.csv", label="label", classes=sorted({*names} - {names[3]}))
    assert "dog" in told.classes, "who names the classes says which there are"
    assert column(told, "label")["3"] == column(told, "label")["2"]


def test_mistakes_have_a_line(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "odd\\name.mp4")
    for rows, saying in {
        (
            "a/1.mp4,x",
            "a\\2.mp4,y",
        ): r"list.csv, line 3: `a\\2.mp4` is written with backslashes. Try: write `a/2.mp4`",
        ("a/1.mp4,x", ",y"): "list.csv, line 3: there is no path. Try: fill it in",
        ("a/1.mp4,x", "a/2.mp4,y,z"): "list.csv, line 3: `a/2.mp4,y,z` has 3 fields, not 2",
        ("a/1.mp4,x", '"a/2.mp4', '",y'): "list.csv, line 3: its quotes do not fit",
    }.items():
        text(tmp_path, "list.csv", "path,label", *rows)
        with pytest.raises(UserError) as error:
            filelist(tmp_path, list="list.csv", label="label")
        assert saying.replace("\\\\", "\\") in str(error.value)
    text(tmp_path, "list.csv", "path,label", "odd\\name.mp4,x")
    assert filelist(tmp_path, list="list.csv", label="label").missing == (), "a name may hold a backslash"
    for head, saying in {
        "path,label,path": "line 1: column `path` is there 2 times",
        "path;label": "line 1: its values are separated by `;`",
        "path\tlabel": "line 1: its values are separated by tabs",
    }.items():
        text(tmp_path, "list.csv", head)
        with pytest.raises(UserError, match=f"list.csv, {saying}"):
            filelist(tmp_path, list="list.csv", label="label")


def test_a_column_twice_in_parquet(tmp_path: Path) -> None:
    values = pa.array(["a.mp4"])
    pq.write_table(pa.Table.from_arrays([values, values], ["path", "path"]), tmp_path / "list.parquet")
    with pytest.raises(UserError, match=r"list.parquet: column `path` is there 2 times. Try: rename"):
        filelist(tmp_path, list="list.parquet")


def test_one_split(tree: Path) -> None:
    with pytest.raises(UserError, match=r"makes one split, not \['a', 'b'\]"):
        scan(tree, config("filelist", splits=("a", "b")))


def parts_of(names: list[str], test_share: float) -> dict[str, str]:
    drawn = draw(names, test_share)
    return {name: "test" if test else "train" for name, test in zip(names, drawn, strict=True)}


@given(names=st.lists(st.text(max_size=4), max_size=5, unique=True), share=st.floats(0.01, 0.99))
@settings(max_examples=100, deadline=None)
def test_the_draw_is_the_one_that_keys_were_made_for(names: list[str], share: float) -> None:
    assert parts_of(names, share) == first_draw(names, share)


@given(st.sets(st.text(min_size=1, max_size=8), min_size=8), st.sets(st.text(min_size=9, max_size=10)))
@settings(max_examples=50, deadline=None)
def test_a_draw_is_stable(ids: set[str], more: set[str]) -> None:
    before, after = parts_of(sorted(ids), 0.25), parts_of(sorted(ids | more), 0.25)
    assert before == first_draw(sorted(ids), 0.25)
    assert set(before.values()) == {"train", "test"}
    # Only a side that the hash alone leaves empty borrows an item, and gives it back.
    assert sum(before[i] != after[i] for i in ids) <= 2


def test_a_draw_keeps_its_share_and_its_items() -> None:
    ids = [f"video/{i}" for i in range(4000)]
    parts = parts_of(ids, 0.25)
    assert sum(p == "test" for p in parts.values()) == pytest.approx(1000, abs=80)
    fewer = parts_of(ids[::2], 0.25)
    assert all(parts[i] == fewer[i] for i in fewer)


def test_grid_is_drawn_as_ever(shared_data: Path) -> None:
    found = scan(shared_data / "grid", config("grid"))
    assert found.classes == ("bin", "lay", "place", "set")
    assert (len(found.items), found.missing, found.extra) == (160, (), ())
    test = sorted(found.items.loc[found.items["split:hashed"] == "test", "id"])
    assert (len(test), test[0], test[-1]) == (44, "video/bbbf6n", "video/swab9a")
