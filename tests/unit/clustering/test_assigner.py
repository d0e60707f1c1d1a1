from pathlib import Path

import pytest
import torch

from xdcbench.clustering.assigner import Assigner, load_assigners, save_assigners
from xdcbench.clustering.kmeans import KMeans
from xdcbench.clustering.preprocess import Mode, fit


@pytest.mark.parametrize("mode", ["none", "l2", "pca_whiten_l2"])
def test_saved_clusterings_assign_their_own_items_alike(mode: Mode, tmp_path: Path) -> None:
    x = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * torch.arange(1, 7)
    prepared = fit(x, mode=mode, dim=3)
    found = KMeans(k=5, seed=0, max_iter=100).fit(prepared(x))
    save_assigners({"a": Assigner(prepared, found.centroids)}, tmp_path / "centroids.safetensors")
    clusters, distances = load_assigners(tmp_path / "centroids.safetensors")["a"](x)
    assert torch.equal(clusters, found.assignments)
    expected = (prepared(x) - found.centroids[clusters]).norm(dim=1)
    torch.testing.assert_close(distances, expected, atol=1e-3, rtol=1e-4)
