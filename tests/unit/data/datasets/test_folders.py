from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.data.trees import column, counts, first_draw, paths, touch
from xdcbench.config.data import Dataset
from xdcbench.data.datasets.folders import scan as scan_folders
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import Scan, fingerprint
from xdcbench.errors import UserError


def dataset(**changes: Any) -> Dataset:
    fields = {"title": "Mine", "adapter": "folders", "folder": "mine", "media": "audio", "splits": ("own",)}
    return Dataset(**(fields | changes))


def folders(root: Path, *names: str, **options: Any) -> Scan:
    touch(root, *names)
    return scan(root, dataset(options=options))


def files(*classes: str, count: int = 10) -> list[str]:
    return [f"{name}/{i}.wav" for name in classes for i in range(count)]


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("train", "val"), ("Training", "Validation")])
def test_folders_of_parts(tmp_path: Path, train: str, test: str) -> None:
    names = [f"{train}/dog/a.wav", f"{train}/cat/b.flac", f"{train}/cat/tape/c.wav", f"{test}/dog/a.wav"]
    found = folders(tmp_path, *names, f"{train}/stray.wav", "readme.wav", f"{train}/dog/film.mp4")
    assert found.classes == ("cat", "dog")
    assert paths(found) == {name.rpartition(".")[0]: name for name in names}
    assert column(found, "label") == dict(
        zip((n.rpartition(".")[0] for n in names), (1, 0, 0, 1), strict=True)
    )
    assert counts(found, "own") == (3, 1)
    assert column(found, "group")[f"{train}/cat/tape/c"] == f"{train}/cat/tape"
    assert set(found.extra) == {f"{train}/stray.wav", "readme.wav", f"{train}/dog/film.mp4"}


def test_val_is_not_used_beside_test(tmp_path: Path) -> None:
    found = folders(tmp_path, *(f"{part}/{of}/a.wav" for part in ("train", "test", "val") for of in "xy"))
    assert counts(found, "own") == (2, 2)
    assert found.extra == ("val/x/a.wav", "val/y/a.wav")


def test_a_draw_has_both_parts_of_each_class(tmp_path: Path) -> None:
    found = folders(tmp_path, *files("cat", "dog", count=200), *files("rare", count=2), "once/a.wav")
    items = found.items
    tested = items[items["split:own"] == "test"].groupby("label").size()
    assert found.classes == ("cat", "dog", "once", "rare")
    assert tested.to_dict() == {0: pytest.approx(40, abs=20), 1: pytest.approx(40, abs=20), 3: 1}
    assert column(found, "split:own")["once/a"] == "train"


def test_a_draw_does_not_depend_on_other_files_and_changes_with_the_seed(tmp_path: Path) -> None:
    names = files("cat", "dog", count=100)
    before = column(folders(tmp_path, *names), "split:own")
    touch(tmp_path, *files("cow"), "cat/new.wav")
    after = column(folders(tmp_path, *names), "split:own")
    assert {name: after[name] for name in before} == before
    other = folders(tmp_path, seed=1)
    assert column(other, "split:own") != after
    assert fingerprint(other) != fingerprint(folders(tmp_path, seed=0)) == fingerprint(folders(tmp_path))
    most = folders(tmp_path, test_fraction=0.9)
    assert counts(most, "own")[1] > 150


GROUPS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 4), min_size=2)


