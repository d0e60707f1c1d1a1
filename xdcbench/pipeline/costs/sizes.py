"""How many items a stage will work on: from its index where that is made, else from what lists or worlds state."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xdcbench.config.base import Modality
from xdcbench.config.data import Dataset, World
from xdcbench.config.stages import IndexStage, ShardsStage, WorldStage
from xdcbench.data.context import INDEX_ITEMS
from xdcbench.pipeline.graph import Stage
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import RUN_AGAIN, read_as

Tracks = frozenset[Modality]
Part = Literal["train", "test"]

PARTS: tuple[Part, ...] = ("train", "test")
TRACKS: tuple[Tracks, ...] = (frozenset({"video"}), frozenset({"audio"}), frozenset({"video", "audio"}))


@dataclass(frozen=True)
class Sizes:
    """Counts of items of a dataset.

    Attributes:
        source: where they are from. ``index`` counts readable items by their tracks; ``world`` and ``lists`` count
            all items alike, before any file was opened, and are upper bounds; ``published`` has training items as
            publications state them.
        parts: items by split, part of it and tracks that they need; without a part that nobody has counted.
        whole: items of all splits together by tracks. From lists: of the largest split.
        rows: items of the index, readable or not.
        classes: None where only an index knows.
    """

    source: Literal["index", "world", "lists", "published"]
    parts: Mapping[tuple[str, str, Tracks], int]
    whole: Mapping[Tracks, int]
    rows: int
    classes: int | None = None


def sizes_of(index: Stage, store: RunStore) -> Sizes | None:
    """Sizes behind an index stage, or one that prepares shards; None where nothing states them."""
    assert isinstance(index.config, IndexStage | ShardsStage)
    dataset = index.config.dataset
    if index.kind == "index" and store.complete(index.key):
        return _of_index(store.path(index.key), dataset)
    world = dict(index.inputs).get("world")
    if world is not None:
        assert isinstance(world.config, WorldStage)
        counts = world_counts(world.config.world, dataset)
        return _of_counts("world", counts, dataset, classes=world.config.world.classes)
    stated = dataset.published_items
    if stated and not any("train" in dataset.counts.get(split, {}) for split in dataset.splits):
        published = {split: {**dataset.counts.get(split, {}), "train": stated} for split in dataset.splits}
        return _of_counts("published", published, dataset)
    return _of_counts("lists", dataset.counts, dataset)


def _of_index(run: Path, dataset: Dataset) -> Sizes:
    """Counts of a complete index run; reads only the columns that it counts, for there may be millions of rows."""
    from xdcbench.utils.mapped_table import map_batch

    items = map_batch(run / INDEX_ITEMS, fix=RUN_AGAIN)
    there = {name: items.column(name).to_numpy(zero_copy_only=True) for name in ("ok", "video", "audio")}
    parts: dict[tuple[str, str, Tracks], int] = {
        (split, part, tracks): 0 for split in dataset.splits for part in PARTS for tracks in TRACKS
    }
    whole: dict[Tracks, int] = {}
    for tracks in TRACKS:
        usable = there["ok"]
        for track in sorted(tracks):
            usable = usable & there[track]
        whole[tracks] = int(usable.sum())
        for split in dataset.splits:
            column = items.column(f"split:{split}")
            for code, part in enumerate(column.dictionary.to_pylist()):
                if part in PARTS:
                    parts[split, part, tracks] = int((usable & (column.indices.to_numpy() == code)).sum())
    classes = len(read_as(dict[str, Any], run / "index.json").get("classes", ()))
    return Sizes("index", parts, whole, items.num_rows, classes)


def _of_counts(
    source: Literal["world", "lists", "published"],
    counts: Mapping[str, Mapping[Part, int]],
    dataset: Dataset,
    *,
    classes: int | None = None,
) -> Sizes | None:
    """Counts of lists, cut down to the subset; None where a subset or some classes cannot, or there is no list."""
    subset = dataset.subset
    if dataset.classes or (subset.per_class is not None and classes is None):
        return None
    limits = [subset.per_class * classes] if subset.per_class and classes else []
    limits += [subset.items] if subset.items else []
    parts: dict[tuple[str, str], int] = {
        (split, part): min(count, *limits) if limits and part in subset.parts else count
        for split, of in counts.items()
        for part, count in of.items()
    }
    if not parts:
        return None
    rows = max(sum(parts.get((split, part), 0) for part in PARTS) for split in counts)
    return Sizes(
        source,
        {(split, part, tracks): n for (split, part), n in parts.items() for tracks in TRACKS},
        {tracks: rows for tracks in TRACKS},
        rows,
        classes,
    )


def world_counts(world: World, dataset: Dataset) -> dict[str, dict[Part, int]]:
    """Items per split and part of a dataset that lies in a synthetic world; empty where the world lacks it."""
    groups, videos, fold = world.ucf101_groups, world.hmdb51_videos, world.esc50_per_fold
    tests = -(-groups // 3)
    per_class = {
        "kinetics400": (world.kinetics_train, world.kinetics_val),
        "imagenet": (world.imagenet_train, world.imagenet_val),
        "ucf101": (2 * (groups - tests), 2 * tests),
        "hmdb51": (7 * videos // 10, max(1, 3 * videos // 10) if videos else 0),
        "esc50": (4 * fold, fold),
        "dcase": (world.dcase_train, world.dcase_test),
    }.get(dataset.folder, (0, 0))
    classes = min(world.classes, 10) if dataset.folder == "dcase" else world.classes
    train, test = (classes * count for count in per_class)
    return {split: {"train": train, "test": test} for split in dataset.splits} if train or test else {}
