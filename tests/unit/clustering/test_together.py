"""Two and three processes find what one finds of all the rows in their order."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from xdcbench.clustering.kmeans import KMeans
from xdcbench.clustering.preprocess import fit
from xdcbench.errors import UserError
from xdcbench.utils.distributed import all_gather_rows, rank, world_size
from xdcbench.utils.processes import start, stop

ROOT = Path(__file__).parents[3]


def cloud(n: int, d: int, *, modes: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    if modes:
        x += 5 * torch.randn(modes, d, generator=generator)[torch.randint(modes, (n,), generator=generator)]
    return x


CROWDED = torch.tensor([[0.0], [300.0], [-500.0], [60.0]])
"""From here the clusters 1 and 2 of ``LINE`` are empty at once."""
LINE = torch.tensor([[0.0], [1.0], [2.0], [100.0], [10.0], [10.0]])

CASES: dict[str, tuple[Tensor, dict[str, Any]]] = {
    "unstructured": (cloud(3001, 16), {"k": 12}),
    "structured": (cloud(3001, 16, modes=30), {"k": 25, "max_iter": 60}),
    "sampled start": (cloud(3001, 4, modes=9), {"k": 5, "n_init": 3}),
    "tolerant": (cloud(3001, 16), {"k": 12, "tol": 0.05}),
    "spherical": (cloud(3001, 16, modes=30), {"k": 25, "spherical": True}),
    "repaired": (LINE, {"k": 4, "max_iter": 1, "init": CROWDED}),
    "few": (cloud(4, 3), {"k": 3}),
}


def share(x: Tensor, kind: str, number: int, of: int) -> Tensor:
    """Uneven parts; of ``lacking``, the first process's is empty."""
    cuts = (
        [0, len(x) // 5, len(x) // 2, len(x)][: of + 1] if kind == "uneven" else [0, 0, len(x) // 3, len(x)]
    )
    cuts = [*cuts[:of], len(x)]
    return x[cuts[number] : cuts[number + 1]]


def found_of(x: Tensor, options: dict[str, Any]) -> dict[str, Tensor]:
    settings = {name: value for name, value in options.items() if name != "init"}
    found = KMeans(seed=3, **settings).fit(x, init=options.get("init"))
    counts = torch.tensor([found.iterations, found.repaired])
    return {
        "centroids": found.centroids,
        "assignments": all_gather_rows(found.assignments),
        "sizes": found.sizes,
        "inertia": torch.tensor(found.inertia, dtype=torch.float64),
        "counts": counts,
    }


def work(folder: Path) -> None:
    """What each process does: all cases, both ways to share; and mistakes, which all must notice."""
    torch.set_num_threads(1)
    start()
    results = {}
    for kind in ("uneven", "lacking"):
        for name, (x, options) in CASES.items():
            for key, value in found_of(share(x, kind, rank(), world_size()), options).items():
                results[f"{kind}/{name}/{key}"] = value.clone()
        prepared = fit(
            share(cloud(500, 6) * torch.arange(1, 7), kind, rank(), world_size()), mode="pca_whiten_l2", dim=4
        )
        results |= {f"{kind}/mean": prepared.mean, f"{kind}/axes": prepared.axes.contiguous()}
    bad = cloud(20, 2)
    bad[17] = torch.nan
    for x, k, message in (
        (bad, 2, "1 items are NaN, infinite or too large, first in row 17"),
        (LINE, 7, "from 1 to 6"),
    ):
        with pytest.raises(UserError, match=message):
            KMeans(k=k, seed=0).fit(share(x, "uneven", rank(), world_size()))
    save_file(results, folder / f"{rank()}.safetensors")
    stop()


@pytest.fixture(scope="module", params=[2, 3])
def together(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Tensor]]:
    """What each of several processes found."""
    folder, of = tmp_path_factory.mktemp("together"), request.param
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {
        "WORLD_SIZE": str(of),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    place["PYTHONPATH"] = str(Path(__file__).parents[1])
    code = f"from pathlib import Path; from {__name__} import work; work(Path({str(folder)!r}))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | place | {"RANK": str(number)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(of)
    ]
    for process in processes:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    return [load_file(folder / f"{number}.safetensors") for number in range(of)]


@pytest.mark.parametrize("kind", ["uneven", "lacking"])
@pytest.mark.parametrize("name", CASES)
def test_all_processes_find_what_one_finds(together: list[dict[str, Tensor]], kind: str, name: str) -> None:
    x, options = CASES[name]
    expected = found_of(x, options)
    for results in together:
        found = {key: results[f"{kind}/{name}/{key}"] for key in expected}
        for key in ("assignments", "sizes", "counts"):
            assert torch.equal(found[key], expected[key]), key
        torch.testing.assert_close(found["centroids"], expected["centroids"], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found["inertia"], expected["inertia"], rtol=1e-6, atol=0)
    first, *others = together
    for other in others:
        assert torch.equal(other[f"{kind}/{name}/centroids"], first[f"{kind}/{name}/centroids"])
    assert (name != "repaired") == (int(expected["counts"][1]) == 0)


@pytest.mark.parametrize("kind", ["uneven", "lacking"])
def test_a_pca_is_of_the_rows_of_all(together: list[dict[str, Tensor]], kind: str) -> None:
    expected = fit(cloud(500, 6) * torch.arange(1, 7), mode="pca_whiten_l2", dim=4)
    for results in together:
        torch.testing.assert_close(results[f"{kind}/mean"], expected.mean)
        signs = (results[f"{kind}/axes"] * expected.axes).sum(dim=0).sign()
        torch.testing.assert_close(results[f"{kind}/axes"] * signs, expected.axes)
        assert torch.equal(results[f"{kind}/axes"], together[0][f"{kind}/axes"])