@given(of=st.fixed_dictionaries({"cat": GROUPS, "dog": GROUPS}), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_no_draw_parts_a_group(tmp_path_factory: pytest.TempPathFactory, of: Any, seed: int) -> None:
    root = tmp_path_factory.mktemp("groups")
    touch(
        root,
        *(
            f"{name}/{g}/deep/{i}.wav"
            for name, groups in of.items()
            for g, n in groups.items()
            for i in range(n)
        ),
    )
    found = scan(root, dataset(options={"seed": seed, "test_fraction": 0.5}))
    parts = found.items.groupby("group")["split:own"]
    assert (parts.nunique() == 1).all()
    assert set(parts.groups) == {f"{name}/{g}" for name, groups in of.items() for g in groups}
    assert (found.items.groupby("label")["split:own"].nunique() == 2).all()
    for name, groups in of.items():
        drawn = first_draw([f"{seed}/{name}/{g}" for g in groups], 0.5)
        assert {
            group: parts.get_group(group).iloc[0] for group in parts.groups if group.startswith(name)
        } == {group.removeprefix(f"{seed}/"): part for group, part in drawn.items()}


@pytest.mark.parametrize(("media", "ending"), [("video", "mp4"), ("image", "JPEG"), ("audio", "wav")])
def test_any_media(tmp_path: Path, media: str, ending: str) -> None:
    touch(tmp_path, *(f"{of}/{i}.{ending}" for of in ("x", "y") for i in range(5)))
    assert len(scan(tmp_path, dataset(media=media)).items) == 10


@pytest.mark.parametrize("change", ["size", "label", "name", "split"])
def test_the_fingerprint_sees_sizes_labels_names_and_splits(tmp_path: Path, change: str) -> None:
    names = [f"{part}/{of}/{i}.wav" for part in ("train", "test") for of in ("x", "y") for i in range(2)]
    before = fingerprint(folders(tmp_path, *names))
    first = tmp_path / names[0]
    if change == "size":
        first.write_text("more")
    else:
        to = {"label": "train/y/new.wav", "name": "train/x/new.wav", "split": "test/x/new.wav"}[change]
        first.rename(tmp_path / to)
    assert fingerprint(folders(tmp_path)) != before


BAD: dict[str, tuple[list[str], dict[str, Any], str]] = {
    "no class folder": (["a.wav", "b.wav"], {}, "no class folder in ROOT. Try: move the files of each class"),
    "no class folder in a part": (
        ["train/a.wav", "test/x/a.wav"],
        {},
        "no class folder in ROOT/train. Try: move the files of each class",
    ),
    "nothing": ([], {}, "no class folder in ROOT"),
    "no file": (["x/notes.txt", "y/notes.txt"], {}, "class folder ROOT/x has no audio file"),
    "a single class": (
        files("dog"),
        {},
        "ROOT has a single class, `dog`, and one class tells encoders nothing",
    ),
    "an empty class": (
        [*files("dog", "cat"), "cow/notes.txt"],
        {},
        "class folder ROOT/cow has no audio file. Try: add files, remove the folder, or set `media`",
    ),
    "an empty class of a part": (
        ["train/x/1.wav", "train/y/1.wav", "test/x/1.wav", "test/y/1.mp4"],
        {},
        "class folder ROOT/test/y has no audio file",
    ),
    "a test class that is not learned": (
        ["train/x/1.wav", "train/y/1.wav", "test/z/1.wav"],
        {},
        "class `z` is in the test part and not in `train`, so nothing can learn it",
    ),
    "a name twice": (
        [*files("dog", "cat"), "cat/3.mp3"],
        {},
        "id `cat/3` occurs twice (cat/3.mp3, cat/3.wav); remove one of the files",
    ),
    "no test part": (
        files("train/x", "train/y"),
        {},
        "a folder `train` and none named `test` or `val`. Try: add",
    ),
    "no training part": (files("test/x", "other"), {}, "a folder `test` and none named `train`. Try: add"),
    "one file per class": (["x/1.wav", "y/1.wav"], {}, "each class in ROOT has one file or one group"),
    "a fraction": (
        files("x", "y"),
        {"test_fraction": 2},
        "options.test_fraction is 2. Try: a number between",
    ),
    "a seed": (files("x", "y"), {"seed": "a"}, "options.seed is 'a'. Try: a whole number"),
    "an option": (files("x", "y"), {"test_share": 0.5}, "no option `test_share` of adapter `folders`"),
    "a draw of parts": (
        files("train/x", "train/y", "test/x"),
        {"seed": 3},
        "options.seed and the folders test, train both say how to split. Try: remove one of them",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_mistakes(tmp_path: Path, name: str) -> None:
    names, options, saying = BAD[name]
    with pytest.raises(UserError) as error:
        folders(tmp_path, *names, **options)
    said = str(error.value)
    assert said.startswith("Mine: ") and "\n" not in said
    assert saying.replace("ROOT", str(tmp_path)) in said


def test_one_split(tmp_path: Path) -> None:
    touch(tmp_path, *files("x", "y"))
    with pytest.raises(UserError, match=r"makes one split, not \['a', 'b'\]"):
        scan_folders(tmp_path, dataset(splits=("a", "b")))
