"""Speed of k-means beside scikit-learn and faiss, from one start on the same points, in the same run."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytest_benchmark.fixture import BenchmarkFixture

from xdcbench.clustering.kmeans import kmeans

N, D, K, ITERATIONS = 50_000, 512, 256, 10
Array = NDArray[np.float32]


@pytest.fixture(scope="module", params=["unstructured", "structured"])
def points(request: pytest.FixtureRequest) -> Array:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, D), dtype=np.float32)
    if request.param == "structured":
        x += 4 * rng.standard_normal((2 * K, D), dtype=np.float32)[rng.integers(2 * K, size=N)]
    return x


def start(x: Array) -> Array:
    """Means of 64 points each: no cluster falls empty from there, which peers mend by other rules."""
    return x[: 64 * K].reshape(64, K, D).mean(axis=0)


def own(x: Array) -> Array:
    init = torch.from_numpy(start(x))
    return kmeans(torch.from_numpy(x), k=K, seed=0, iterations=ITERATIONS, init=init).centroids.numpy()


def scikit_learn(x: Array) -> Array:
    from sklearn.cluster import KMeans

    referee = KMeans(K, init=start(x), n_init=1, max_iter=ITERATIONS, tol=0, algorithm="lloyd")
    return referee.fit(x).cluster_centers_


def faiss(x: Array) -> Array:
    import faiss

    # Without the bound faiss would train on a subsample.
    referee = faiss.Kmeans(D, K, niter=ITERATIONS, max_points_per_centroid=N)
    referee.train(x, init_centroids=start(x))
    return referee.centroids


def inertia(x: Array, centroids: Array) -> float:
    points, centres = torch.from_numpy(x), torch.from_numpy(centroids)
    return float(torch.cdist(points, centres).amin(dim=1).square().sum(dtype=torch.float64))


@pytest.mark.bench
@pytest.mark.parametrize("peer", [scikit_learn, faiss], ids=["scikit-learn", "faiss"])
def test_no_worse_than_a_peer(
    benchmark: BenchmarkFixture, points: Array, peer: Callable[[Array], Array]
) -> None:
    """The same inertia; the times' ratio, own to peer's, is reported as ``extra_info``."""
    times: dict[str, list[float]] = {"own": [], "peer": []}

    def alternate() -> None:
        # Taking turns lets a busy machine slow both alike.
        for name, method in (("own", own), ("peer", peer)):
            started = time.perf_counter()
            centroids[name] = method(points)
            times[name].append(time.perf_counter() - started)

    centroids: dict[str, Array] = {}
    benchmark.pedantic(alternate, rounds=2, iterations=1, warmup_rounds=1)
    benchmark.extra_info["own / peer"] = round(min(times["own"]) / min(times["peer"]), 3)
    assert inertia(points, centroids["own"]) == pytest.approx(inertia(points, centroids["peer"]), rel=1e-5)
