"""Clusters of two rounds against each other: which cluster of the one holds the items of a cluster of the other."""

from dataclasses import dataclass

import numpy as np

from xdcbench.clustering.metrics import nmi


@dataclass(frozen=True)
class Match:
    """The cluster ``number`` that holds most items of another one: their ``share`` of those that both have."""

    number: int
    share: float


def matches(ours: np.ndarray, theirs: np.ndarray) -> dict[int, Match]:
    """For each cluster of the first the cluster of the second that holds most of its items, of equal ones the lowest.

    Both are float (items,), clusters of the same items; NaN or negative where an item has none.
    """
    both = (ours >= 0) & (theirs >= 0)
    found = {}
    for number in np.unique(ours[both]).astype(int).tolist():
        others, counts = np.unique(theirs[both & (ours == number)].astype(int), return_counts=True)
        found[number] = Match(int(others[counts.argmax()]), float(counts.max() / counts.sum()))
    return found


def agreement(ours: np.ndarray, theirs: np.ndarray) -> float | None:
    """NMI of two clusterings of the same items, over the items that are in both; None without any."""
    a, b = (np.nan_to_num(of, nan=-1.0).astype(np.int64) for of in (ours, theirs))
    return nmi(a, b) if ((a >= 0) & (b >= 0)).any() else None
