from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.tiny import CPU
from xdcbench.config.base import DISTANCE
from xdcbench.reports.clusters import distances
from xdcbench.reports.clusters.origin import find_round

Results = tuple[Path, dict[str, str]]


def test_measured_again_they_are_those_that_were_kept(results: Results, world: Path) -> None:
    found = find_round("xdc", None, results[0], data_root=world, shards=())
    kept = distances.distances_of(found, device=CPU, workers=0)
    bare = replace(found, table=found.table.drop(columns=[f"a{DISTANCE}", f"v{DISTANCE}"]))
    again = distances.distances_of(bare, device=CPU, workers=0)
    for name in ("a", "v"):
        inside = (found.table[name] >= 0).to_numpy()
        assert inside.any()
        assert np.isfinite(kept[name][inside]).all()
        assert np.isnan(again[name][~inside]).all()
        np.testing.assert_allclose(again[name][inside], kept[name][inside], rtol=1e-3, atol=1e-4)


def test_a_sample_takes_some_of_every_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "SAMPLE", 5)
    assignments = np.array([-1] * 7 + [0] * 20 + [1] * 3 + [2] * 9)
    found = distances.sample(assignments, seed=0)
    assert np.bincount(assignments[found]).tolist() == [5, 3, 5]
    assert (np.diff(found) > 0).all()
    assert found.tolist() == distances.sample(assignments, seed=0).tolist()
