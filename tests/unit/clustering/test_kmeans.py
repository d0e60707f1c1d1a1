import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import faiss
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import cluster
from torch import Tensor
from torch.nn.functional import normalize

from tests.unit.clustering.assigned import assign
from xdcbench.clustering import kmeans
from xdcbench.clustering.kmeans import KMeans, KMeansResult
from xdcbench.config.models import AudioInput
from xdcbench.data.media.audio import read_audio
from xdcbench.data.media.video import read_clip
from xdcbench.data.spectrogram import LogMel
from xdcbench.errors import UserError

rounding = {"rel": 1e-5}


def cloud(n: int, d: int, *, seed: int = 0, modes: int = 0, far: float = 0.0) -> Tensor:
    """Normal points, around ``modes`` centers if there are any, ``far`` from the origin."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=generator)
    if modes:
        x += 5 * torch.randn(modes, d, generator=generator)[torch.randint(modes, (n,), generator=generator)]
    return x + far


def group_means(x: Tensor, k: int) -> Tensor:
    """A start from which no cluster falls empty: peers' rules for empty clusters differ."""
    return torch.stack([x[i::k].mean(dim=0) for i in range(k)])


def exact(x: Tensor, centroids: Tensor) -> Tensor:
    """Squared distances of all to all, (n, k), float64."""
    return (x.double()[:, None] - centroids.double()).square().sum(dim=2)


def check(x: Tensor, found: KMeansResult) -> None:
    """What must hold of any clustering."""
    distances = exact(x, found.centroids)
    k = len(found.centroids)
    own = distances.gather(1, found.assignments[:, None])[:, 0]
    # Rounding is that of the points' spread and, where they are all alike, of the points themselves.
    scale = float(exact(x, x.mean(dim=0, keepdim=True)).max() + 1e-6 * x.square().sum(dim=1).max())
    assert found.centroids.dtype == torch.float32
    assert found.centroids.isfinite().all()
    assert found.assignments.dtype == found.sizes.dtype == torch.int64
    assert (own - distances.amin(dim=1)).max() <= 1e-5 * scale
    assert found.inertia == pytest.approx(float(own.sum()), rel=1e-5, abs=1e-6 * scale)
    assert found.sizes.tolist() == np.bincount(found.assignments.numpy(), minlength=k).tolist()
    assert int(found.sizes.sum()) == len(x)


DATA = {
    "unstructured": cloud(3000, 16),
    "structured": cloud(3000, 16, modes=20),
    "far": cloud(3000, 16, modes=20, far=300.0),
}


