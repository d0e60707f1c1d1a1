from unittest.mock import patch

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.clustering.assigned import assign
from xdcbench.clustering.kmeans import KMeans
from xdcbench.clustering.nearest import Nearest, Scores
from xdcbench.clustering.points import ShardedPoints


def drawn(*shape: int, seed: int, far: float = 0.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + far


def exact(x: Tensor, centroids: Tensor) -> Tensor:
    """Squared distances of all to all, (n, k), float64."""
    return (x.double()[:, None] - centroids.double()).square().sum(dim=2)


@settings(max_examples=60, deadline=None)
@given(
    d=st.integers(1, 600),
    seed=st.integers(0, 999),
    far=st.sampled_from([0.0, 3.0, 1000.0]),
    scale=st.sampled_from([1e-3, 1.0, 1e4]),
)
def test_rounding_stays_within_its_bound(d: int, seed: int, far: float, scale: float) -> None:
    x, centroids = (scale * drawn(n, d, seed=seed + n, far=far) for n in (20, 7))
    origin = centroids.mean(dim=0)
    scores = Scores(centroids, origin)
    squares = (x - origin).square().sum(dim=1).double()
    off = (squares[:, None] + scores(x).double() - exact(x, centroids)).abs()
    assert (off <= scores.error(squares)[:, None]).all()


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 6),
    k=st.integers(1, 9),
    seed=st.integers(0, 999),
    far=st.sampled_from([0.0, 100.0]),
    steps=st.lists(st.sampled_from([0.0, 1e-3, 0.1, 3.0]), max_size=6),
    chunk=st.integers(1, 60),
)
def test_labels_follow_centroids_wherever_they_move(
    n: int, d: int, k: int, seed: int, far: float, steps: list[float], chunk: int
) -> None:
    x, centroids = drawn(n, d, seed=seed, far=far), drawn(k, d, seed=seed + 1, far=far)
    nearest = Nearest(ShardedPoints.of(x), centroids, chunk=chunk)
    for number, step in enumerate([0.0, *steps]):
        # Some centroids move, others stay.
        moves = torch.arange(k)[:, None] % 2 == number % 2
        centroids = centroids + moves * step * drawn(k, d, seed=seed + 2 + number)
        nearest.follow(centroids)
        distances = exact(x, centroids)
        own = distances.gather(1, nearest.labels[:, None])[:, 0]
        # What rounding can make of a search of all, and no more.
        rounding = Scores(centroids, nearest.origin).error(nearest.squares)
        assert (own - distances.amin(dim=1) <= 2 * rounding).all()


def test_followed_labels_are_those_of_a_full_search() -> None:
    x = drawn(4000, 16, seed=0) + 2 * drawn(30, 16, seed=1)[torch.arange(4000) % 30]
    for seed in range(4):
        found = KMeans(k=20, seed=seed, max_iter=15).fit(x)
        assert torch.equal(found.assignments, assign(x, found.centroids)[0])


def searched(x: Tensor, k: int, iterations: int) -> float:
    """Share of the points whose distances to all centroids were computed, per update."""
    rows = []
    whole = Scores.__call__

    def counted(self: Scores, x: Tensor) -> Tensor:
        rows.append(len(x))
        return whole(self, x)

    with patch.object(Scores, "__call__", counted):
        found = KMeans(k=k, seed=0, max_iter=iterations).fit(x, init=x[:k])
    return sum(rows) / len(x) / (1 + found.iterations)


def test_points_deep_inside_a_cluster_are_not_searched_again() -> None:
    x = drawn(6000, 64, seed=0)
    assert searched(x, 20, 5) == pytest.approx(1, abs=0.02)
    assert searched(x + 3 * drawn(200, 64, seed=1)[torch.arange(6000) % 200], 20, 30) < 0.6


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_low_precision_elsewhere_is_none_here(precision: str) -> None:
    x = drawn(4000, 16, seed=0)
    expected = KMeans(k=20, seed=0, max_iter=5).fit(x)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = KMeans(k=20, seed=0, max_iter=5).fit(x)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert torch.equal(found.centroids, expected.centroids)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("room", [0.0, 0.5])
def test_points_that_do_not_fit_a_gpu_are_moved_in_chunks(room: float) -> None:
    x = drawn(4000, 16, seed=0) + 3 * drawn(30, 16, seed=1)[torch.arange(4000) % 30]
    with patch("xdcbench.clustering.points.ROOM", room):
        found = KMeans(k=20, seed=0).fit(x, device=torch.device("cuda"))
    assert not found.assignments.is_cuda
    assert found.inertia == pytest.approx(KMeans(k=20, seed=0).fit(x).inertia, rel=1e-5)
