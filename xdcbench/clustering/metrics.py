"""How clusters look, and how they agree with labels."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Labels = Tensor | NDArray[np.integer]


def nmi(a: Labels, b: Labels) -> float:
    """Normalized mutual information of two labelings, 0 to 1, by the arithmetic mean of their entropies.

    All that compares two labelings takes integers (n,); items of which one is -1, no label, are left out.

    Raises:
        ValueError: the shapes differ, or no item has both labels; so do all that compare.
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_labeled(a, b), average_method="arithmetic"))


def ami(a: Labels, b: Labels) -> float:
    """Mutual information adjusted for chance, at most 1, about 0 for independent labelings."""
    from sklearn.metrics import adjusted_mutual_info_score

    return float(adjusted_mutual_info_score(*_labeled(a, b), average_method="arithmetic"))


def ari(a: Labels, b: Labels) -> float:
    """Rand index adjusted for chance (Hubert and Arabie 1985), at most 1, about 0 for independent labelings."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_labeled(a, b)))


def class_entropy(assignments: Labels, labels: Labels) -> float:
    """Entropy of the label given the cluster, in bits: 0 if every cluster holds one label only."""
    counts = _counts(assignments, labels)
    shares = counts / counts.sum(axis=1, keepdims=True)
    bits = -np.where(counts > 0, shares * np.log2(np.where(counts > 0, shares, 1.0)), 0.0).sum(axis=1)
    return float((bits * counts.sum(axis=1)).sum() / counts.sum())


def cluster_accuracy(assignments: Labels, labels: Labels) -> tuple[float, dict[int, int]]:
    """Share of items that are right if each cluster stands for one label and each label for one cluster.

    The best such matching (Kuhn 1955). With more clusters than labels, or fewer, the rest stand for nothing,
    and their items are wrong.

    Returns:
        The share, and the label of each matched cluster. Of equal matchings, the one that SciPy finds.
    """
    from scipy.optimize import linear_sum_assignment

    counts = _counts(assignments, labels)
    clusters, names = (np.unique(of) for of in _labeled(assignments, labels))
    rows, columns = linear_sum_assignment(counts, maximize=True)
    matched = dict(zip(clusters[rows].tolist(), names[columns].tolist(), strict=True))
    return float(counts[rows, columns].sum() / counts.sum()), matched


def purity(assignments: Labels, labels: Labels) -> tuple[float, float]:
    """Share of a cluster's most frequent label: mean over clusters with labeled items, weighted by size, and plain."""
    counts = _counts(assignments, labels)
    best, sizes = counts.max(axis=1), counts.sum(axis=1)
    return float(best.sum() / sizes.sum()), float((best / sizes).mean())


def summary(assignments: Labels, *, k: int) -> dict[str, float]:
    """Describe the sizes of k clusters.

    The assignments are integers in 0..k-1, (n,), n at least 1; k is at least 2, and empty clusters count.

    Returns:
        ``size_min``, ``size_median``, ``size_max`` (items), ``empty`` (clusters) and ``entropy``: that of
        the sizes over log k, 1 if they are all equal.
    """
    sizes = np.bincount(np.asarray(_numpy(assignments)), minlength=k)
    shares = sizes[sizes > 0] / sizes.sum()
    return {
        "size_min": float(sizes.min()),
        "size_median": float(np.median(sizes)),
        "size_max": float(sizes.max()),
        "empty": float((sizes == 0).sum()),
        "entropy": float(-(shares * np.log(shares)).sum() / np.log(k)) + 0.0,
    }


def _counts(a: Labels, b: Labels) -> NDArray[np.integer]:
    """Items by value of ``a`` (rows) and of ``b`` (columns), values that occur only."""
    from sklearn.metrics.cluster import contingency_matrix

    counts: NDArray[np.integer] = contingency_matrix(*_labeled(a, b))
    return counts


def _labeled(a: Labels, b: Labels) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    a, b = _numpy(a), _numpy(b)
    if a.shape != b.shape:
        raise ValueError(f"labelings of {a.shape} and {b.shape} items")
    both = (a >= 0) & (b >= 0)
    if not both.any():
        raise ValueError("no item has both labels")
    return a[both], b[both]


def _numpy(labels: Labels) -> NDArray[np.integer]:
    return labels.cpu().numpy() if isinstance(labels, Tensor) else labels
