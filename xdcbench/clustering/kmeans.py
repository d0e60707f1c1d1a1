"""Plain k-means, the step of deep clustering that makes the labels, of points that several processes hold."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from xdcbench.clustering.nearest import Nearest, chunk_of, distances, full_precision
from xdcbench.clustering.points import ShardedPoints
from xdcbench.clustering.seeding import kmeans_plusplus
from xdcbench.errors import UserError
from xdcbench.utils.distributed import all_gather_rows, all_reduce

BLOCK = 4096
"""Rows; where the shares of processes begin at multiples of it, a CPU has the same chunks for every number of them."""
LARGEST = 2.0**60
"""Length of a row, above which sums of products of two rows may exceed float32."""


@dataclass(frozen=True)
class KMeansResult:
    """A clustering of n points in d dimensions into k clusters.

    Attributes:
        centroids: float32 (k, d).
        assignments: int64 (n,), the nearest centroid of each of this process's points.
        inertia: sum of squared distances to the nearest centroids, accumulated in float64.
        sizes: int64 (k,), points per cluster; 0 only where ``KMeans`` says so.
        iterations: updates of the centroids.
        repaired: empty clusters refilled over the run.
    """

    centroids: Tensor
    assignments: Tensor
    inertia: float
    sizes: Tensor
    iterations: int
    repaired: int


@dataclass(frozen=True)
class KMeans:
    """Lloyd's algorithm from a greedy k-means++ start.

    A cluster that falls empty takes the point that lies farthest from its own centroid; each such point
    serves once, none leaves its cluster empty, and the lowest index wins a tie. Clusters stay empty if the
    data has fewer than k distinct points, or if one falls empty at the last update.

    Attributes:
        k: number of clusters, 1 to the number of points of all processes.
        seed: of the start; drawn on the CPU, so that every device starts alike.
        max_iter: updates of the centroids at most.
        tol: stop once at most this share of points changes its cluster; 0 is a fixed point.
        n_init: starts to draw; the lowest inertia wins.
        spherical: cluster directions: rows and centroids are scaled to unit length (Dhillon and Modha 2001).
            A row of zeros stays so. Inertia is then twice the sum of 1 - cosine.
    """

    k: int
    seed: int
    max_iter: int = 20
    tol: float = 0.0
    n_init: int = 1
    spherical: bool = False

    @full_precision()
    def fit(
        self, x: Tensor, *, init: Tensor | None = None, device: torch.device | None = None
    ) -> KMeansResult:
        """Cluster points, deterministically on one kind of device.

        Of several processes, all call this together, each with its share of the rows. They get the clustering that
        one process would find of all rows in the order of the processes, and the assignments of their own rows;
        float64 sums in another order, and chunks that begin at other rows, may tip points that lie within rounding
        of a tie.

        Args:
            x: float32 (n, d), on any device; never changed or copied whole, except to ``device`` where it fits. A
                mapped file may exceed memory. Of several processes, n may differ, and be 0.
            init: float32 (k, d), centroids to start from instead of drawn ones.
            device: to compute on; that of ``x`` if None.

        Returns:
            The clustering, on the device of ``x``; its assignments fit its centroids.

        Raises:
            UserError: k is not in 1 to the number of points, or a row is not finite or longer than ``LARGEST``.
            ValueError: ``init`` is not (k, d), or comes with several restarts, which would all be equal.
        """
        if init is not None and (init.shape != (self.k, x.shape[1]) or self.n_init != 1):
            raise ValueError(f"init must be ({self.k}, {x.shape[1]}) and used once, not {tuple(init.shape)}")
        points = ShardedPoints.of(x, device=device, unit=self.spherical)
        _check(points, self.k)
        generator = torch.Generator().manual_seed(self.seed)
        runs = (
            self._lloyd(
                points,
                kmeans_plusplus(points, self.k, generator)
                if init is None
                else init.to(points.device, x.dtype),
            )
            for _ in range(self.n_init)
        )
        best = min(runs, key=lambda run: run.inertia)
        centroids, assignments, sizes = (
            t.to(x.device) for t in (best.centroids, best.assignments, best.sizes)
        )
        return replace(best, centroids=centroids, assignments=assignments, sizes=sizes)

    def _lloyd(self, points: ShardedPoints, start: Tensor) -> KMeansResult:
        centroids = normalize(start, dim=1) if points.unit else start
        nearest = Nearest(points, centroids, chunk=chunk_of(points.device))
        means = _Means(points, len(centroids))
        updates = repaired = 0
        while updates < self.max_iter:
            repaired += _repair(points, nearest)
            centroids = means.update(nearest.labels, centroids)
            updates += 1
            nearest.follow(centroids)
            if int(all_reduce((nearest.labels != means.labels).sum())) <= self.tol * points.count:
                break
        squares = distances(points, centroids, nearest.labels)
        return KMeansResult(
            centroids=centroids,
            assignments=nearest.labels,
            inertia=float(all_reduce(squares.sum(dtype=torch.float64))),
            sizes=_sizes(nearest.labels, len(centroids)),
            iterations=updates,
            repaired=repaired,
        )


def _check(points: ShardedPoints, k: int) -> None:
    n = points.count
    if not 1 <= k <= n:
        raise UserError(f"k-means: k = {k} clusters of {n} items; choose k from 1 to {n}")
    # No copy; the norm of a row with a NaN is none, and compares as false.
    bad = torch.cat([~(torch.linalg.vector_norm(part, dim=1) <= LARGEST) for part in points.x.split(BLOCK)])
    rows = all_gather_rows(bad.nonzero()[:, 0] + points.first)
    if len(rows):
        raise UserError(
            f"k-means: features of {len(rows)} items are NaN, infinite or too large, first in row {int(rows[0])}. "
            f"Try: look at this item with `xdcbench data verify`; where it is sound, train the encoder again at a "
            f"lower learning rate"
        )


class _Means:
    """Means of the clusters, by float64 sums that follow the points that change their cluster.

    Attributes:
        labels: int64 (n,), what the sums are of; -1 before the first.
    """

    def __init__(self, points: ShardedPoints, k: int) -> None:
        self.points = points
        self.labels = torch.full((len(points.x),), -1, device=points.device)
        self.sums = torch.zeros(k, points.x.shape[1], dtype=torch.float64, device=points.device)

    def update(self, labels: Tensor, centroids: Tensor) -> Tensor:
        """Means, float32 (k, d), of the points of all processes; an empty cluster keeps its centroid.

        Args:
            labels: int64 (n,), this process's points.
            centroids: float32 (k, d).
        """
        for where in self.points.chunks(chunk_of(self.points.device)):
            before, now = self.labels[where], labels[where]
            moved = (before != now).nonzero()[:, 0]
            if len(moved) == 0:
                continue
            rows = self.points.rows(where if len(moved) == len(now) else moved + where.start).double()
            self.sums += _sums(rows, now[moved], len(centroids))
            # Nothing was counted yet, or all was.
            if before[0] >= 0:
                self.sums -= _sums(rows, before[moved], len(centroids))
        self.labels = labels.clone()
        sizes = _sizes(labels, len(centroids))
        means = (all_reduce(self.sums.clone()) / sizes.clamp(min=1)[:, None]).float()
        if self.points.unit:
            means = normalize(means, dim=1)
        kept = (sizes > 0) & (means != 0).any(dim=1) if self.points.unit else sizes > 0
        return torch.where(kept[:, None], means, centroids)


def _sums(rows: Tensor, labels: Tensor, k: int) -> Tensor:
    # Sums of sorted rows are ordered, hence deterministic on CUDA too.
    counts = labels.bincount(minlength=k)
    return embedding_bag(labels.argsort(stable=True), rows, counts.cumsum(0) - counts, mode="sum")


def _sizes(labels: Tensor, k: int) -> Tensor:
    return all_reduce(labels.bincount(minlength=k))


def _repair(points: ShardedPoints, nearest: Nearest) -> int:
    """Give each empty cluster a point, in the labels; return how many were given one."""
    k = len(nearest.centroids)
    sizes = _sizes(nearest.labels, k).tolist()
    empty = [cluster for cluster, size in enumerate(sizes) if size == 0]
    if not empty:
        return 0
    # A cluster denies its last point at most once, so that 2k candidates are enough, wherever they are.
    squares = distances(points, nearest.centroids, nearest.labels)
    own = squares.argsort(descending=True, stable=True)[: 2 * k]
    far, donors, numbers = (
        all_gather_rows(t) for t in (squares[own], nearest.labels[own], own + points.first)
    )
    order = far.argsort(descending=True, stable=True)[: 2 * k]
    waiting = iter(empty)
    given = 0
    for number, donor, distance in zip(
        numbers[order].tolist(), donors[order].tolist(), far[order].tolist(), strict=True
    ):
        if given == len(empty) or distance == 0:
            break
        if sizes[donor] > 1:
            sizes[donor] -= 1
            cluster = next(waiting)
            given += 1
            if 0 <= (row := number - points.first) < len(points.x):
                # Its bounds may stay: the centroid now moves onto the point, from no nearer than the lower bound
                # of the others, and so lifts the upper one above it. The point is searched for.
                nearest.labels[row] = cluster
    return given
