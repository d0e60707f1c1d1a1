"""Where labels come from: the clusterings of a round, or the ground truth."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from typing_extensions import TypedDict

from xdcbench.clustering.assigner import Assigner, save_assigners
from xdcbench.clustering.metrics import nmi
from xdcbench.config.base import DISTANCE, Modality
from xdcbench.config.pretraining import Augment
from xdcbench.config.stages import RoundStage
from xdcbench.data.clips import ClipSpec, even_clips, random_clips
from xdcbench.data.index import Index
from xdcbench.data.label_sets import is_multi_label, label_sets
from xdcbench.errors import EqualFeaturesError, UserError
from xdcbench.models.diagnosis import why_equal, why_not_finite
from xdcbench.models.inference import extract, first_non_finite
from xdcbench.pretraining.clustering import Points, cluster, facts
from xdcbench.pretraining.round_context import RoundContext
from xdcbench.utils.arrays import load_array, table_parts
from xdcbench.utils.distributed import barrier, is_main_process, on_main_process
from xdcbench.utils.documents import LISTING, RUN_AGAIN, read_as, read_cache, write_json
from xdcbench.utils.io import atomic_write, file_hash
from xdcbench.utils.lazy_sequence import LazySequence
from xdcbench.utils.manifest import CHECKPOINTS
from xdcbench.utils.mapped_table import places
from xdcbench.utils.messages import unknown_name
from xdcbench.utils.progress import log
from xdcbench.utils.runtime import Stream, numpy_generator

UNLABELLED = -1

CLUSTERS, ASSIGNMENTS, CENTROIDS = "clusters.json", "assignments.parquet", "centroids.safetensors"
"""Files of the clusterings of a round; the first is written last."""

FEATURES = "features"
"""Folder in work of what is clustered; it is not kept."""

LABELS_MAPPED = "labels"
"""Folder in work of the labels that all processes of a round map; it is not kept."""


@dataclass(frozen=True)
class PseudoLabels:
    """Labels of every item of an index.

    Attributes:
        of: integers (items,) per source, -1 where an item has none; the first of an item's several.
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


class SavedLabels(TypedDict):
    """What ``clusters.json`` holds: sizes and facts by clustering, and reasons by position of an item."""

    sizes: dict[str, int]
    facts: dict[str, dict[str, float]]
    failed: dict[int, str]


def make_pseudo_labels(this_round: RoundContext) -> PseudoLabels:
    """Extract and cluster, once: what an interrupted round has already labeled is read back, unless it is damaged.

    Raises:
        UserError: k exceeds the number of items.
    """
    config, index, work = this_round.config, this_round.index, this_round.work
    there = bool(config.clusterings) and on_main_process(partial(labeled, work))
    clustered = read_clusters(work, index) if there else None
    if clustered is None and config.clusterings:
        clustered = extract_and_cluster(this_round)
    barrier()  # no process has features mapped any more
    if is_main_process():
        shutil.rmtree(work / FEATURES, ignore_errors=True)
    labels = clustered or PseudoLabels({}, {}, {}, {})
    for name, run in this_round.earlier.items():
        add_earlier(labels, name, run, this_round)
    labels.of["labels"], labels.sizes["labels"] = index.labels, len(index.classes)
    if is_multi_label(index):
        labels.several["labels"] = sets = label_sets(index)
        first = np.append(sets.indices, UNLABELLED)[sets.indptr[:-1]]
        labels.of["labels"] = np.where(np.diff(sets.indptr) > 0, first, UNLABELLED)
    return labels


def shared(labels: PseudoLabels, folder: Path) -> PseudoLabels:
    """The labels, int32 in files that all processes map, so that none holds a copy."""
    paths = {name: folder / f"{name}.npy" for name in labels.of}
    if is_main_process():
        folder.mkdir(exist_ok=True)
        for name, path in paths.items():
            with atomic_write(path) as part, part.open("wb") as file:
                np.save(file, labels.of[name].astype(np.int32), allow_pickle=False)
    barrier()
    return replace(labels, of={name: load_array(path, mmap_mode="r") for name, path in paths.items()})


