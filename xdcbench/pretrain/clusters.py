"""One clustering of a round, by all processes together: its points, k-means, what is worth recording."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xdcbench.clustering.assigner import Assigner
from xdcbench.clustering.kmeans import BLOCK, kmeans
from xdcbench.clustering.metrics import nmi, purity, summary
from xdcbench.clustering.preprocess import concat, fit
from xdcbench.distributed import joined, reduced, span
from xdcbench.errors import EqualFeaturesError
from xdcbench.matrix import spread
from xdcbench.schema import Clustering, Modality, Pretrain

CHUNK = 8192
"""Rows of which a float64 copy is held at once."""

EQUAL = 1e-6
"""Share of a point's largest magnitude by which others may differ from it and count as equal."""


@dataclass(frozen=True)
class Clustered:
    """A clustering of n items.

    Attributes:
        assigner: preprocessing and centroids.
        assignments: int64 (n,).
        distances: float32 (n,), of each preprocessed item to its centroid.
        facts: ``clusters_repaired`` and ``unexplained``, the share of the variance that is left within clusters:
            about 1 for labels that do not fit the features.
    """

    assigner: Assigner
    assignments: np.ndarray
    distances: np.ndarray
    facts: dict[str, float]


def cluster(
    clustering: Clustering,
    features: Mapping[Modality, np.ndarray],
    read: np.ndarray,
    *,
    settings: Pretrain,
    seed: int,
    folder: Path,
    device: torch.device,
) -> Clustered:
    """Cluster the items that could be read; each process holds a contiguous share of them.

    Args:
        clustering: which features, how many clusters.
        features: float32 (m, features) of each modality, mapped.
        read: int64 (n,), the rows that could be read.
        settings: of preprocessing and k-means.
        seed: of the start.
        folder: for matrices that are made on the way.
        device: that k-means computes on.

    Raises:
        UserError: k exceeds the number of items, or the features cannot be clustered.
    """
    raw = points(clustering, features, read, l2=settings.concat_l2, folder=folder)
    mode = "l2" if settings.spherical and settings.preprocess == "none" else settings.preprocess
    prepared = fit(own(raw), mode=mode, dim=settings.pca_dim)
    x = raw
    if mode != "none":
        width = prepared.axes.shape[1] if mode == "pca_whiten_l2" else raw.shape[1]
        x = spread(
            folder / "prepared.npy", len(raw), width, lambda rows: prepared(_tensor(raw, rows)).numpy()
        )
    mine = own(x)
    if len(x) > 1:
        check_spread(mine, _tensor(x, range(1)))
    found = kmeans(
        mine,
        k=clustering.k,
        seed=seed,
        iterations=settings.kmeans_iterations,
        tolerance=settings.kmeans_tolerance,
        restarts=settings.kmeans_restarts,
        spherical=settings.spherical,
        device=device,
    )
    assignments, centroids = found.assignments.cpu(), found.centroids.cpu()
    squares = squared_distances(mine, centroids, assignments)
    return Clustered(
        Assigner(prepared, centroids),
        joined(assignments).numpy(),
        joined(squares.sqrt().float()).numpy(),
        {"clusters_repaired": float(found.repaired), "unexplained": unexplained(mine, squares)},
    )


def points(
    clustering: Clustering,
    features: Mapping[Modality, np.ndarray],
    read: np.ndarray,
    *,
    l2: bool,
    folder: Path,
) -> np.ndarray:
    """The rows that are clustered, float32 (len(read), d), mapped: one modality, or both side by side.

    A matrix of which every row is wanted is taken as it is; of any other, a new file is made.
    """
    chosen = [features[m] for m in clustering.features]
    if len(chosen) == 1 and len(read) == len(chosen[0]):
        return chosen[0]

    def make(rows: range) -> np.ndarray:
        parts = [torch.from_numpy(of[read[rows.start : rows.stop]]) for of in chosen]
        return (parts[0] if len(parts) == 1 else concat(parts, l2=l2)).numpy()

    return spread(folder / "points.npy", len(read), sum(of.shape[1] for of in chosen), make)


def own(x: np.ndarray) -> Tensor:
    """This process's share of the rows, without a copy: whole blocks of k-means, so that sums are of equal parts."""
    return _tensor(x, span(len(x), BLOCK))


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
    if not int(reduced(torch.tensor(differ))):
        raise EqualFeaturesError("the features of all items are equal")


def squared_distances(x: Tensor, centroids: Tensor, assignments: Tensor) -> Tensor:
    """Float64 (n,) of each point to its centroid."""
    parts = zip(x.split(CHUNK), assignments.split(CHUNK), strict=True)
    return torch.cat([(part - centroids[of]).double().square().sum(dim=1) for part, of in parts])


def unexplained(x: Tensor, squares: Tensor) -> float:
    """Share of the variance of all processes' points that is left within clusters.

    Args:
        x: float32 (n, d), this process's points.
        squares: float64 (n,), of their distances to their centroids.
    """
    count = reduced(torch.tensor(float(len(x)), dtype=torch.float64))
    mean = reduced(x.sum(dim=0, dtype=torch.float64)) / count
    around = torch.stack([(part.double() - mean).square().sum() for part in x.split(CHUNK)]).sum()
    within, total = reduced(torch.stack([squares.sum(), around])).tolist()
    return within / total if total > 0 else 0.0


def facts(assignments: np.ndarray, classes: np.ndarray, k: int) -> dict[str, float]:
    """Cluster sizes, empties and, where classes are known, agreement with them."""
    found = {f"clusters_{name}": value for name, value in summary(assignments, k=k).items()}
    if (classes >= 0).any():
        weighted, plain = purity(assignments, classes)
        found |= {"nmi_class": nmi(assignments, classes), "purity": weighted, "purity_plain": plain}
    return found


def _tensor(x: np.ndarray, rows: range) -> Tensor:
    return torch.from_numpy(x[rows.start : rows.stop])
