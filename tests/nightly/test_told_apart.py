"""Fusion where it must help: classes that only audio tells, beside classes that only video tells."""

from pathlib import Path

import pytest

from tests.integration.helpers import xdcbench
from xdcbench.results.records import Record, read_records
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.predictions import cell_interval

pytestmark = pytest.mark.nightly

SUITE = Path(__file__).with_name("told_apart.yaml")
ALONE = 62.5
"""Most that one modality can have right on average, per cent: four classes of eight, and one in four of the rest."""


def test_both_modalities_tell_what_each_alone_cannot(tmp_path: Path) -> None:
    done = xdcbench("run", "--suite", SUITE, "--results", tmp_path, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    store = RunStore(tmp_path, write=False)
    records = [record for record in read_records([store]) if record.dataset == "kinetics400"]
    for method, least in (("scratch", 70.0), ("supervised-kinetics", 95.0)):
        fused = [r for r in records if (r.method, r.evaluation) == (method, "fusion")]
        top1 = {r.hyperparameters["modalities"]: r for r in fused if r.metric == "top1"}
        assert top1["fused"].value > least
        for name in ("audio", "video"):
            assert low(top1[name], store) < ALONE
        gains = [record for record in fused if record.metric == "top1_gain"]
        assert len(gains) == 2
        assert all(low(gain, store) > 10 for gain in gains), "points"
    for name, metric in (("fusion_retrieval", "recall_at_1"), ("fusion_low_shot", "top1")):
        fused = [r for r in records if (r.method, r.evaluation) == ("supervised-kinetics", name)]
        both = [r for r in fused if r.metric == metric and r.hyperparameters["modalities"] == "fused"]
        assert both and all(r.value > 95 for r in both)
        gains = [r for r in fused if r.metric == "top1_gain"]
        assert len(gains) == 2 * len(both) and all(low(gain, store) > 10 for gain in gains)
    near = [r.value for r in records if r.protocol == "knn" and r.method == "supervised-kinetics"]
    assert len(near) == 6 and all(50 < value < 75 for value in near)


def test_items_without_audio_are_left_out(tmp_path: Path) -> None:
    """UCF101's videos of classes with an odd label have no audio track."""
    measured = 'evaluate=[{evaluation: fusion, dataset: ucf101, splits: ["1"]}]'
    alone = "pretraining=[{methods: [scratch]}]"
    words = ("--set", measured, "--set", alone)
    done = xdcbench("run", "--suite", SUITE, "--results", tmp_path, "--device", "cpu", *words)
    assert done.returncode == 0, done.stderr
    assert "8 test and 16 training items of ucf101 split 1 have no video or no audio" in done.stderr
    records = read_records([RunStore(tmp_path, write=False)])
    assert {(r.items_expected, r.items_used, r.train_items_used) for r in records} == {(16, 8, 16)}


def low(record: Record, store: RunStore) -> float:
    interval = cell_interval([record], [store])
    assert interval is not None
    return interval.low
