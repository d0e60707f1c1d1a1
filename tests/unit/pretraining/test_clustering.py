"""Clustering the features of a round, in less memory than they take; its variance against NumPy's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from xdcbench.pretraining.clustering import squared_distances, within_cluster_variance

WITHIN = """
import resource, sys
from pathlib import Path
import numpy as np
import torch
from xdcbench.config.pretraining import Clustering, Pretrain
from xdcbench.pretraining.clustering import Points, cluster
from xdcbench.utils.matrix import write_rows
torch.set_num_threads(1)
folder, preprocess, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3].split(",")
n, d = 240_000, 128
rng = np.random.default_rng(0)
features = {
    name: write_rows(folder / f"{name}.npy", (n, d), (rng.random((6000, d), np.float32) for _ in range(40)))
    for name in names
}
settings = Pretrain(preprocess=preprocess, kmeans_max_iter=1, pca_dim=64)
def found(rows):
    part = {name: of[:rows] for name, of in features.items()}
    points = Points(Clustering(features=tuple(names), k=4), part, np.arange(rows), folder)
    return cluster(points, settings, seed=0, device=torch.device("cpu"))
found(9000)
held = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held * 1024 + 3 * n * d * len(names),) * 2)
try:
    torch.cat([torch.from_numpy(of[:]) for of in features.values()] * 2)
except RuntimeError:
    print("a copy is too large;", len(found(n).assignments))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
@pytest.mark.parametrize(
    ("preprocess", "names"),
    [("l2", "audio"), ("pca_whiten_l2", "video"), ("l2", "video,audio")],
)
def test_points_that_exceed_the_memory_allowed(tmp_path: Path, preprocess: str, names: str) -> None:
    words = [sys.executable, "-c", WITHIN, tmp_path, preprocess, names]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3])
    assert done.stdout == "a copy is too large; 240000\n", done.stderr


def test_variance_within_clusters_is_a_share_of_the_total() -> None:
    """Of more points than a chunk, far from the origin; the referee is NumPy in float64."""
    rng = np.random.default_rng(0)
    of = rng.integers(0, 3, 20_000)
    x = (1000 + 5 * of[:, None] + rng.standard_normal((20_000, 4))).astype(np.float32)
    centers = np.stack([x[of == c].mean(axis=0, dtype=np.float64) for c in range(3)])
    within = np.square(x - centers[of]).sum()
    total = np.square(x - x.mean(axis=0, dtype=np.float64)).sum()
    squares = squared_distances(torch.from_numpy(x), torch.from_numpy(centers).float(), torch.from_numpy(of))
    assert within_cluster_variance(torch.from_numpy(x), squares) == pytest.approx(within / total, rel=1e-3)


def test_a_process_without_points_has_none_of_the_variance() -> None:
    nothing = torch.empty(0, 4)
    squares = squared_distances(nothing, torch.ones(2, 4), torch.empty(0, dtype=torch.int64))
    assert squares.shape == (0,)
    assert within_cluster_variance(nothing, squares) == 0.0
