"""Real data from prepared stores beside the original files."""

from pathlib import Path

import pytest

from tests.integration.helpers import records, xdcbench

TOLERANCE = 10.0
"""Points by which the mean over all shares of right items may move; one seed of small sets moves as much."""


@pytest.mark.nightly
def test_real_small_from_stores_beside_files(shared_data: Path, tmp_path: Path) -> None:
    for name in ("grid", "esc10"):
        words = ("--data-root", shared_data, "--store", tmp_path / "stores" / name)
        done = xdcbench("data", "prepare", name, *words)
        assert done.returncode == 0, done.stderr
    means = {}
    for out, words in (("files", ("--data-root", shared_data)), ("stores", ("--store", tmp_path / "stores"))):
        done = xdcbench("run", "--suite", "real-small", "--out", tmp_path / out, *words)
        assert done.returncode == 0, done.stderr
        rows = [row for of in records(tmp_path / out).values() for row in of if row["metric"] == "top1"]
        assert all((row["store"] is not None) == (out == "stores") for row in rows)
        means[out] = sum(row["value"] for row in rows) / len(rows)
    assert abs(means["files"] - means["stores"]) < TOLERANCE, means