def add_earlier(labels: PseudoLabels, name: str, run: Path, this_round: RoundContext) -> None:
    """Add the clusters of an earlier run as the source ``name``; an item that it has not clustered has no label.

    Raises:
        UserError: the run has no such clustering, or none of the items.
    """
    index, rows, clustering = this_round.index, this_round.rows, this_round.config.assignments[name]
    earlier = read_clusters(run, index)
    if earlier is None or clustering not in earlier.of:
        known = list(earlier.of) if earlier else []
        raise UserError(f"{run.name}: " + unknown_name("clustering", clustering, known))
    of, k = earlier.of[clustering], earlier.sizes[clustering]
    clustered = rows[of[rows] != UNLABELLED]
    if not len(clustered):
        raise UserError(
            f"{this_round.label}: {run.name} has clustered no item of {index.name}. "
            "Try: a run on the dataset that is learned from"
        )
    labels.of[name], labels.sizes[name] = of, k
    labels.facts[name] = facts(of[clustered], index.labels[clustered], k)


def labeled(work: Path) -> bool:
    """Whether an interrupted round has left its clusterings whole.

    Of damaged ones the rest goes, and with it the checkpoints, which were trained on labels that are lost.
    """
    match read_cache(work / CLUSTERS):
        case {"sha256": dict(sums), "sum": own, **kept} if own == _sum({**kept, "sha256": sums}):
            if all(_has_hash(work / name, digest) for name, digest in sums.items()):
                return True
    checkpoints = [path for pattern in CHECKPOINTS for path in work.glob(pattern)]
    if (work / CLUSTERS).exists() or checkpoints:
        log.warning("%s: its clusterings are damaged; they are made again, and training begins anew", work)
    for path in [work / CLUSTERS, *checkpoints]:
        path.unlink(missing_ok=True)
    return False


def _sum(kept: Mapping[Any, object]) -> str:
    """Sha256, hex, of the rest of ``clusters.json``, written or read."""
    return sha256(json.dumps(kept).encode()).hexdigest()


def _has_hash(path: Path, digest: str) -> bool:
    return path.is_file() and file_hash(path) == digest


def extract_and_cluster(this_round: RoundContext) -> PseudoLabels:
    """Features of the clip of each item of a round, in files below its folder, and their clusterings."""
    config, rows, encoders = this_round.config, this_round.rows, this_round.encoders
    specs = clips_of(config, rows)
    used = {m: encoders[m] for m in sorted({m for c in config.clusterings.values() for m in c.features})}
    features, failed = extract(
        used, this_round.clips, specs, this_round.inference, into=this_round.work / FEATURES
    )
    read = np.flatnonzero(~np.isin(rows, list(failed)))
    for modality, of in features.items():
        bad = first_non_finite(of[:, None], read)
        if bad is not None:
            reason = why_not_finite(
                modality, encoders[modality], this_round.clips, [specs[bad]], this_round.inference
            )
            name = this_round.index.items["path"].iloc[rows[bad]]
            raise UserError(f"{this_round.label}: the {modality} features of {name} are not finite; {reason}")
    try:
        return cluster_all(this_round, features, failed)
    except EqualFeaturesError as error:
        read_specs = LazySequence(len(read), lambda at: specs[int(read[at])])
        reason = why_equal(used, this_round.clips, read_specs, this_round.inference)
        raise EqualFeaturesError(f"{this_round.label}: {error}; {reason}") from error


def clips_of(config: RoundStage, rows: np.ndarray) -> LazySequence[ClipSpec]:
    """The clip of each item that is clustered."""
    if config.pretrain.cluster_clip == "center":
        return even_clips(rows, 1)
    rng = numpy_generator(config.seed, config.round, Stream.RANDOM_CLIPS)
    return random_clips(rows, Augment(flip=False, crop="center"), rng)


