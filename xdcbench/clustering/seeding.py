"""Centroids to start k-means from."""

from math import log

import torch
from torch import Tensor

from xdcbench.clustering.points import ShardedPoints
from xdcbench.utils.distributed import broadcast

SEED_POINTS = 32
"""Points per centroid that a start is chosen from: enough to find the modes; Lloyd's algorithm then sees all."""


def kmeans_plusplus(points: ShardedPoints, k: int, generator: torch.Generator) -> Tensor:
    """Greedy k-means++ on a sample of the points of all processes, float32 (k, d).

    Of 2 + ln k points drawn by squared distance, the one that lowers the inertia most, as in scikit-learn
    (Arthur and Vassilvitskii 2007, section 5). One pass over memory serves all the trials, so that they come
    almost free.

    The sample depends on the generator and the number of points alone, not on the processes that hold them.
    """
    n = points.count
    drawn = torch.randperm(n, generator=generator) if n > SEED_POINTS * k else torch.arange(n)
    x = points.take(drawn[: SEED_POINTS * k])
    # Processors of several kinds may round differently, and then choose differently.
    return broadcast(x[_greedy(x, k, generator)])


def _greedy(x: Tensor, k: int, generator: torch.Generator) -> list[int]:
    points = x - x.mean(dim=0)  # against cancellation
    norms = points.square().sum(dim=1)
    chosen = [int(torch.randint(len(x), (), generator=generator))]
    nearest = (points - points[chosen[0]]).square().sum(dim=1)
    for _ in range(1, k):
        draws = torch.rand(2 + int(log(k)), generator=generator, dtype=torch.float64).to(x.device)
        cumulative = nearest.cumsum(0, dtype=torch.float64)
        trials = torch.searchsorted(cumulative, draws * cumulative[-1], right=True).clamp_(max=len(x) - 1)
        squared = norms[:, None] + norms[trials] - 2 * (points @ points[trials].T)
        lowered = torch.minimum(nearest[:, None], squared.clamp_(min=0))
        best = int(lowered.sum(dim=0, dtype=torch.float64).argmin())
        chosen.append(int(trials[best]))
        nearest = lowered[:, best].contiguous()
        nearest[chosen[-1]] = 0
    return chosen