@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("iterations", [1, 10, 300])
def test_agrees_with_scikit_learn(name: str, iterations: int) -> None:
    x = DATA[name]
    start = group_means(x, 12)
    found = KMeans(k=12, seed=0, max_iter=iterations).fit(x, init=start)
    referee = cluster.KMeans(12, init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd")
    referee.fit(x.double().numpy())
    check(x, found)
    assert found.inertia == pytest.approx(referee.inertia_, **rounding)
    assert found.repaired == 0


@pytest.mark.parametrize("name", ["unstructured", "structured"])
def test_agrees_with_faiss(name: str) -> None:
    x = DATA[name]
    start = group_means(x, 12)
    referee = faiss.Kmeans(16, 12, niter=10, max_points_per_centroid=len(x))
    referee.train(x.numpy(), init_centroids=start.numpy())
    found = KMeans(k=12, seed=0, max_iter=10).fit(x, init=start)
    expected = float(exact(x, torch.from_numpy(referee.centroids)).amin(dim=1).sum())
    assert found.inertia == pytest.approx(expected, **rounding)


def frames(folder: Path) -> dict[str, Tensor]:
    """Log-mel frames of real recordings and small frames of real clips, one row each."""
    waves = [
        read_audio(path, start=0, seconds=2, sample_rate=16_000)
        for path in sorted(folder.glob("esc10/audio/*"))[:24]
    ]
    clips = [
        read_clip(path, start=0, frames=50, fps=25, short_side=16)
        for path in sorted(folder.glob("grid/video/*"))[:24]
    ]
    mels = LogMel(AudioInput())(torch.stack(waves))[:, 0].transpose(1, 2)
    return {"audio": mels.reshape(-1, 40), "video": torch.cat(clips).flatten(1).float() / 255}


def test_agrees_with_both_on_features_of_real_clips(shared_data: Path) -> None:
    for x in frames(shared_data).values():
        n, d = x.shape
        # A start that has settled a little, so that no cluster falls empty.
        start = KMeans(k=16, seed=0, max_iter=3).fit(x).centroids
        found = KMeans(k=16, seed=0, max_iter=10).fit(x, init=start)
        referee = cluster.KMeans(16, init=start, n_init=1, max_iter=10, tol=0, algorithm="lloyd")
        assert found.inertia == pytest.approx(referee.fit(x.double().numpy()).inertia_, **rounding)
        other = faiss.Kmeans(d, 16, niter=10, max_points_per_centroid=n)
        other.train(x.numpy(), init_centroids=start.numpy())
        expected = float(exact(x, torch.from_numpy(other.centroids)).amin(dim=1).sum())
        assert found.inertia == pytest.approx(expected, **rounding)
        check(x, found)


def test_spherical_agrees_with_faiss() -> None:
    x = DATA["structured"] * torch.arange(1, 3001)[:, None]  # lengths must not matter
    unit = normalize(x, dim=1)
    start = normalize(group_means(unit, 12), dim=1)
    referee = faiss.Kmeans(16, 12, niter=10, spherical=True, max_points_per_centroid=len(x))
    referee.train(unit.numpy(), init_centroids=start.numpy())
    found = KMeans(k=12, seed=0, max_iter=10, spherical=True).fit(x, init=3 * start)
    check(unit, found)
    torch.testing.assert_close(found.centroids.norm(dim=1), torch.ones(12))
    cosines = unit.double() @ torch.from_numpy(referee.centroids).double().T
    assert found.inertia == pytest.approx(float((2 - 2 * cosines.amax(dim=1)).sum()), **rounding)


@pytest.mark.parametrize("iterations", [1, 20])
def test_spherical_keeps_opposites_and_zeros_finite(iterations: int) -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.0, 5.0]])
    found = KMeans(k=1, seed=0, max_iter=iterations, spherical=True).fit(x, init=torch.tensor([[0.0, -2.0]]))
    torch.testing.assert_close(found.centroids, torch.tensor([[0.0, 1.0]]))
    kept = KMeans(k=1, seed=0, spherical=True).fit(x[:2], init=torch.tensor([[0.0, -2.0]]))
    assert kept.centroids.tolist() == [[0.0, -1.0]]


MAPPED = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from xdcbench.clustering.kmeans import KMeans
n, d = 120_000, 512
file = np.memmap(sys.argv[1], np.float32, "w+", shape=(n, d))
for part in np.array_split(file, 60):
    part[:] = np.random.default_rng(0).standard_normal(part.shape, dtype=np.float32)
x = torch.from_numpy(file)
KMeans(k=4, seed=0, max_iter=1).fit(x[:5000])
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + x.nbytes // 4,) * 2)
try:
    x.clone()
