"""Where labels come from: the clusterings of a round, or the ground truth."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_array
from torch import Tensor

from xdcbench.clustering.assigner import Assigner, save_assigners
from xdcbench.clustering.kmeans import kmeans
from xdcbench.clustering.metrics import nmi, purity, summary
from xdcbench.clustering.preprocess import concat, fit
from xdcbench.data.clips import Clips, even_draws, random_draw
from xdcbench.data.index import Index
from xdcbench.data.scan import LABELS
from xdcbench.distributed import from_leader
from xdcbench.extract import extract
from xdcbench.models.encoders import Encoder
from xdcbench.progress import log
from xdcbench.runtime import generator
from xdcbench.schema import Augment, Clustering, Modality, Pretrain
from xdcbench.stages import RoundStage
from xdcbench.store import read_json, write_json

UNLABELLED = -1


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
        used = sorted({m for c in config.clusterings.values() for m in c.features})
        features, failed = features_of(config, rows, {m: encoders[m] for m in used}, clips, device, workers)
        clustered = from_leader(
            lambda: cluster_all(config, index, rows, features, failed, previous=previous, work=work)
        )
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


def features_of(
    config: RoundStage,
    rows: np.ndarray,
    encoders: dict[Modality, Encoder],
    clips: Clips,
    device: torch.device,
    workers: int,
) -> tuple[dict[Modality, np.ndarray], dict[int, str]]:
    """Features of the clip of each item that is clustered, float32 (len(rows), features)."""
    if config.pretrain.cluster_clip == "centre":
        draws = even_draws(rows, 1)
    else:
        rng = generator(config.seed, config.round, 3)
        draws = [random_draw(int(row), Augment(flip=False, crop="centre"), rng) for row in rows]
    label = f"{config.method} round {config.round}: features"
    return extract(
        encoders,
        clips,
        draws,
        precision=config.pretrain.precision,
        device=device,
        workers=workers,
        label=label,
    )


def cluster_all(
    config: RoundStage,
    index: Index,
    rows: np.ndarray,
    features: dict[Modality, np.ndarray],
    failed: dict[int, str],
    *,
    previous: Path,
    work: Path,
) -> Labels:
    """Cluster the items that could be read and write centroids, assignments and facts."""
    read = np.array([row not in failed for row in rows])
    labels = Labels({}, {}, {}, failed)
    before = read_clusters(previous, index)
    assigners: dict[str, Assigner] = {}
    for number, (name, clustering) in enumerate(sorted(config.clusterings.items())):
        raw = gather(clustering, {m: torch.from_numpy(f[read]) for m, f in features.items()}, config.pretrain)
        prepared = fit(raw, mode=config.pretrain.preprocess, dim=config.pretrain.pca_dim)
        x = prepared(raw)
        found = kmeans(
            x,
            k=clustering.k,
            seed=int(generator(config.seed, config.round, 2, number).integers(2**31)),
            iterations=config.pretrain.kmeans_iterations,
            restarts=config.pretrain.kmeans_restarts,
        )
        of = np.full(len(index.items), UNLABELLED, dtype=np.int64)
        of[rows[read]] = found.assignments.cpu().numpy()
        labels.of[name], labels.sizes[name] = of, clustering.k
        labels.facts[name] = facts(of[rows[read]], index.labels[rows[read]], clustering.k) | {
            "clusters_repaired": float(found.repaired),
            "unexplained": unexplained(x, of[rows[read]], found.centroids),
        }
        if before is not None and name in before.of:
            labels.facts[name]["nmi_previous"] = nmi(of, before.of[name])
        assigners[name] = Assigner(prepared, found.centroids)
        log.info("round %d clustering %s: %s", config.round, name, labels.facts[name])
    save_assigners(assigners, work / "centroids.safetensors")
    write_clusters(work, index, labels)
    return labels


def gather(clustering: Clustering, features: dict[Modality, Tensor], settings: Pretrain) -> Tensor:
    """The matrix that is preprocessed and clustered: one modality, or both side by side."""
    chosen = [features[m] for m in clustering.features]
    return chosen[0] if len(chosen) == 1 else concat(chosen, l2=settings.concat_l2)


def facts(assignments: np.ndarray, classes: np.ndarray, k: int) -> dict[str, float]:
    """Cluster sizes, empties and, where classes are known, agreement with them."""
    found = {f"clusters_{name}": value for name, value in summary(assignments, k=k).items()}
    if (classes >= 0).any():
        weighted, plain = purity(assignments, classes)
        found |= {"nmi_class": nmi(assignments, classes), "purity": weighted, "purity_plain": plain}
    return found


def unexplained(x: Tensor, assignments: np.ndarray, centroids: Tensor) -> float:
    """Share of the variance of ``x`` that is left within clusters; about 1 for labels that do not fit it."""
    within = (x - centroids[torch.from_numpy(assignments).to(x.device)]).double().square().sum()
    total = (x - x.mean(dim=0)).double().square().sum()
    return float(within / total) if total > 0 else 0.0


def write_clusters(run: Path, index: Index, labels: Labels) -> None:
    """Write ``assignments.parquet`` and, last, ``clusters.json``, which says that both are whole."""
    table = pd.DataFrame({"id": index.items["id"].to_numpy(), **labels.of})
    table.to_parquet(run / "assignments.parquet", index=False)
    rest = {"sizes": labels.sizes, "facts": labels.facts, "failed": labels.failed}
    write_json(run / "clusters.json", rest)


def read_clusters(run: Path, index: Index) -> Labels | None:
    """What ``write_clusters`` wrote, in the order of ``index``; None where a run has no clusterings."""
    if not (run / "clusters.json").exists():
        return None
    rest = read_json(run / "clusters.json")
    table = pd.read_parquet(run / "assignments.parquet").set_index("id").reindex(index.items["id"])
    of = {
        str(name): table[name].fillna(UNLABELLED).to_numpy(dtype=np.int64, copy=True)
        for name in table.columns
    }
    return Labels(of, rest["sizes"], rest["facts"], {int(k): v for k, v in rest["failed"].items()})
