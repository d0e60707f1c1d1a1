"""How clusters look, and how they agree with labels."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Labels = Tensor | NDArray[np.integer]


def nmi(a: Labels, b: Labels) -> float:
    """Normalised mutual information of two labelings, 0 to 1, by the arithmetic mean of their entropies.

    Args:
        a: integers (n,); -1 stands for no label, and such items are left out.
        b: likewise.

    Raises:
        ValueError: the shapes differ, or no item has both labels.
    """
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_labelled(a, b), average_method="arithmetic"))


def purity(assignments: Labels, labels: Labels) -> tuple[float, float]:
    """Share of a cluster's most frequent label, averaged over clusters.

    Args:
        assignments: cluster of each item, integers (n,); -1 is left out.
        labels: true label of each item, integers (n,); -1 is left out.

    Returns:
        The mean weighted by size and the plain mean, both over clusters with labelled items.

    Raises:
        ValueError: the shapes differ, or no item has both a cluster and a label.
    """
    from sklearn.metrics.cluster import contingency_matrix

    counts = contingency_matrix(*reversed(_labelled(assignments, labels)))
    best, sizes = counts.max(axis=0), counts.sum(axis=0)
    return float(best.sum() / sizes.sum()), float((best / sizes).mean())


def summary(assignments: Labels, *, k: int) -> dict[str, float]:
    """Describe the sizes of k clusters.

    Args:
        assignments: cluster of each item, integers in 0..k-1, (n,), n at least 1.
        k: number of clusters, at least 2; empty ones count.

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


def _labelled(a: Labels, b: Labels) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    a, b = _numpy(a), _numpy(b)
    if a.shape != b.shape:
        raise ValueError(f"labelings of {a.shape} and {b.shape} items")
    both = (a >= 0) & (b >= 0)
    if not both.any():
        raise ValueError("no item has both labels")
    return a[both], b[both]


def _numpy(labels: Labels) -> NDArray[np.integer]:
    return labels.cpu().numpy() if isinstance(labels, Tensor) else labels
