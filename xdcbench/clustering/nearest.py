"""Nearest centroids: of all points, and of those alone whose nearest may have changed."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from xdcbench.clustering.points import ShardedPoints

CACHED = 4096
"""Points at a time on a CPU: enough for its threads to share, few enough for its caches to hold their distances."""
FEW = 8
"""Threads up to which NumPy's search for the lowest of a row, on one, is as fast as torch's on all; on two, 4 times."""
LAUNCHED = 32_768
"""Points at a time on a GPU, which many small kernels would keep waiting."""


class Scores:
    """|x - c|^2 - |x - o|^2 of points x, centroids c and one origin o.

    Measuring the centroids from the origin, but not the points, |c - o|^2 + 2 o.(c - o) - 2 x.(c - o) costs no
    copy of x and spares features far from zero (after a ReLU, say) the cancellation of large products.

    Args:
        centroids: float32 (k, d).
        origin: float32 (d,), near the points.
    """

    def __init__(self, centroids: Tensor, origin: Tensor) -> None:
        offsets = centroids.double() - origin.double()
        products = offsets.square().sum(dim=1) + 2 * (offsets @ origin.double())
        self.weight, self.bias = (-2 * offsets).float(), products.float()
        # Fused in oneDNN, whose float32 kernels use AVX-512 on every maker's processors; MKL's, behind addmm,
        # do so on Intel's alone: 223 against 97 GFLOP/s for one thread of a Zen 5.
        self.fused = centroids.device.type == "cpu" and torch.backends.mkldnn.is_available()
        # A sum of d float32 products in any order is off by at most d * 2^-24 (to first order) of the sum of
        # their magnitudes (Higham 2002, section 3.1). Twice that, and a little, covers the rest.
        self.unit = (centroids.shape[1] + 8) * 2.0**-23
        # The smallest normal number for each unit in ``error`` covers the products that underflow.
        tiny = torch.finfo(torch.float32).tiny / 2.0**-24
        self.longest, self.far = float(offsets.norm(dim=1).max()), float(products.abs().max()) + tiny
        self.distance = float(origin.double().norm())

    def __call__(self, x: Tensor) -> Tensor:
        """Float32 (n, k) of points, float32 (n, d)."""
        if self.fused:
            scores: Tensor = torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")
            return scores
        return torch.addmm(self.bias, x, self.weight.T)

    def error(self, squares: Tensor) -> Tensor:
        """Bound of the rounding of |x - o|^2 + score, float64 (n,), of squares |x - o|^2 in float32, float64 (n,)."""
        lengths = squares.sqrt() + self.distance
        return self.unit * (squares + 2 * self.longest * lengths + self.far)


class Nearest:
    """Nearest centroids of points, followed as the centroids move.

    Each point keeps an upper bound of the distance to its own centroid and a lower one of that to any other
    (Hamerly 2010, "Making k-means even faster"). What the centroids have moved loosens both; while they lie
    further apart than float32 could confuse, a search would find the same centroid, and is spared. Bounds are
    float64 and allow for the rounding of the float32 distances that they come from.

    Attributes:
        labels: int64 (n,), this process's points; the lowest index wins a tie.
    """

    def __init__(self, points: ShardedPoints, centroids: Tensor, *, chunk: int) -> None:
        self.points, self.chunk = points, chunk
        self.centroids, self.origin = centroids, centroids.mean(dim=0)
        self.labels = torch.zeros(len(points.x), dtype=torch.int64, device=points.device)
        bounds = torch.zeros(3, len(points.x), dtype=torch.float64, device=points.device)
        self.upper, self.lower, self.squares = bounds
        self.upper += torch.inf
        for where in points.chunks(chunk):
            self.squares[where] = (points.rows(where) - self.origin).square_().sum(dim=1)
        self.follow(centroids)

    def follow(self, centroids: Tensor) -> None:
        """Bring ``labels`` up to date with centroids, float32 (k, d), that have moved."""
        drift = (centroids.double() - self.centroids.double()).norm(dim=1)
        (most, second), (fastest, _) = torch.cat([drift, drift.new_zeros(1)]).topk(2)
        scores = Scores(centroids, self.origin)
        self.centroids = centroids
        for where in self.points.chunks(self.chunk):
            labels, upper, lower = self.labels[where], self.upper[where], self.lower[where]
            upper += drift[labels]
            lower -= torch.where(labels == fastest, second, most)
            lower.clamp_(min=0)
            apart = (lower - upper) * (lower + upper)
            unsure = (apart <= 2 * scores.error(self.squares[where])).nonzero()[:, 0]
            if 2 * len(unsure) > len(labels):
                self._search(where, scores)
            elif len(unsure):
                self._search(unsure + where.start, scores)

    def _search(self, where: slice | Tensor, scores: Scores) -> None:
        squares, found = self.squares[where], scores(self.points.rows(where))
        labels = lowest(found)[:, None]
        best = found.gather(1, labels)[:, 0]
        others = found.scatter_(1, labels, torch.inf).amin(dim=1)
        error = scores.error(squares)
        self.labels[where] = labels[:, 0]
        self.upper[where] = (squares + best + error).clamp_(min=0).sqrt_()
        self.lower[where] = (squares + others - error).clamp_(min=0).sqrt_()


def lowest(scores: Tensor) -> Tensor:
    """Column of the lowest of each row of float32 (n, k), int64 (n,); the first of equals."""
    # torch looks at one number at a time, NumPy at as many as the processor's vectors hold.
    if scores.device.type == "cpu" and torch.get_num_threads() <= FEW:
        return torch.from_numpy(scores.numpy().argmin(axis=1))
    return scores.argmin(dim=1)


def distances(points: ShardedPoints, centroids: Tensor, labels: Tensor) -> Tensor:
    """Squared distances of this process's points to the centroids of their labels, float32 (n,).

    They come from differences, free of cancellation.
    """
    found = torch.empty(len(labels), device=points.device)
    for where in points.chunks(chunk_of(points.device)):
        found[where] = (points.rows(where) - centroids[labels[where]]).square_().sum(dim=1)
    return found


@contextmanager
def full_precision() -> Iterator[None]:
    """Within, products of float32 are neither TF32 nor under autocast, as ``Scores.error`` takes for granted."""
    # By kind of device; the older setting for all refuses to be read once one of these was set.
    products = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    before = [of.fp32_precision for of in products]
    try:
        for of in products:
            of.fp32_precision = "ieee"
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        for of, precision in zip(products, before, strict=True):
            of.fp32_precision = precision


def chunk_of(device: torch.device) -> int:
    """Points to work on at a time."""
    return CACHED if device.type == "cpu" else LAUNCHED
