"""Nearest centroids by a full search, to compare with."""

from torch import Tensor

from xdcbench.clustering.nearest import CACHED, Nearest, distances, full_precision
from xdcbench.clustering.points import ShardedPoints


@full_precision()
def assign(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor]:
    """Label of each point, int64 (n,), the lowest index of equals, and its squared distance, float32 (n,)."""
    points = ShardedPoints.of(x)
    labels = Nearest(points, centroids, chunk=CACHED).labels
    return labels, distances(points, centroids, labels)
