"""A round as a page shows it: its clusters, what chance would give, and the items to be seen."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xdcbench.config.base import Modality
from xdcbench.reports.clusters.chance import Chance, chance_of
from xdcbench.reports.clusters.clusters import Cluster, clusters_of, labels_of
from xdcbench.reports.clusters.origin import ClusteredRound


@dataclass(frozen=True)
class Side:
    """One round. By the name of each clustering: its clusters in their order, and chance (None without labels).

    ``labels`` are names of the labels of each item of the index.
    """

    found: ClusteredRound
    labels: list[tuple[str, ...]]
    clusters: dict[str, list[Cluster]]
    chance: dict[str, Chance | None]

    @property
    def wanted(self) -> dict[int, set[Modality]]:
        """Items to be shown, by position in the index, with the modalities that they were clustered by."""
        wanted: dict[int, set[Modality]] = defaultdict(set)
        for name, clusters in self.clusters.items():
            for row in (row for cluster in clusters for row in cluster.nearest):
                wanted[row] |= {*self.found.config.clusterings[name].features}
        return wanted


def side_of(found: ClusteredRound, distances: Mapping[str, np.ndarray], *, nearest: int) -> Side:
    """A round with ``nearest`` items of each cluster; ``distances`` to their centers are float (items,)."""
    labels = labels_of(found.index)
    clusters, chance = {}, {}
    for name, _ in sorted(found.config.clusterings.items(), key=lambda item: item[1].features):
        numbers = found.table[name].to_numpy(dtype=np.float64)
        clusters[name] = clusters_of(numbers, distances[name], labels, nearest=nearest)
        chance[name] = chance_of(numbers, labels, seed=found.config.seed)
    return Side(found, labels, clusters, chance)
