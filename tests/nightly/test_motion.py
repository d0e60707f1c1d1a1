"""Temporal probes in worlds with and without motion: what reversing takes away is what motion tells."""

from pathlib import Path

import pandas as pd
import pytest

from tests.integration.helpers import xdcbench
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import cell_interval

pytestmark = pytest.mark.nightly

SUITE = Path(__file__).with_name("motion.yaml")
PAIRS = {
    "drift_right": "drift_left",
    "drift_up": "drift_down",
    "grow": "shrink",
    "orbit_clockwise": "orbit_counter",
}
BACKWARD = PAIRS | {there: here for here, there in PAIRS.items()}
"""What each class looks like when its frames run backward."""

NAMES = sorted(BACKWARD)
"""Classes in the order of their labels."""


def measured(out: Path, motion: int) -> tuple[RunStore, list[Record]]:
    """Records of the supervised encoder in a world whose motion has this strength."""
    strength = ("--set", f"world.factors.motion={motion}")
    done = xdcbench("run", "--suite", SUITE, "--results", out, "--device", "cpu", *strength)
    assert done.returncode == 0, done.stderr
    store = RunStore(out, write=False)
    return store, [record for record in read_records([store]) if record.method == "supervised-video"]


def by_variant(records: list[Record], metric: str) -> dict[str, Record]:
    return {
        r.hyperparameters["variant"]: r for r in records if r.protocol == "temporal" and r.metric == metric
    }


def test_an_encoder_that_learned_motion_takes_reversed_clips_for_the_class_that_moves_so(
    tmp_path: Path,
) -> None:
    store, records = measured(tmp_path, 1)
    top1, drops = by_variant(records, "top1"), by_variant(records, "top1_drop")
    assert top1["plain"].value > 85
    for name in ("reversed", "frozen"):
        interval = cell_interval([drops[name]], [store])
        assert interval is not None and interval.low > 40, "points"
    table = pd.read_parquet(store.path(top1["plain"].run) / "predictions.parquet")
    back = table[table["variant"] == "reversed"]
    twin = back["label"].map(lambda label: NAMES.index(BACKWARD[NAMES[label]]))
    assert (back["prediction"] == twin).mean() > 0.6


def test_without_motion_nothing_is_lost(tmp_path: Path) -> None:
    _store, records = measured(tmp_path, 0)
    drops = by_variant(records, "top1_drop")
    assert by_variant(records, "top1")["plain"].value > 20, "by hue; chance is 12.5"
    assert len(drops) == 5 and all(abs(drop.value) < 8 for drop in drops.values()), "points"