def cluster_all(
    this_round: RoundContext, features: Mapping[Modality, np.ndarray], failed: dict[int, str]
) -> PseudoLabels:
    """Cluster the items that could be read, by all processes; the leading one writes what comes of it."""
    config, index, rows = this_round.config, this_round.index, this_round.rows
    read = np.flatnonzero(~np.isin(rows, list(failed)))
    labels = PseudoLabels({}, {}, {}, failed)
    before = read_clusters(this_round.previous, index)
    assigners: dict[str, Assigner] = {}
    distances: dict[str, np.ndarray] = {}
    for number, (name, clustering) in enumerate(sorted(config.clusterings.items())):
        seed = int(numpy_generator(config.seed, config.round, Stream.KMEANS, number).integers(2**31))
        points = Points(clustering, features, read, this_round.work / FEATURES)
        found = cluster(points, config.pretrain, seed=seed, device=this_round.device)
        of = np.full(len(index.items), UNLABELLED, dtype=np.int32)
        of[rows[read]] = found.assignments
        if is_main_process():
            distances[name] = np.full(len(index.items), np.nan, dtype=np.float32)
            distances[name][rows[read]] = found.distances
        labels.of[name], labels.sizes[name] = of, clustering.k
        past = before.of.get(name) if before else None
        agreed = partial(agreement, of, index.labels, rows[read], clustering.k, past)
        labels.facts[name] = found.facts | on_main_process(agreed)
        assigners[name] = found.assigner
        facts = ", ".join(
            f"{fact.replace('_', ' ')} {value:.4g}" for fact, value in labels.facts[name].items()
        )
        log.debug("round %d clustering %s: %s", config.round, name, facts)
    if is_main_process():
        save_assigners(assigners, this_round.work / CENTROIDS)
        write_clusters(this_round.work, index, labels, distances)
    return labels


def agreement(
    of: np.ndarray, classes: np.ndarray, rows: np.ndarray, k: int, before: np.ndarray | None
) -> dict[str, float]:
    """Facts of a clustering of ``rows``, with NMI to the round before where that has it too.

    Args:
        of: int32 (items,), clusters.
        classes: int64 (items,).
        rows: those that were clustered.
        before: int64 (items,), those of the round before.
    """
    found = facts(of[rows], classes[rows], k)
    return found if before is None else found | {"nmi_previous": nmi(of, before)}


def write_clusters(
    run: Path, index: Index, labels: PseudoLabels, distances: Mapping[str, np.ndarray]
) -> None:
    """Write ``assignments.parquet``, then ``clusters.json`` with the hashes of the others and of itself.

    ``distances``, float32 (items,) by clustering, NaN where an item has none, become columns ``<name>_distance``.
    """
    columns = {f"{name}{DISTANCE}": of for name, of in distances.items()}
    of = {name: clusters.astype(np.int64) for name, clusters in labels.of.items()}
    table = pd.DataFrame({"id": index.items["id"], **of, **columns}, copy=False)
    # A dictionary of distances, nearly all of which differ, would be half as much again.
    table.to_parquet(run / ASSIGNMENTS, index=False, use_dictionary=["id", *labels.of])
    hashes = {name: file_hash(run / name) for name in (ASSIGNMENTS, CENTROIDS) if (run / name).exists()}
    rest = {"sizes": labels.sizes, "facts": labels.facts, "failed": labels.failed, "sha256": hashes}
    write_json(run / CLUSTERS, rest | {"sum": _sum(rest)})


def read_saved_labels(run: Path) -> SavedLabels:
    """Content of ``clusters.json``.

    Raises:
        UserError: it is missing or damaged.
    """
    kept: SavedLabels = read_as(SavedLabels, run / CLUSTERS, limit=LISTING, fix=RUN_AGAIN)
    return kept


def read_clusters(run: Path, index: Index) -> PseudoLabels | None:
    """What ``write_clusters`` wrote but distances, in the order of ``index``; None where a run has no clusterings."""
    if not (run / CLUSTERS).exists():
        return None
    rest = read_saved_labels(run)
    of = {name: np.full(len(index.items), UNLABELLED, dtype=np.int32) for name in rest["sizes"]}
    begin = 0
    for part in table_parts(run / ASSIGNMENTS, ["id", *of], fix=RUN_AGAIN):
        at = places(part["id"], index.items["id"], begin=begin)
        for name, clusters in of.items():
            clusters[at[at >= 0]] = part[name].to_numpy()[at >= 0]
        begin += len(part)
    return PseudoLabels(of, rest["sizes"], rest["facts"], rest["failed"])
