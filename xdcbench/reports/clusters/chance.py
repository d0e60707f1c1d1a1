"""What purity and NMI are by chance: of the same clusters, with the labels of their items permuted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xdcbench.utils.runtime import Stream, numpy_generator

DRAWS = 200
"""Permutations of which the mean is taken."""


@dataclass(frozen=True)
class Chance:
    """Means over permutations: ``purity`` of all clusters together, and of each by its number; ``nmi``.

    ``nmi`` is None where an item has several labels, for which it is not defined.
    """

    purity: float
    nmi: float | None
    by_cluster: dict[int, float]


def chance_of(
    assignments: np.ndarray, labels: Sequence[tuple[str, ...]], *, seed: int, draws: int = DRAWS
) -> Chance | None:
    """Purity and NMI of clusters whose items have their labels permuted; None where no clustered item has a label.

    Args:
        assignments: float (items,), cluster of each item; NaN or negative where it has none.
        labels: names of the labels of each item. Items without one count in the size of a cluster and stay where
            they are, as in the purity of a single cluster.
        seed: of the permutations.
        draws: number of permutations.
    """
    rows = np.flatnonzero(assignments >= 0)
    labeled = [row for row in rows.tolist() if labels[row]]
    if not labeled:
        return None
    names = {name: i for i, name in enumerate(sorted({name for row in labeled for name in labels[row]}))}
    numbers, clusters = np.unique(assignments[rows].astype(np.int64), return_inverse=True)
    own = clusters[np.isin(rows, labeled)]
    items = np.array([i for i, row in enumerate(labeled) for _ in set(labels[row])])
    which = np.array([names[name] for row in labeled for name in sorted(set(labels[row]))])
    generator = numpy_generator(seed, Stream.PAGE_CHANCE)
    best, agreed = np.zeros(len(numbers)), 0.0
    for _ in range(draws):
        places = generator.permutation(own)[items] * len(names) + which
        table = np.bincount(places, minlength=len(numbers) * len(names)).reshape(len(numbers), -1)
        best += table.max(axis=1)
        agreed += _nmi(table)
    best, sizes = best / draws, np.bincount(clusters)
    return Chance(
        purity=float(best.sum() / len(labeled)),
        nmi=agreed / draws if len(items) == len(labeled) else None,
        by_cluster=dict(zip(numbers.tolist(), (best / sizes).tolist(), strict=True)),
    )


def _nmi(counts: np.ndarray) -> float:
    """Normalized mutual information of a contingency table, by the arithmetic mean of the entropies."""
    joint = counts / counts.sum()
    entropies = _entropy(joint.sum(axis=1)), _entropy(joint.sum(axis=0))
    mean = sum(entropies) / 2
    return (sum(entropies) - _entropy(joint.ravel())) / mean if mean > 0 else 1.0


def _entropy(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log(positive)).sum())