except RuntimeError:
    print("a copy is too large;", KMeans(k=4, seed=0, max_iter=2, n_init=2).fit(x).sizes.sum().item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_a_mapped_file_larger_than_the_memory_allowed(tmp_path: Path) -> None:
    words = [sys.executable, "-c", MAPPED, tmp_path / "x"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.stdout == "a copy is too large; 120000\n", done.stderr


def test_the_start_is_as_good_as_scikit_learns() -> None:
    x = cloud(2000, 8, modes=25)
    own = np.median([KMeans(k=25, seed=s, max_iter=1).fit(x).inertia for s in range(9)])
    referee = [
        cluster.KMeans(25, n_init=1, max_iter=1, random_state=s).fit(x.numpy()).inertia_ for s in range(9)
    ]
    random = [KMeans(k=25, seed=0, max_iter=1).fit(x, init=x[25 * s : 25 * s + 25]).inertia for s in range(9)]
    assert own < 1.25 * np.median(referee)
    assert own < 0.6 * np.median(random)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 5),
    data=st.data(),
    seed=st.integers(0, 999),
    distinct=st.integers(1, 60),
    iterations=st.integers(1, 8),
)
def test_every_point_has_its_nearest_centroid(
    n: int, d: int, data: st.DataObject, seed: int, distinct: int, iterations: int
) -> None:
    points = cloud(n, d, seed=seed)
    x = points[torch.arange(n) % distinct]
    k = data.draw(st.integers(1, n))
    chunk = data.draw(st.integers(1, n))
    with patch.object(kmeans, "chunk_of", lambda device: chunk):
        found = KMeans(k=k, seed=seed, max_iter=iterations).fit(x)
    check(x, found)
    assert 1 <= found.iterations <= iterations


@settings(max_examples=25, deadline=None)
@given(n=st.integers(8, 80), k=st.integers(2, 8), seed=st.integers(0, 999), crowded=st.booleans())
def test_inertia_never_rises(n: int, k: int, seed: int, crowded: bool) -> None:
    x = cloud(n, 3, seed=seed)
    # A crowded start, one point k times over, has all clusters but one fall empty at once.
    start = x[:1].repeat(k, 1) if crowded else x[:k]
    course = [KMeans(k=k, seed=0, max_iter=i).fit(x, init=start).inertia for i in range(8)]
    assert all(after <= before * (1 + 1e-5) for before, after in pairwise(course))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(6, 80), k=st.integers(1, 6), seed=st.integers(0, 999))
def test_permuted_rows_have_permuted_labels(n: int, k: int, seed: int) -> None:
    x = cloud(n, 3, seed=seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    straight = KMeans(k=k, seed=0).fit(x, init=x[:k])
    permuted = KMeans(k=k, seed=0).fit(x[order], init=x[:k])
    assert torch.equal(permuted.assignments, straight.assignments[order])


def test_a_seed_decides_the_result() -> None:
    x = DATA["unstructured"]
    first, again, other = (KMeans(k=9, seed=s).fit(x) for s in (1, 1, 2))
    assert torch.equal(first.centroids, again.centroids)
    assert torch.equal(first.assignments, again.assignments)
    assert not torch.equal(first.assignments, other.assignments)


@pytest.mark.parametrize("chunk", [7, 1000, 100_000])
def test_the_chunk_changes_no_label(chunk: int) -> None:
    x = DATA["unstructured"]
    whole = KMeans(k=9, seed=1).fit(x)
    with patch.object(kmeans, "chunk_of", lambda device: chunk):
        parts = KMeans(k=9, seed=1).fit(x)
    assert torch.equal(parts.assignments, whole.assignments)
    assert parts.inertia == pytest.approx(whole.inertia, rel=1e-7)


def test_blocks_of_the_sums_join() -> None:
    x = cloud(70_000, 2)
    found = KMeans(k=4, seed=0, max_iter=1).fit(x, init=x[:4])
    labels, _ = assign(x, x[:4])
    expected = torch.stack([x[labels == i].double().mean(dim=0) for i in range(4)])
    torch.testing.assert_close(found.centroids.double(), expected, rtol=1e-5, atol=1e-6)


def test_of_several_restarts_the_best_is_kept() -> None:
    x = DATA["unstructured"]
    one, many = ([KMeans(k=9, seed=s, n_init=r).fit(x).inertia for s in range(4)] for r in (1, 4))
    assert all(best <= first for best, first in zip(many, one, strict=True))
    assert sum(many) < sum(one)


def test_a_fixed_point_stops_the_run_and_a_tolerance_stops_it_sooner() -> None:
    x = DATA["unstructured"]
    fixed = KMeans(k=12, seed=0, max_iter=10_000).fit(x)
    loose = KMeans(k=12, seed=0, max_iter=10_000, tol=0.02).fit(x)
    assert loose.iterations < fixed.iterations < 10_000
    further = KMeans(k=12, seed=0, max_iter=1).fit(x, init=fixed.centroids)
    assert torch.equal(further.centroids, fixed.centroids)
    check(x, loose)


def test_the_lowest_index_wins_a_tie() -> None:
    x = torch.tensor([[0.0], [2.0], [-2.0]])
    labels, distances = assign(x, torch.tensor([[1.0], [-1.0], [1.0]]))
    assert labels.tolist() == [0, 0, 1]
    assert distances.tolist() == [1, 1, 1]


def test_distances_are_free_of_cancellation() -> None:
    x = cloud(200, 8, far=1000.0)
    labels, distances = assign(x, x[:5])
    expected, nearest = exact(x, x[:5]).min(dim=1)
    torch.testing.assert_close(distances.double(), expected, rtol=1e-5, atol=0)
    assert (labels == nearest).float().mean() > 0.99


def test_an_empty_cluster_takes_the_farthest_point_that_can_leave() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0], [100.0], [10.0]])
    # All but 100 lie nearest to the first centroid, none to the two that are far away. 100 is the
    # farthest of all, but alone in its cluster; so 10 moves first and 2 second, to the clusters in order.
    start = torch.tensor([[0.0], [300.0], [-500.0], [60.0]])
    found = KMeans(k=4, seed=0, max_iter=1).fit(x, init=start)
    assert found.centroids.flatten().tolist() == [0.5, 10, 2, 100]
    assert found.repaired == 2
    assert (found.sizes > 0).all()


