"""Speed of k-means beside scikit-learn and faiss, from one start on the same points, in the same run."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.clustering.kmeans import kmeans

N, D, K, ITERATIONS = 30_000, 512, 256, 10
Array = NDArray[np.float32]


@pytest.fixture(scope="module", params=["unstructured", "structured"])
def points(request: pytest.FixtureRequest) -> Array:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D), dtype=np.float32)
    if request.param == "structured":
        x += 4 * rng.standard_normal((2 * K, D), dtype=np.float32)[rng.integers(2 * K, size=N)]
    return x


@pytest.fixture(scope="module")
def start(points: Array) -> Array:
    """A start that has settled a little, so that no cluster falls empty: peers mend that by other rules."""
    return kmeans(torch.from_numpy(points), k=K, seed=0, iterations=2).centroids.numpy()


def own(x: Array, start: Array) -> Array:
    init = torch.from_numpy(start)
    return kmeans(torch.from_numpy(x), k=K, seed=0, iterations=ITERATIONS, init=init).centroids.numpy()


def scikit_learn(x: Array, start: Array) -> Array:
    from sklearn.cluster import KMeans

    return KMeans(K, init=start, n_init=1, max_iter=ITERATIONS, tol=0).fit(x).cluster_centers_


def faiss(x: Array, start: Array) -> Array:
    import faiss

    # Without the bound faiss would train on a subsample.
    referee = faiss.Kmeans(D, K, niter=ITERATIONS, max_points_per_centroid=N)
    referee.train(x, init_centroids=start)
    return referee.centroids


def inertia(x: Array, centroids: Array) -> float:
    points, centres = torch.from_numpy(x), torch.from_numpy(centroids)
    return float(torch.cdist(points, centres).amin(dim=1).square().sum(dtype=torch.float64))


@pytest.mark.bench
@pytest.mark.parametrize("peer", [scikit_learn, faiss], ids=["scikit-learn", "faiss"])
def test_beside_a_peer(
    benchmark: BenchmarkFixture, points: Array, start: Array, peer: Callable[[Array, Array], Array]
) -> None:
    """The same inertia; the ratio of the times, own to peer's, is reported in ``extra_info``."""
    times: dict[str, list[float]] = {"own": [], "peer": []}
    centroids: dict[str, Array] = {}

    def take_turns() -> None:
        # A busy machine then slows both alike.
        for name, method in (("own", own), ("peer", peer)):
            started = time.perf_counter()
            centroids[name] = method(points, start)
            times[name].append(time.perf_counter() - started)

    benchmark.pedantic(take_turns, rounds=3, iterations=1)
    benchmark.extra_info["own / peer"] = round(min(times["own"]) / min(times["peer"]), 3)
    assert inertia(points, centroids["own"]) == pytest.approx(inertia(points, centroids["peer"]), rel=1e-5)
