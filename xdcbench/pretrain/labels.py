"""Where labels come from: the clusterings of a round, or the ground truth."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array
from typing_extensions import TypedDict

from xdcbench.clustering.assigner import Assigner, save_assigners
from xdcbench.clustering.metrics import nmi
from xdcbench.data.clips import Clips, Draw, even_draws, random_draw
from xdcbench.data.index import Index
from xdcbench.data.scan import LABELS
from xdcbench.distributed import barrier, from_leader, leads
from xdcbench.extract import extract
from xdcbench.models.encoders import Encoder
from xdcbench.pretrain.clusters import cluster, facts
from xdcbench.progress import log
from xdcbench.runtime import generator
from xdcbench.schema import DISTANCE, Augment, Modality
from xdcbench.stages import RoundStage
from xdcbench.store import write_json
from xdcbench.utils.arrays import read_table
from xdcbench.utils.documents import LISTING, RUN_AGAIN, read_as

UNLABELLED = -1

FEATURES = "features"
"""Folder in work of what is clustered; it is not kept."""


@dataclass(frozen=True)
class Labels:
    """Labels of every item of an index.

    Attributes:
        of: int64 (items,) per source, -1 where an item has none; the first of an item's several.
        sizes: number of classes or clusters per source.
        facts: what is worth recording of each clustering.
        failed: reason per item that could not be read.
        several: float32 (items, classes) of 0 and 1 per source whose items have several labels each.
    """

    of: dict[str, np.ndarray]
    sizes: dict[str, int]
    facts: dict[str, dict[str, float]]
    failed: dict[int, str]
    several: dict[str, csr_array] = field(default_factory=dict)


class Kept(TypedDict):
    """What ``clusters.json`` holds: sizes and facts by clustering, and reasons by position of an item."""

    sizes: dict[str, int]
    facts: dict[str, dict[str, float]]
    failed: dict[int, str]


def make_labels(
    config: RoundStage,
    index: Index,
    rows: np.ndarray,
    encoders: Mapping[Modality, Encoder],
    clips: Clips,
    *,
    previous: Path,
    work: Path,
    device: torch.device,
    workers: int,
) -> Labels:
    """Extract and cluster, once: what an interrupted round has already labelled is read back.

    Raises:
        UserError: k exceeds the number of items.
    """
    clustered = read_clusters(work, index)
    if clustered is None and config.clusterings:
        clustered = extract_and_cluster(
            config, index, rows, encoders, clips, previous=previous, work=work, device=device, workers=workers
        )
    barrier()  # no process has features mapped any more
    if leads():
        shutil.rmtree(work / FEATURES, ignore_errors=True)
    labels = clustered or Labels({}, {}, {}, {})
    labels.of["labels"], labels.sizes["labels"] = index.labels, len(index.classes)
    if LABELS in index.items:
        labels.several["labels"] = sets = label_sets(index)
        first = np.append(sets.indices, UNLABELLED)[sets.indptr[:-1]]
        labels.of["labels"] = np.where(np.diff(sets.indptr) > 0, first, UNLABELLED)
    return labels


def label_sets(index: Index) -> csr_array:
    """The classes of each item of a multi-label data set, float32 (items, classes) of 0 and 1."""
    each = index.items[LABELS]
    ends = np.concatenate([[0], np.cumsum(each.map(len))])
    indices = np.concatenate([np.zeros(0, dtype=np.int64), *each])
    ones = np.ones(len(indices), dtype=np.float32)
    return csr_array((ones, indices, ends), shape=(len(each), len(index.classes)))


def extract_and_cluster(
    config: RoundStage,
    index: Index,
    rows: np.ndarray,
    encoders: Mapping[Modality, Encoder],
    clips: Clips,
    *,
    previous: Path,
    work: Path,
    device: torch.device,
    workers: int,
) -> Labels:
    """Features of the clip of each of ``rows``, in files below ``work``, and their clusterings."""
    features, failed = extract(
        {m: encoders[m] for m in sorted({m for c in config.clusterings.values() for m in c.features})},
        clips,
        draws_of(config, rows),
        precision=config.pretrain.precision,
        device=device,
        workers=workers,
        label=f"{config.method} round {config.round}: features",
        into=work / FEATURES,
    )
    return cluster_all(config, index, rows, features, failed, previous=previous, work=work, device=device)


def draws_of(config: RoundStage, rows: np.ndarray) -> list[Draw]:
    """The clip of each item that is clustered."""
    if config.pretrain.cluster_clip == "centre":
        return even_draws(rows, 1)
    rng = generator(config.seed, config.round, 3)
    return [random_draw(int(row), Augment(flip=False, crop="centre"), rng) for row in rows]


def cluster_all(
    config: RoundStage,
    index: Index,
    rows: np.ndarray,
    features: Mapping[Modality, np.ndarray],
    failed: dict[int, str],
    *,
    previous: Path,
    work: Path,
    device: torch.device,
) -> Labels:
    """Cluster the items that could be read, by all processes; the leading one writes what comes of it."""
    read = np.flatnonzero(~np.isin(rows, list(failed)))
    labels = Labels({}, {}, {}, failed)
    before = read_clusters(previous, index)
    assigners: dict[str, Assigner] = {}
    distances: dict[str, np.ndarray] = {}
    for number, (name, clustering) in enumerate(sorted(config.clusterings.items())):
        found = cluster(
            clustering,
            features,
            read,
            settings=config.pretrain,
            seed=int(generator(config.seed, config.round, 2, number).integers(2**31)),
            folder=work / FEATURES,
            device=device,
        )
        of = np.full(len(index.items), UNLABELLED, dtype=np.int64)
        of[rows[read]] = found.assignments
        distances[name] = np.full(len(index.items), np.nan, dtype=np.float32)
        distances[name][rows[read]] = found.distances
        labels.of[name], labels.sizes[name] = of, clustering.k
        labels.facts[name] = found.facts | from_leader(
            partial(
                agreement, of, index.labels, rows[read], clustering.k, before.of.get(name) if before else None
            )
        )
        assigners[name] = found.assigner
        log.info("round %d clustering %s: %s", config.round, name, labels.facts[name])
    if leads():
        save_assigners(assigners, work / "centroids.safetensors")
        write_clusters(work, index, labels, distances)
    return labels


def agreement(
    of: np.ndarray, classes: np.ndarray, rows: np.ndarray, k: int, before: np.ndarray | None
) -> dict[str, float]:
    """Facts of a clustering of ``rows``, with NMI to the round before where that has it too.

    Args:
        of: int64 (items,), clusters.
        classes: int64 (items,).
        rows: those that were clustered.
        k: number of clusters.
        before: as ``of``, of the round before.
    """
    found = facts(of[rows], classes[rows], k)
    return found if before is None else found | {"nmi_previous": nmi(of, before)}


def write_clusters(run: Path, index: Index, labels: Labels, distances: Mapping[str, np.ndarray]) -> None:
    """Write ``assignments.parquet`` and, last, ``clusters.json``, which says that both are whole.

    ``distances``, float32 (items,) by clustering, NaN where an item has none, become columns ``<name>_distance``.
    """
    columns = {f"{name}{DISTANCE}": of for name, of in distances.items()}
    table = pd.DataFrame({"id": index.items["id"].to_numpy(), **labels.of, **columns})
    # A dictionary of distances, nearly all of which differ, would be half as much again.
    table.to_parquet(run / "assignments.parquet", index=False, use_dictionary=["id", *labels.of])
    rest = {"sizes": labels.sizes, "facts": labels.facts, "failed": labels.failed}
    write_json(run / "clusters.json", rest)


def read_kept(run: Path) -> Kept:
    """Content of ``clusters.json``.

    Raises:
        UserError: it is missing or damaged.
    """
    kept: Kept = read_as(Kept, run / "clusters.json", limit=LISTING, fix=RUN_AGAIN)
    return kept


def read_clusters(run: Path, index: Index) -> Labels | None:
    """What ``write_clusters`` wrote but distances, in the order of ``index``; None where a run has no clusterings."""
    if not (run / "clusters.json").exists():
        return None
    rest = read_kept(run)
    table = read_table(run / "assignments.parquet", ["id", *rest["sizes"]], fix=RUN_AGAIN)
    table = table.set_index("id").reindex(index.items["id"])
    of = {name: table[name].fillna(UNLABELLED).to_numpy(dtype=np.int64, copy=True) for name in rest["sizes"]}
    return Labels(of, rest["sizes"], rest["facts"], rest["failed"])
