"""Results folders of made-up runs, laid out as real ones: a dataset, two rounds of XDC, probes with predictions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from tests.unit.tiny import small_index
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest

EVIL = '"><img src=x onerror=alert(1)><script>document.title="taken"</script>'
ARABIC = "ركض في الحديقة"
ITEMS = 200
RIGHT: Mapping[str, Sequence[int]] = {"xdc": (150, 156), "sdc": (90,), EVIL: (20,)}
"""Items that each method has right, by pretraining seed."""

FACTS: dict[str, Any] = {
    "version": 1,
    "suite": "made-up",
    "science": {},
    "config": {},
    "inputs": {},
    "seconds": 2.0,
    "device": "cpu",
    "world_size": 1,
    "versions": {"torch": "2.11.0", "numpy": "2.4.6"},
    "commit": "abc",
}
RECORD: dict[str, Any] = {
    "suite": "made-up",
    "pretrain_data": "kinetics400",
    "pretrain_items": 8,
    "pretrain_subset": "",
    "config_hash": "r",
    "architecture": "toy",
    "evaluation_version": 1,
    "dataset": "kinetics400",
    "world": "synthetic",
    "fingerprint": "f00df00df00d",
    "subset": "",
    "items_expected": ITEMS + 1,
    "items_used": ITEMS,
    "items_failed": 1,
    "failed_items": (EVIL,),
    "train_items_used": 0,
    "train_items_failed": 0,
    "split": "official",
    "official_splits": ("official",),
    "seed": 0,
    "unit": "%",
    "higher_is_better": True,
    "selection": "last",
    "hyperparameters": {},
    "epochs": 4,
    "seconds": 2.0,
    "device": "cpu",
    "precision": "fp32",
    "world_size": 1,
    "versions": {"torch": "2.11.0"},
    "commit": "abc",
}
CLUSTERINGS = {"a": {"features": ["audio"], "k": 4}, "v": {"features": ["video"], "k": 4}}


def write(folder: Path, *, right: Mapping[str, Sequence[int]] = RIGHT, **changes: Any) -> Path:
    """A results folder in which methods have so many items right; ``changes`` are to all records."""
    store = RunStore(folder)
    index = run(store, "index-00000000000a", "index", "index/kinetics400")
    items = small_index([0, 1] * 4, ["train"] * 8)
    items.items.loc[1, ["id", "ok", "reason"]] = [EVIL, False, "no video"]
    items.items.loc[2, ["id", "ok", "bytes", "reason"]] = [ARABIC, False, -1, "missing"]
    replace(items, name="kinetics400").save(index)
    run(store, "init-000000000000", "init", "init")
    rounds(store)
    for place, (method, counts) in enumerate(right.items()):
        for seed, count in enumerate(counts):
            probe(store, f"linear_probe-{place:06d}{seed:06d}", method, seed, count, changes)
    for key in store.there():
        write_manifest(store.path(key))
    failed = folder / "runs" / ".failed" / "finetune-0000000000ff" / "001"
    failed.mkdir(parents=True)
    (failed / "error.txt").write_text("Traceback\nRuntimeError: <b>out of memory</b>\n")
    return folder


def run(store: RunStore, key: str, kind: str, name: str, **facts: Any) -> Path:
    """The directory of a run with its ``run.json``."""
    path = store.path(key)
    path.mkdir()
    write_json(path / "run.json", FACTS | {"key": key, "kind": kind, "name": name} | facts)
    return path


def rounds(store: RunStore) -> None:
    """Two rounds of XDC, the second better; its last loss is no number."""
    before = "init-000000000000"
    for n in (1, 2):
        key = f"round-00000000000{n}"
        config = {"method": "xdc", "round": n, "seed": 0, "clusterings": CLUSTERINGS}
        path = run(
            store,
            key,
            "round",
            f"xdc/kinetics400/seed0/round{n}",
            config=config,
            science=config,
            inputs={"encoders": before, "data": "index-00000000000a"},
            seconds=30.0,
        )
        lines = [json.dumps({"epoch": 0, "a_cluster_sizes": [2, 6]}), json.dumps({"epoch": 1, "steps": 3})]
        for epoch in range(1, 5):
            loss = float("nan") if (n, epoch) == (2, 4) else 4.0 / (n * epoch)
            row = {"epoch": epoch, "video_a_loss": loss, "video_a_accuracy": 0.1 * n * epoch}
            lines.append(json.dumps(row | {"val_video_a_loss": 2 * loss, "val_video_a_accuracy": 0.05}))
        (path / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        facts = {"nmi_class": 0.3 * n, "purity": 0.4 * n, "clusters_size_min": 1.0, "clusters_size_max": 5.0}
        facts |= {"clusters_size_median": 2.5, "clusters_empty": 0.0} | (
            {"nmi_previous": 0.5} if n == 2 else {}
        )
        write_records(
            path,
            [
                record(
                    key,
                    "xdc",
                    "round",
                    metric,
                    value,
                    unit="",
                    hyperparameters={"round": n, "clustering": name},
                )
                for name in CLUSTERINGS
                for metric, value in facts.items()
            ],
        )
        write_json(path / "failed.json", {})
        before = key


def probe(store: RunStore, key: str, method: str, seed: int, right: int, changes: dict[str, Any]) -> None:
    """A linear probe that has the first ``right`` of all items right."""
    name = f"{method}/kinetics400/seed{seed}/linear_probe/kinetics400/official"
    inputs = {"features": "features-000000000000", "data": "index-00000000000a"}
    path = run(store, key, "linear_probe", name, inputs=inputs, config={"settings": {}})
    value = 100.0 * right / ITEMS
    fields = {"pretrain_seed": seed, "protocol": "linear_probe"} | changes
    write_records(path, [record(key, method, "linear_probe", "top1", value, **fields)])
    ids = [f"{i:03d}" for i in range(ITEMS)]
    said = [1 if i < right else 0 for i in range(ITEMS)]
    table = pd.DataFrame({"id": ids, "group": ids, "label": 1, "prediction": said})
    table.to_parquet(path / "predictions.parquet", index=False)
    write_json(path / "failed.json", {EVIL: "cut short"})


def record(key: str, method: str, evaluation: str, metric: str, value: float, **changes: Any) -> Record:
    """A record with the fields of ``RECORD`` but for ``changes``."""
    own = {"run": key, "method": method, "evaluation": evaluation, "metric": metric, "value": value}
    return Record(**(RECORD | {"protocol": evaluation, "pretrain_seed": 0} | own | changes))
