"""What is done to features before they are clustered."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from xdcbench.errors import UserError

CHUNK = 8192


def preprocess(x: Tensor, *, mode: Literal["none", "l2", "pca_whiten_l2"], dim: int) -> Tensor:
    """Prepare features for k-means.

    Args:
        x: float32 (n, d).
        mode: ``none``: as they are; ``l2``: rows of unit length; ``pca_whiten_l2``: PCA to ``dim``
            dimensions, whitening, rows of unit length (DeepCluster's).
        dim: dimensions kept by the PCA, at most min(n, d); directions without variance are dropped, so
            that fewer may be left.

    Returns:
        float32 (n, d), or (n, at most ``dim``) after a PCA. A row of zeros stays so.

    Raises:
        UserError: no direction has any variance.
    """
    if mode == "none":
        return x
    return normalize(pca_whiten(x, dim=dim) if mode == "pca_whiten_l2" else x, dim=1)


def pca_whiten(x: Tensor, *, dim: int) -> Tensor:
    """Rotate features to their principal axes, scaled to unit variance (divisor n - 1).

    The covariance and its eigenvectors are exact, in float64; an eigenvector's sign is arbitrary.

    Args:
        x: float32 (n, d).
        dim: axes kept, from the largest variance down; those without variance are dropped.

    Returns:
        float32 (n, at most min(dim, n, d)), centred.

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
    projection = axes[:, kept] / variances[kept].sqrt()
    return torch.cat([((part.double() - mean) @ projection).to(x.dtype) for part in x.split(CHUNK)])


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
