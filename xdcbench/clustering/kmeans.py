"""Plain k-means, the step of deep clustering that makes the labels."""

from dataclasses import dataclass
from math import log

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from xdcbench.errors import UserError

CHUNK = 16_384
BLOCK = 65_536
SEED_POINTS = 32


@dataclass(frozen=True)
class KMeans:
    """A clustering of n points in d dimensions into k clusters.

    Attributes:
        centroids: float32 (k, d).
        assignments: int64 (n,), the nearest centroid of each point.
        inertia: sum of squared distances to the nearest centroids, accumulated in float64.
        sizes: int64 (k,), points per cluster; 0 only where ``kmeans`` says so.
        iterations: updates of the centroids.
        repaired: empty clusters refilled over the run.
    """

    centroids: Tensor
    assignments: Tensor
    inertia: float
    sizes: Tensor
    iterations: int
    repaired: int


def kmeans(
    x: Tensor,
    *,
    k: int,
    seed: int,
    iterations: int = 20,
    tolerance: float = 0.0,
    restarts: int = 1,
    init: Tensor | None = None,
    chunk: int = CHUNK,
) -> KMeans:
    """Cluster points by Lloyd's algorithm from a greedy k-means++ start.

    A cluster that falls empty takes the point that lies farthest from its own centroid; each such point
    serves once, none leaves its cluster empty, and the lowest index wins a tie. Clusters stay empty if the
    data has fewer than k distinct points, or if one falls empty at the last update.

    Deterministic for a seed on one kind of device; rounding is all that ``chunk`` can change.

    Args:
        x: float32 (n, d), on any device; never changed or copied whole.
        k: number of clusters, 1 to n.
        seed: of the start; drawn on the CPU, so that every device starts alike.
        iterations: updates of the centroids at most.
        tolerance: stop once at most this share of points changes its cluster; 0 is a fixed point.
        restarts: starts to draw; the lowest inertia wins.
        init: float32 (k, d), centroids to start from instead of drawn ones.
        chunk: points whose distances to all centroids are held at once.

    Returns:
        The clustering, on the device of ``x``; its assignments fit its centroids.

    Raises:
        UserError: k is not in 1..n, or a row is not finite.
        ValueError: ``init`` is not (k, d), or comes with several restarts, which would all be equal.
    """
    _check(x, k)
    if init is not None:
        if init.shape != (k, x.shape[1]) or restarts != 1:
            raise ValueError(f"init must be ({k}, {x.shape[1]}) and used once, not {tuple(init.shape)}")
        return _lloyd(x, init.to(x), iterations=iterations, tolerance=tolerance, chunk=chunk)
    generator = torch.Generator().manual_seed(seed)
    runs = (
        _lloyd(x, _plus_plus(x, k, generator), iterations=iterations, tolerance=tolerance, chunk=chunk)
        for _ in range(restarts)
    )
    return min(runs, key=lambda run: run.inertia)


