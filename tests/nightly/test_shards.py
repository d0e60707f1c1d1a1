"""Real data from prepared shards beside the original files."""

from pathlib import Path

import pytest

from tests.integration.helpers import records, xdcbench

TOLERANCE = 10.0
"""Points by which the mean over all shares of right items may move; one seed of small sets moves as much."""


PREPARED = "prepare=[grid, grid_color, grid_digit, grid_letter, esc10]"


@pytest.mark.nightly
def test_real_small_from_shards_beside_files(shared_data: Path, tmp_path: Path) -> None:
    means = {}
    for out, words in (("files", ()), ("shards", ("--set", PREPARED))):
        suite = ("--suite", "real-small", "--seeds", "0", "--data-root", shared_data)
        done = xdcbench("run", *suite, "--results", tmp_path / out, *words)
        assert done.returncode == 0, done.stderr
        rows = [row for of in records(tmp_path / out).values() for row in of if row["metric"] == "top1"]
        assert all((row["shards"] is not None) == (out == "shards") for row in rows)
        means[out] = sum(row["value"] for row in rows) / len(rows)
    assert abs(means["files"] - means["shards"]) < TOLERANCE, means
