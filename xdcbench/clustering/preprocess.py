"""What is done to features before they are clustered."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xdcbench.errors import UserError

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
        """Float32 (n, d) to float32 (n, d), or (n, kept) after a PCA; a row of zeros stays so."""
        if self.mode == "none":
            return x
        return normalize(self._whitened(x) if self.mode == "pca_whiten_l2" else x, dim=1)

    def _whitened(self, x: Tensor) -> Tensor:
        mean, axes = self.mean.to(x.device), self.axes.to(x.device)
        return torch.cat([((part.double() - mean) @ axes).to(x.dtype) for part in x.split(CHUNK)])


def fit(x: Tensor, *, mode: Mode, dim: int) -> Preprocessing:
    """Preprocessing for features like ``x``.

    Args:
        x: float32 (n, d).
        mode: see ``Preprocessing``.
        dim: dimensions kept by a PCA, at most min(n, d); directions without variance are dropped, so that
            fewer may be left.

    Raises:
        UserError: no direction has any variance.
    """
    mean, axes = pca(x, dim=dim) if mode == "pca_whiten_l2" else (torch.empty(0), torch.empty(0))
    return Preprocessing(mode, mean, axes)


def pca(x: Tensor, *, dim: int) -> tuple[Tensor, Tensor]:
    """Mean, float64 (d,), and whitening principal axes, float64 (d, kept), of unit variance (divisor n - 1).

    The covariance and its eigenvectors are exact, in float64; an eigenvector's sign is arbitrary.

    Args:
        x: float32 (n, d).
        dim: axes kept, from the largest variance down; those without variance are dropped.

    Raises:
        UserError: no direction has any variance.
    """
    n, d = x.shape
    mean = x.mean(dim=0, dtype=torch.float64)
    covariance = torch.zeros(d, d, dtype=torch.float64, device=x.device)
    for part in x.split(CHUNK):
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred)
    covariance /= max(n - 1, 1)
    variances, axes = (v.flip(-1)[..., : min(dim, n, d)] for v in torch.linalg.eigh(covariance))
    kept = variances > _floor(covariance, mean)
    if not kept.any():
        raise UserError(f"PCA: the features of all {n} items are equal; the encoder has collapsed")
    return mean, axes[:, kept] / variances[kept].sqrt()


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