def assign(x: Tensor, centroids: Tensor, *, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """Label each point by its nearest centroid; the lowest index wins a tie.

    Args:
        x: float32 (n, d).
        centroids: float32 (k, d), on the device of ``x``.
        chunk: points whose distances to all centroids are held at once.

    Returns:
        labels, int64 (n,), and squared distances, float32 (n,), free of cancellation.
    """
    labels = _nearest(x, centroids, chunk)
    return labels, _distances(x, centroids, labels, chunk)


def _check(x: Tensor, k: int) -> None:
    if not 1 <= k <= len(x):
        raise UserError(f"k-means: k = {k} clusters of {len(x)} items; choose k from 1 to {len(x)}")
    # One pass and no copy: a norm is finite exactly if its row is and its square fits float32.
    bad = ~torch.linalg.vector_norm(x, dim=1).isfinite()
    if bad.any():
        row = int(bad.to(torch.uint8).argmax())
        raise UserError(
            f"k-means: features of {int(bad.sum())} items are NaN, infinite or too large, first in row "
            f"{row}; the encoder has diverged: lower its learning rate"
        )


def _lloyd(x: Tensor, centroids: Tensor, *, iterations: int, tolerance: float, chunk: int) -> KMeans:
    labels = _nearest(x, centroids, chunk)
    updates = repaired = 0
    while updates < iterations:
        repaired += _repair(x, centroids, labels, chunk)
        centroids = _means(x, labels, centroids)
        updates += 1
        previous, labels = labels, _nearest(x, centroids, chunk)
        if int((labels != previous).sum()) <= tolerance * len(x):
            break
    return KMeans(
        centroids=centroids,
        assignments=labels,
        inertia=float(_distances(x, centroids, labels, chunk).sum(dtype=torch.float64)),
        sizes=labels.bincount(minlength=len(centroids)),
        iterations=updates,
        repaired=repaired,
    )


def _nearest(x: Tensor, centroids: Tensor, chunk: int) -> Tensor:
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2, less what all centroids share. Measuring the centroids from their
    # mean o, but not the points, |c - o|^2 + 2 o.(c - o) - 2 x.(c - o), costs no copy of x and spares
    # features far from the origin (after a ReLU, say) the cancellation of large products.
    origin = centroids.mean(dim=0)
    centred = centroids - origin
    offset = centred.square().sum(dim=1) + 2 * (centred @ origin)
    labels = torch.empty(len(x), dtype=torch.int64, device=x.device)
    for part, out in zip(x.split(chunk), labels.split(chunk), strict=True):
        torch.argmin(torch.addmm(offset, part, centred.T, alpha=-2), dim=1, out=out)
    return labels


def _distances(x: Tensor, centroids: Tensor, labels: Tensor, chunk: int) -> Tensor:
    parts = zip(x.split(chunk), labels.split(chunk), strict=True)
    return torch.cat([(part - centroids[own]).square_().sum(dim=1) for part, own in parts])


def _means(x: Tensor, labels: Tensor, centroids: Tensor) -> Tensor:
    # Sums of a sorted block are ordered, hence deterministic on CUDA too, and faster than index_add_
    # (6 against 11 ms for 100,000 x 512, k = 256; a one-hot product takes 150). Blocks bound the error of
    # float32 sums; they do not follow `chunk`, so that memory settings leave the centroids as they are.
    k = len(centroids)
    sums = torch.zeros(centroids.shape, dtype=torch.float64, device=x.device)
    sizes = labels.bincount(minlength=k)
    for part, own in zip(x.split(BLOCK), labels.split(BLOCK), strict=True):
        counts = own.bincount(minlength=k)
        sums += embedding_bag(own.argsort(stable=True), part, counts.cumsum(0) - counts, mode="sum")
    means = (sums / sizes.clamp(min=1)[:, None]).to(centroids.dtype)
    return torch.where(sizes[:, None] > 0, means, centroids)


def _repair(x: Tensor, centroids: Tensor, labels: Tensor, chunk: int) -> int:
    """Give each empty cluster a point, in ``labels``; return how many were given one."""
    sizes = labels.bincount(minlength=len(centroids)).tolist()
    empty = [cluster for cluster, size in enumerate(sizes) if size == 0]
    if not empty:
        return 0
    distances = _distances(x, centroids, labels, chunk)
    # A cluster denies its last point at most once, so that 2k candidates are enough.
    candidates = distances.argsort(descending=True, stable=True)[: 2 * len(sizes)]
    waiting = iter(empty)
    given = 0
    for point, donor, distance in zip(
        candidates.tolist(), labels[candidates].tolist(), distances[candidates].tolist(), strict=True
    ):
        if given == len(empty) or distance == 0:
            break
        if sizes[donor] > 1:
            sizes[donor] -= 1
            labels[point] = next(waiting)
            given += 1
    return given


def _plus_plus(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    # Greedy k-means++ (Arthur and Vassilvitskii 2007, section 5), as in scikit-learn: of 2 + ln k points
    # drawn by squared distance, the one that lowers the inertia most. One pass over memory serves all the
    # trials, so that they come almost free. 32 points per centroid are enough to find the modes; Lloyd's
    # algorithm then sees all points.
    if len(x) > SEED_POINTS * k:
        x = x[torch.randperm(len(x), generator=generator)[: SEED_POINTS * k].to(x.device)]
    points = x - x.mean(dim=0)  # as in _nearest, against cancellation
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
    return x[chosen]
