"""A results folder of 5,000 runs: its report takes 30 s of processor time and holds 10 MB at most."""

import json
import time
from pathlib import Path

import pytest

from tests.unit.reports.results.made_results import CLUSTERINGS, FACTS, probe, record, run, write
from xdcbench.reports.results.page import write_report
from xdcbench.results.records import write_records
from xdcbench.results.run_store import RunStore
from xdcbench.utils.manifest import write_manifest

pytestmark = pytest.mark.nightly

METHODS, SEEDS, ROUNDS, EVALUATIONS = 40, 5, 5, 20
"""Pretrained are 40 methods with 5 seeds, each through 5 rounds and 20 evaluations."""
SECONDS, BYTES = 30, 10_000_000


def pretraining(store: RunStore, method: int, seed: int) -> None:
    """Rounds of one chain, each with the curves of 10 epochs."""
    before = "init-000000000000"
    for number in range(1, ROUNDS + 1):
        key = f"round-{method:04d}{seed:04d}{number:04d}"
        config = {
            "method": f"method{method}",
            "round": number,
            "seed": seed,
            "clusterings": CLUSTERINGS,
            "heads": {"video": ["a"], "audio": ["v"]},
        }
        name = f"method{method}/kinetics400/seed{seed}/round{number}"
        inputs = {"encoders": before, "data": "index-00000000000a"}
        path = run(store, key, "round", name, config=config, science=config, inputs=inputs)
        rows = [
            {"epoch": e, "video_a_loss": 3.0 / e, "video_a_accuracy": 0.05 * e, "audio_v_loss": 2.0 / e}
            for e in range(1, 11)
        ]
        (path / "metrics.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        settings = [{"round": number, "clustering": name} for name in CLUSTERINGS]
        told = {"unit": "", "pretrain_seed": seed}
        write_records(
            path,
            [
                record(key, f"method{method}", "round", metric, 0.5, hyperparameters=of, **told)
                for of in settings
                for metric in ("nmi_class", "purity", "clusters_size_median")
            ],
        )
        before = key


def test_five_thousand_runs_fit_in_ten_megabytes_and_thirty_seconds(tmp_path: Path) -> None:
    folder = write(tmp_path / "results", right={})
    store = RunStore(folder)
    for method in range(1, METHODS + 1):
        for seed in range(SEEDS):
            pretraining(store, method, seed)
            for at in range(EVALUATIONS):
                key = f"linear_probe-{method:04d}{seed:04d}{at:04d}"
                changes = {"dataset": f"dataset{at}"}
                probe(store, key, f"method{method}", seed, 20 + (7 * method + 3 * seed + at) % 170, changes)
    for key in store.there():
        write_manifest(store.path(key))
    assert FACTS and len(store.there()) >= METHODS * SEEDS * (ROUNDS + EVALUATIONS) == 5000
    start = time.process_time()
    list(write_report([folder], None, tmp_path / "report.html"))
    taken, size = time.process_time() - start, (tmp_path / "report.html").stat().st_size
    assert (taken < SECONDS, size < BYTES) == (True, True), f"{taken:.1f} s, {size / 1e6:.1f} MB"
