"""What is done to features before they are clustered."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xdcbench.errors import EqualFeaturesError
from xdcbench.utils.distributed import all_reduce, broadcast

CHUNK = 8192

Mode = Literal["none", "l2", "pca_whiten_l2"]


@dataclass(frozen=True)
class Preprocessing:
    """What is done to features before k-means, the same for the items it was fitted to and for later ones.

    Attributes:
        mode: ``none``: as they are; ``l2``: rows of unit length; ``pca_whiten_l2``: PCA, whitening, rows of
            unit length (DeepCluster's).
        mean: float64 (d,) of the PCA; empty without one.
        axes: float64 (d, kept), principal axes over their standard deviations; empty without a PCA.
    """

    mode: Mode
    mean: Tensor
    axes: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Float32 (n, d) to float32 (n, d), or (n, kept) after a PCA; a row of zeros stays so.

        Each row by itself, so that parts of what exceeds memory can be prepared one after the other.
        """
        if self.mode == "none":
            return x
        return normalize(self._whitened(x) if self.mode == "pca_whiten_l2" else x, dim=1)

    def _whitened(self, x: Tensor) -> Tensor:
        mean, axes = self.mean.to(x.device), self.axes.to(x.device)
        return torch.cat([((part.double() - mean) @ axes).to(x.dtype) for part in x.split(CHUNK)])


def fit(x: Tensor, *, mode: Mode, dim: int) -> Preprocessing:
    """Preprocessing for features like ``x``; of several processes, all call this together.

    Args:
        x: float32 (n, d), this process's share of the rows; n may be 0.
        mode: see ``Preprocessing``.
        dim: dimensions kept by a PCA, at most d and the rows of all processes; directions without variance
            are dropped, so that fewer may be left.

    Raises:
        EqualFeaturesError: no direction has any variance.
    """
    mean, axes = pca(x, dim=dim) if mode == "pca_whiten_l2" else (torch.empty(0), torch.empty(0))
    return Preprocessing(mode, mean, axes)


def pca(x: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    """Mean, float64 (d,), and whitening principal axes, float64 (d, kept), of unit variance (divisor n - 1).

    The covariance and its eigenvectors are exact, in float64, over the rows of all processes, which call this
    together; an eigenvector's sign is arbitrary, but the same in each process.

    Arguments and errors as of ``fit``; rows are read in chunks, twice.
    """
    d = x.shape[1]
    n = int(all_reduce(torch.tensor(len(x))))
    mean = all_reduce(sum_of_rows(x)) / max(n, 1)
    covariance = torch.zeros(d, d, dtype=torch.float64, device=x.device)
    for part in x.split(CHUNK):
        centered = part.double() - mean
        covariance.addmm_(centered.T, centered)
    covariance = all_reduce(covariance) / max(n - 1, 1)
    # One process's, as the signs of eigenvectors may differ between kinds of processors.
    found = (broadcast(v.contiguous()) for v in torch.linalg.eigh(covariance))
    variances, axes = (v.flip(-1)[..., : min(dim, n, d)] for v in found)
    kept = variances > _floor(covariance, mean)
    if not kept.any():
        raise EqualFeaturesError(f"PCA: the features of all {n} items are equal")
    return mean, axes[:, kept] / variances[kept].sqrt()


def sum_of_rows(x: Tensor) -> Tensor:
    """Float64 (d,) of float32 (n, d), by chunks: torch copies to float64 all that it sums at once."""
    total = torch.zeros(x.shape[1], dtype=torch.float64, device=x.device)
    for part in x.split(CHUNK):
        total += part.sum(dim=0, dtype=torch.float64)
    return total


def concat(features: list[Tensor], *, l2: bool) -> Tensor:
    """Join the modalities of each item (CDC).

    Args:
        features: float32 (n, d_i) each, rows in the same order.
        l2: scale each modality's rows to unit length first, so that none outweighs another.

    Returns:
        float32 (n, sum of d_i).
    """
    return torch.cat([normalize(x, dim=1) if l2 else x for x in features], dim=1)


def _floor(covariance: Tensor, mean: Tensor) -> float:
    # The variance that rounding alone brings about: of the float32 values, and of the eigenvalues.
    values = (torch.finfo(torch.float32).eps ** 2) * (covariance.diagonal() + mean.square()).max()
    eigenvalues = len(mean) * torch.finfo(torch.float64).eps * covariance.diagonal().sum()
    return float(torch.maximum(values, eigenvalues))
