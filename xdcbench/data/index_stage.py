"""The stage that makes an index: what a folder or its shards hold, without what the subset leaves out."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xdcbench.config.data import Dataset, Subset
from xdcbench.config.stages import IndexStage
from xdcbench.data.context import PREPARED, Context
from xdcbench.data.fingerprints import Fingerprints, fingerprints, require_planned
from xdcbench.data.index import FACTS, Index
from xdcbench.data.known_lengths import lengths_hash, verified_lengths, with_lengths
from xdcbench.data.probing import probe_all
from xdcbench.data.scan import scan
from xdcbench.data.scanning.items import LABELS, MISSING, SPLIT
from xdcbench.data.shards.reader import CHANGED, ShardReader, open_shards
from xdcbench.data.synthetic.read import read_world
from xdcbench.errors import UserError
from xdcbench.utils.progress import log

OPENED = "opened"
"""Folder of a building index: what has been found of files so far."""


def run(config: IndexStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: scan the folder, take the subset, open every file once; shards know all that already."""
    dataset, root = config.dataset, context.roots[config.name]
    if "shards" in inputs:
        root = open_shards(str(inputs["shards"] / PREPARED))
    if isinstance(root, ShardReader):
        items, classes = prepared(config, root), root.manifest.classes
        mark = Fingerprints(root.manifest.fingerprint, "")
    else:
        items, classes, mark = scanned(config, root, work / OPENED, context)
    if "world" in inputs:  # its run has hashes of its files, which are written again where they are damaged
        items["mtime"] = MISSING
    _check_failed(config.name, dataset, items)
    index = Index(
        name=config.name,
        media=dataset.media,
        classes=classes,
        splits=dataset.splits,
        official=dataset.official_splits or dataset.splits,
        fingerprint=mark.fingerprint,
        stamp=mark.stamp,
        world="world" in inputs,
        subset=dataset.subset.words,
        max_failed=dataset.max_failed,
        items=items,
        shards=root.facts if isinstance(root, ShardReader) else None,
        strengths=read_world(inputs["world"]).factors.groups if "world" in inputs else {},
    )
    index.save(work)
    shutil.rmtree(work / OPENED, ignore_errors=True)


def scanned(
    config: IndexStage, root: Path, opened: Path, context: Context
) -> tuple[pd.DataFrame, tuple[str, ...], Fingerprints]:
    """Items, classes and marks of a folder; every file is opened, what is found of them is kept in ``opened``.

    Lengths of files that `data verify` decoded as they are now are those that it found, where the packets
    give others; planning notes which these are.

    Raises:
        UserError: files and lists do not fit the layout, or have changed since the stage was planned.
    """
    found = scan(root, config.dataset, context.consent)
    mark = fingerprints(found, root, context.fingerprint, context.cache)
    require_planned(config.fingerprint, mark.fingerprint, root, context.cache)
    items = take(found.items, config.dataset.subset, config.dataset.splits)
    items = pd.concat([items.reset_index(drop=True), probe_all(items, root, opened)], axis=1)
    if config.lengths is not None:
        lengths = verified_lengths(context.cache.parent / "data", mark.fingerprint, root)
        if lengths_hash(lengths) != config.lengths:
            raise UserError(
                f"{root} was verified anew while this run was planned. Try: give the same command again"
            )
        items = with_lengths(items, lengths)
        log.debug("%d items have lengths that `data verify` found", len(lengths))
    return items, found.classes, mark


def prepared(config: IndexStage, shards: ShardReader) -> pd.DataFrame:
    """Items of prepared shards, with the columns of an index; no media are opened.

    Raises:
        UserError: the shards have changed since the stage was planned.
    """
    if config.fingerprint not in (None, shards.manifest.fingerprint):
        raise UserError(f"{shards.where}: {CHANGED}")
    items = shards.items()
    splits = [column for column in map(str, items) if column.startswith(SPLIT)]
    several = [LABELS] if LABELS in items else []
    items["mtime"] = MISSING  # the shards themselves say whether they have changed
    items = items[["id", "path", "label", "group", "bytes", *splits, *several, "mtime", *FACTS]]
    for path, reason in items.loc[~items["ok"], ["path", "reason"]].itertuples(index=False):
        log.warning("not used: %s (%s)", path, reason)
    return take(items, config.dataset.subset, config.dataset.splits).reset_index(drop=True)


def take(items: pd.DataFrame, subset: Subset, splits: tuple[str, ...]) -> pd.DataFrame:
    """The subset of ``items``: in each part of each split, the first of each class in an order by hash.

    An item keeps only the splits that it was drawn for; the draw of an item does not depend on which
    other items there are.
    """
    if subset.per_class is None and subset.items is None:
        return items
    if subset.per_class is not None and LABELS in items:
        raise UserError(
            "subset.per_class: items with several labels each cannot be counted by class; give subset.items"
        )
    order, labels = _drawn_order(items["id"], subset.seed), items["label"].to_numpy()
    columns = {f"split:{split}": items[f"split:{split}"] for split in splits}
    for name, column in columns.items():
        stays = ~column.isin(subset.parts).to_numpy()
        for part in subset.parts:
            inside = order[(column == part).to_numpy()[order]]
            rank = pd.Series(labels[inside]).groupby(labels[inside]).cumcount().to_numpy()
            kept = np.argsort(rank, kind="stable")
            if subset.per_class is not None:
                kept = kept[rank[kept] < subset.per_class]
            stays[inside[kept[: subset.items]]] = True
        columns[name] = column.where(stays, "")
    items = items.assign(**columns)
    return items[(items[list(columns)] != "").any(axis=1)]


def _drawn_order(ids: pd.Series, seed: int) -> NDArray[np.int64]:
    """Positions of items in the order by hash of a draw."""
    draw = (hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in ids)
    return np.argsort(np.fromiter(draw, dtype="S32", count=len(ids)))


def _check_failed(name: str, dataset: Dataset, items: pd.DataFrame) -> None:
    here = items["bytes"] != MISSING
    failed, count = items[here & ~items["ok"]], int(here.sum())
    if len(failed) > dataset.max_failed * count:
        first = failed.iloc[0]
        raise UserError(
            f"{name}: {len(failed)} of {count} files are unreadable, first {first['path']} "
            f"({first['reason']}); mend them or raise datasets.{name}.max_failed above {dataset.max_failed}"
        )
