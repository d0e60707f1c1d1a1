"""One clustering of a round, by all processes together: its points, k-means, what is worth recording."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xdcbench.clustering.assigner import Assigner
from xdcbench.clustering.kmeans import BLOCK, KMeans
from xdcbench.clustering.metrics import nmi, purity, summary
from xdcbench.clustering.preprocess import concat, fit, sum_of_rows
from xdcbench.config.base import Modality
from xdcbench.config.pretraining import Clustering, Pretrain
from xdcbench.errors import EqualFeaturesError
from xdcbench.utils.distributed import all_gather_object, all_gather_rows, all_reduce, contiguous_shard, rank
from xdcbench.utils.matrix import mapped_tensor, write_rows

CHUNK = 8192
"""Rows of which a float64 copy is held at once."""

EQUAL = 1e-6
"""Share of a point's largest magnitude by which others may differ from it and count as equal."""


@dataclass(frozen=True)
class ClusteringResult:
    """A clustering of n items.

    Attributes:
        assigner: preprocessing and centroids.
        assignments: int64 (n,).
        distances: float32 (n,), of each preprocessed item to its centroid.
        facts: ``clusters_repaired`` and ``within_cluster_variance``, a share of the total:
            about 1 for labels that do not fit the features.
    """

    assigner: Assigner
    assignments: np.ndarray
    distances: np.ndarray
    facts: dict[str, float]


@dataclass(frozen=True)
class Points:
    """The points of one clustering: the items that could be read.

    Attributes:
        clustering: which features, how many clusters.
        features: float32 (m, features) of each modality, mapped.
        read: int64 (n,), the rows that could be read.
        folder: for matrices that are made on the way.
    """

    clustering: Clustering
    features: Mapping[Modality, np.ndarray]
    read: np.ndarray
    folder: Path

    def mine(self, *, l2: bool) -> Tensor:
        """This process's share, float32 (n, d), mapped: rows of one modality, or of both side by side.

        A share is whole blocks of k-means, so that sums are of equal parts. Where every row of one modality is wanted,
        no copy is made; of anything else each process writes a file of its own.
        """
        chosen = [self.features[m] for m in self.clustering.features]
        mine = contiguous_shard(len(self.read), BLOCK)
        if len(chosen) == 1 and len(self.read) == len(chosen[0]):
            return mapped_tensor(chosen[0][mine.start : mine.stop])

        def make(rows: np.ndarray) -> np.ndarray:
            parts = [torch.from_numpy(of[rows]) for of in chosen]
            return (parts[0] if len(parts) == 1 else concat(parts, l2=l2)).numpy()

        shape = (len(mine), sum(of.shape[1] for of in chosen))
        parts = (make(self.read[begin : mine.stop][:CHUNK]) for begin in mine[::CHUNK])
        return self.written("points", shape, parts)

    def written(self, name: str, shape: tuple[int, int], parts: Iterable[np.ndarray]) -> Tensor:
        """A matrix of this process in a file, mapped."""
        return mapped_tensor(write_rows(self.folder / f"{name}-{rank()}.npy", shape, parts))


def cluster(points: Points, settings: Pretrain, *, seed: int, device: torch.device) -> ClusteringResult:
    """Cluster items; each process holds a contiguous share of them.

    Raises:
        UserError: k exceeds the number of items, or the features cannot be clustered.
    """
    raw = points.mine(l2=settings.concat_l2)
    mode = "l2" if settings.spherical and settings.preprocess == "none" else settings.preprocess
    prepared = fit(raw, mode=mode, dim=settings.pca_dim)
    mine = raw
    if mode != "none":
        width = prepared.axes.shape[1] if mode == "pca_whiten_l2" else raw.shape[1]
        parts = (prepared(part).numpy() for part in raw.split(CHUNK))
        mine = points.written("prepared", (len(raw), width), parts)
    if len(points.read) > 1:
        check_spread(mine, next(first for first in all_gather_object(mine[:1].clone()) if len(first)))
    found = KMeans(
        k=points.clustering.k,
        seed=seed,
        max_iter=settings.kmeans_max_iter,
        tol=settings.kmeans_tol,
        n_init=settings.kmeans_n_init,
        spherical=settings.spherical,
    ).fit(mine, device=device)
    assignments, centroids = found.assignments.cpu(), found.centroids.cpu()
    squares = squared_distances(mine, centroids, assignments)
    return ClusteringResult(
        Assigner(prepared, centroids),
        all_gather_rows(assignments).numpy(),
        all_gather_rows(squares.sqrt().float()).numpy(),
        {
            "clusters_repaired": float(found.repaired),
            "within_cluster_variance": within_cluster_variance(mine, squares),
        },
    )


def check_spread(x: Tensor, first: Tensor) -> None:
    """See that points differ by more than rounding; of several processes, all call this together.

    Args:
        x: float32 (n, d), this process's points; n may be 0.
        first: float32 (1, d), one of the points.

    Raises:
        EqualFeaturesError: no two of all processes' points differ.
    """
    least = EQUAL * first.abs().max()
    differ = sum(int(((part - first).abs() > least).any()) for part in x.split(CHUNK))
    if not int(all_reduce(torch.tensor(differ))):
        raise EqualFeaturesError("the features of all items are equal")


def squared_distances(x: Tensor, centroids: Tensor, assignments: Tensor) -> Tensor:
    """Float64 (n,) of each point to its centroid."""
    found = torch.empty(len(x), dtype=torch.float64)
    for part, of, into in zip(x.split(CHUNK), assignments.split(CHUNK), found.split(CHUNK), strict=True):
        torch.sum((part - centroids[of]).double().square(), dim=1, out=into)
    return found


def within_cluster_variance(x: Tensor, squares: Tensor) -> float:
    """Share of the variance of all processes' points that is left within clusters.

    Args:
        x: float32 (n, d), this process's points.
        squares: float64 (n,), of their distances to their centroids.
    """
    count = all_reduce(torch.tensor(float(len(x)), dtype=torch.float64))
    mean = all_reduce(sum_of_rows(x)) / count
    # A list of small results between large temporaries would keep the allocator from using those again.
    parts = x.split(CHUNK)
    around = torch.empty(len(parts), dtype=torch.float64)
    for part, into in zip(parts, around, strict=True):
        torch.sum((part.double() - mean).square(), dim=(0, 1), out=into)
    within, total = all_reduce(torch.stack([squares.sum(), around.sum()])).tolist()
    return within / total if total > 0 else 0.0


def facts(assignments: np.ndarray, classes: np.ndarray, k: int) -> dict[str, float]:
    """Cluster sizes, empties and, where classes are known, agreement with them."""
    found = {f"clusters_{name}": value for name, value in summary(assignments, k=k).items()}
    if (classes >= 0).any():
        weighted, plain = purity(assignments, classes)
        found |= {"nmi_class": nmi(assignments, classes), "purity": weighted, "purity_plain": plain}
    return found
