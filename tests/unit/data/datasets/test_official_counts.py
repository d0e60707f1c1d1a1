"""The counts that the YAML files state are those of the official lists."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.data.trees import config
from xdcbench.config.load import load_dataset
from xdcbench.config.paths import folder

NAMES = sorted(path.stem for path in (folder("configs") / "datasets").glob("*.yaml"))
OWN = {"filelist", "grid", "ig_kinetics", "ig_random"}
UNREAD = {"diving48", "finegym99", "kinetics_sounds"}
"""Of lists that could not be read."""
PARTS = ("train", "test")


@pytest.mark.parametrize("name", NAMES)
def test_every_official_split_has_its_counts(name: str) -> None:
    dataset = load_dataset(name)
    assert set(dataset.counts) == (set() if name in OWN | UNREAD else set(dataset.splits))
    assert dataset.title
    assert bool(dataset.source and dataset.license) or name == "filelist"


def audioset(lists: Path, name: str) -> int:
    return sum(not line.startswith("#") for line in (lists / "audioset" / name).read_text().splitlines())


def test_audioset(shared_data: Path) -> None:
    lists = shared_data / "annotations"
    train, test = audioset(lists, "balanced_train_segments.csv"), audioset(lists, "eval_segments.csv")
    assert config("audioset_balanced").counts == {"official": {"train": train, "test": test}}
    whole, part = (config(name).counts["official"] for name in ("audioset", "audioset_240k"))
    assert whole == {"train": part["train"] + train, "test": test}
    assert sum(whole.values()) == 2_084_320, "as the authors' paper says of the three lists together"
    assert config("audioset_240k").subset.items == 240_000


def test_vggsound(shared_data: Path) -> None:
    lists = shared_data / "annotations" / "vggsound"
    every = pd.read_csv(lists / "stat.csv", header=None)[1].sum()
    test = len(pd.read_csv(lists / "test.csv", header=None))
    assert config("vggsound").counts == {"official": {"train": every - test, "test": test}}


@pytest.mark.parametrize("name", ["400", "600"])
def test_kinetics(shared_data: Path, name: str) -> None:
    test = len(pd.read_csv(shared_data / "annotations" / "kinetics" / f"kinetics-{name}_val.csv"))
    assert config(f"kinetics{name}").counts == {"official": {"test": test}}


def test_ucf101(shared_data: Path) -> None:
    lists = shared_data / "annotations" / "ucfTrainTestlist"
    assert config("ucf101").counts == {
        split: {
            part: len((lists / f"{part}list0{split}.txt").read_text().split(".avi")) - 1 for part in PARTS
        }
        for split in "123"
    }


def test_hmdb51(shared_data: Path) -> None:
    lists = shared_data / "annotations" / "testTrainMulti_7030_splits"
    codes: dict[str, Any] = {
        split: [
            line.split()[1]
            for p in lists.glob(f"*_test_split{split}.txt")
            for line in p.open()
            if line.strip()
        ]
        for split in "123"
    }
    assert config("hmdb51").counts == {
        split: {"train": there.count("1"), "test": there.count("2")} for split, there in codes.items()
    }


@pytest.mark.parametrize("name", ["esc50", "esc10"])
def test_esc(shared_data: Path, name: str) -> None:
    meta = pd.read_csv(shared_data / "annotations" / "esc50" / "esc50.csv")
    folds = meta.loc[meta["esc10"] | (name == "esc50"), "fold"].astype(str)
    assert config(name).counts == {
        fold: {"train": int((folds != fold).sum()), "test": int((folds == fold).sum())}
        for fold in config(name).splits
    }
    crossing = meta.groupby("src_file")["fold"].nunique()
    assert (crossing > 1).sum() == 4, "the sources in two folds that the adapter's docstring names"
