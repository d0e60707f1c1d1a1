"""Clusters as a reader meets them: size, most frequent labels, purity, and items nearest to the center first."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from xdcbench.data.index import Index
from xdcbench.data.scanning.items import LABELS

SHARES = 4
"""Most frequent labels that a cluster names."""


@dataclass(frozen=True)
class Cluster:
    """One cluster, by its ``number`` in the assignments, of ``size`` items.

    ``spread`` is the mean distance of items to its center, of those whose distance is known; None without.
    ``shares`` are the most frequent labels, each with the share of the items that have it, largest first;
    ``nearest`` positions of items in the index, nearest to the center first.
    """

    number: int
    size: int
    spread: float | None
    shares: tuple[tuple[str, float], ...]
    nearest: tuple[int, ...]

    @property
    def purity(self) -> float | None:
        """Share of the most frequent label; None without labels."""
        return self.shares[0][1] if self.shares else None


def labels_of(index: Index) -> list[tuple[str, ...]]:
    """Names of the labels of each item: one, none, or several in a multi-label dataset."""
    if LABELS in index.items:
        return [tuple(index.classes[label] for label in labels) for labels in index.items[LABELS]]
    return [(index.classes[label],) if label >= 0 else () for label in index.labels]


def clusters_of(
    assignments: np.ndarray, distances: np.ndarray, labels: Sequence[tuple[str, ...]], *, nearest: int
) -> list[Cluster]:
    """Every cluster that is not empty: the purest first, without labels the largest and then most compact.

    Args:
        assignments: float (items,), cluster of each item; NaN or negative where it has none.
        distances: float (items,), of each item to its center; NaN where unknown, and such items are shown last.
        labels: names of the labels of each item.
        nearest: number of items to name.
    """
    items = pd.DataFrame({"number": assignments, "distance": distances})
    items = items[items["number"] >= 0].sort_values("distance", kind="stable")
    return ranked(_cluster(members, labels, nearest) for _, members in items.groupby("number"))


def _cluster(members: pd.DataFrame, labels: Sequence[tuple[str, ...]], nearest: int) -> Cluster:
    counts = Counter(label for row in members.index for label in set(labels[row]))
    frequent = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SHARES]
    measured = members["distance"].dropna().to_numpy()
    return Cluster(
        number=int(members["number"].iloc[0]),
        size=len(members),
        spread=float(measured.mean()) if len(measured) else None,
        shares=tuple((label, count / len(members)) for label, count in frequent),
        nearest=tuple(int(row) for row in members.index[:nearest]),
    )


def ranked(clusters: Iterable[Cluster]) -> list[Cluster]:
    """By purity where any cluster has it, then by size, then by how close its items lie to the center."""
    return sorted(
        clusters, key=lambda c: (-(c.purity or 0.0), -c.size, c.spread is None, c.spread or 0.0, c.number)
    )
