from pathlib import Path

import numpy as np
import pytest

from tests.unit.tiny import small_index
from xdcbench.config.data import Dataset, Subset, World
from xdcbench.config.stages import IndexStage, WorldStage
from xdcbench.data.index import Index
from xdcbench.data.scan import scan
from xdcbench.data.synthetic import write_world
from xdcbench.pipeline.costs.sizes import PARTS, TRACKS, sizes_of
from xdcbench.pipeline.graph import Stage
from xdcbench.results.run_store import RunStore
from xdcbench.utils.manifest import write_manifest

WORLD = World(
    classes=2,
    size=16,
    seconds=0.5,
    kinetics_train=2,
    kinetics_val=1,
    ucf101_groups=4,
    hmdb51_videos=5,
    imagenet_train=2,
    imagenet_val=1,
    esc50_per_fold=1,
    dcase_train=1,
    dcase_test=1,
    dcase_seconds=1.0,
)
SPLITS = {
    "kinetics400": ("video", ("official",)),
    "imagenet": ("image", ("official",)),
    "ucf101": ("video", ("1", "2", "3")),
    "hmdb51": ("video", ("1", "2", "3")),
    "esc50": ("audio", tuple("12345")),
    "dcase": ("audio", ("official",)),
}
LISTS = {"ucf101": "ucfTrainTestlist", "hmdb51": "testTrainMulti_7030_splits"}


def dataset(name: str, **changes: object) -> Dataset:
    media, splits = SPLITS[name]
    options = {"lists": LISTS[name]} if name in LISTS else {}
    base = Dataset(
        title=name, adapter=name.removesuffix("400"), folder=name, media=media, splits=splits, options=options
    )  # type: ignore[arg-type]
    return base.model_copy(update=changes)


@pytest.fixture(scope="module")
def world_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    write_world(WORLD, root)
    return root


@pytest.mark.parametrize("name", SPLITS)
def test_a_world_is_counted_as_its_scan_finds_it(name: str, world_root: Path, tmp_path: Path) -> None:
    of = dataset(name)
    world = Stage("world", "world", WorldStage(world=WORLD))
    index = Stage("index", name, IndexStage(name=name, dataset=of), (("world", world),))
    sizes = sizes_of(index, RunStore(tmp_path, write=False))
    assert sizes is not None and sizes.source == "world"
    items = scan(world_root / name, of).items
    for split in of.splits:
        for part in PARTS:
            count = int((items[f"split:{split}"] == part).sum())
            assert sizes.parts[split, part, TRACKS[0]] == count > 0


def test_a_complete_index_counts_readable_items_by_track(tmp_path: Path) -> None:
    index = small_index([0, 0, 1, 1, 1, 0], ["train", "train", "train", "test", "test", ""])
    index.items.loc[0, "ok"] = False
    index.items.loc[1, "audio"] = False
    of = dataset("kinetics400")
    stage = Stage("index", "toy", IndexStage(name="toy", dataset=of))
    run = RunStore(tmp_path).path(stage.key)
    run.mkdir()
    index.items["split:official"] = index.items["split:official"]
    index.save(run)
    write_manifest(run)
    sizes = sizes_of(stage, RunStore(tmp_path, write=False))
    assert sizes is not None and (sizes.source, sizes.rows, sizes.classes) == ("index", 6, 2)
    loaded = Index.load(run)
    for tracks in TRACKS:
        wanted = tuple(sorted(tracks))
        usable = loaded.items["ok"] & loaded.items[list(wanted)].all(axis=1)
        assert sizes.whole[tracks] == int(np.sum(usable))
        for part in PARTS:
            assert sizes.parts["official", part, tracks] == len(loaded.rows("official", part, tracks=wanted))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("subset", "train"),
    [
        (Subset(), 9537),
        (Subset(items=500), 500),
        (Subset(items=10_000), 9537),
        (Subset(items=500, parts=("test",)), 9537),
    ],
)
def test_official_counts_are_cut_to_the_subset(subset: Subset, train: int, tmp_path: Path) -> None:
    of = dataset("ucf101", counts={"1": {"train": 9537, "test": 3783}}, subset=subset)
    sizes = sizes_of(
        Stage("index", "x", IndexStage(name="ucf101", dataset=of)), RunStore(tmp_path, write=False)
    )
    assert sizes is not None and sizes.parts["1", "train", TRACKS[0]] == train


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"counts": {"1": {"train": 9}}, "subset": Subset(per_class=2)},
        {"counts": {"1": {"train": 9}}, "classes": ("YoYo",)},
    ],
    ids=["no count", "classes unknown", "some classes"],
)
def test_what_nobody_has_counted_is_unknown(changes: dict[str, object], tmp_path: Path) -> None:
    stage = Stage("index", "x", IndexStage(name="ucf101", dataset=dataset("ucf101", **changes)))
    assert sizes_of(stage, RunStore(tmp_path, write=False)) is None