@pytest.mark.parametrize("iterations", [1, 20])
def test_fewer_distinct_points_than_clusters(iterations: int) -> None:
    x = torch.tensor([[0.1, 0.2], [0.3, 0.7], [9.9, 0.3]]).repeat(7, 1)
    found = KMeans(k=8, seed=0, max_iter=iterations).fit(x)
    check(x, found)
    assert found.inertia == pytest.approx(0, abs=1e-9)
    assert int((found.sizes == 0).sum()) == 5


@pytest.mark.parametrize("k", [-1, 0, 6])
def test_k_must_fit_the_data(k: int) -> None:
    with pytest.raises(UserError, match=f"k = {k} .* choose k from 1 to 5"):
        KMeans(k=k, seed=0).fit(torch.zeros(5, 2))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e30, 2e18])
def test_the_first_bad_row_is_named(value: float) -> None:
    x = torch.zeros(9, 2)
    x[4, 1] = x[7, 0] = value
    with pytest.raises(UserError, match="2 items are NaN, infinite or too large, first in row 4"):
        KMeans(k=2, seed=0).fit(x)


@settings(max_examples=25, deadline=None)
@given(power=st.integers(-60, 55), seed=st.integers(0, 999))
def test_no_scale_changes_a_label(power: int, seed: int) -> None:
    x = cloud(100, 3, seed=seed)
    plain, scaled = KMeans(k=5, seed=seed).fit(x), KMeans(k=5, seed=seed).fit(x * 2.0**power)
    assert torch.equal(scaled.assignments, plain.assignments)
    assert torch.equal(scaled.centroids, plain.centroids * 2.0**power)


def test_a_start_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"init must be \(2, 3\)"):
        KMeans(k=2, seed=0).fit(torch.zeros(5, 3), init=torch.zeros(3, 3))
    with pytest.raises(ValueError, match="once"):
        KMeans(k=2, seed=0, n_init=2).fit(torch.zeros(5, 3), init=torch.zeros(2, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    x = DATA["structured"]
    cpu, gpu = KMeans(k=20, seed=0).fit(x), KMeans(k=20, seed=0).fit(x.cuda())
    assert gpu.assignments.is_cuda
    assert gpu.inertia == pytest.approx(cpu.inertia, **rounding)
