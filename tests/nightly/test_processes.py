"""Records of one, two and three processes, side by side."""

import sys
from pathlib import Path

import pytest
from tabulate import tabulate

from tests.integration.helpers import PICO, records
from tests.integration.test_torchrun import first_round, processes, same_labels

pytestmark = pytest.mark.nightly
COUNTS = (1, 2, 3)


def test_records_of_one_two_and_three_processes(tmp_path: Path) -> None:
    """Labels of the first round are the same; what is trained may differ by BatchNorm's shares.

    docs/explanation/design.md says why.
    """
    outs = {count: tmp_path / str(count) for count in COUNTS}
    for count, out in outs.items():
        processes(count, "xdcbench", "run", "--suite", PICO, "--results", out, "--device", "cpu")
        same_labels(first_round(outs[1]), first_round(out))
    found = [records(out) for out in outs.values()]
    assert found[0].keys() == found[1].keys() == found[2].keys()
    rows = []
    for key in found[0]:
        for several in zip(*(of[key] for of in found), strict=True):
            assert len({(row["metric"], row["items_used"], row["items_failed"]) for row in several}) == 1
            values = [row["value"] for row in several]
            name = " ".join((key, several[0]["metric"], several[0]["hyperparameters"].get("clustering", "")))
            rows.append((name, *values))
            if key == first_round(outs[1]).name and several[0]["hyperparameters"].get("clustering"):
                assert values == pytest.approx([values[0]] * 3, rel=1e-5), name
    sys.stdout.write(tabulate(rows, ("record", *map(str, COUNTS)), floatfmt=".4f") + "\n")
