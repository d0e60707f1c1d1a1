"""Results folders of made-up encoders for the leaderboard: seven rows, video and audio, two kinds of weights."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from tests.unit.reports.results.made_results import EVIL, record, run
from xdcbench.results.records import Record, write_records
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest

VIDEO = {"frames": 8, "size": 112, "num_clips": 10}
AUDIO = {"num_clips": 10}


class Encoder(NamedTuple):
    """An encoder, its weights' license ("" where nothing says it; "own": made here), and how good it is, 0 to 1."""

    method: str
    data: str
    license: str
    skill: float
    architecture: str = "R(2+1)D-18"
    seeds: tuple[int, ...] = (0,)
    audio: bool = False


ENCODERS = (
    Encoder("xdc", "audioset", "own", 0.9, seeds=(0, 1), audio=True),
    Encoder("xdc", "kinetics400", "own", 0.82, seeds=(0, 1), audio=True),
    Encoder("cdc", "kinetics400", "own", 0.78, audio=True),
    Encoder("scratch", "none", "own", 0.4, audio=True),
    Encoder("r3d_18", "kinetics400", "BSD-3-Clause", 0.86, "torchvision:r3d_18"),
    Encoder("ssl-video", "kinetics600", "CC BY-NC 4.0", 0.7, "mvit_v2_s"),
    Encoder(EVIL, "youtube", "", 0.5),
)


def write_board(folder: Path, encoders: Iterable[Encoder] = ENCODERS, *, lacking: int = 3) -> Path:
    """A results folder; the first encoder has ``lacking`` test items fewer in retrieval on hmdb51 than all others."""
    store = RunStore(folder)
    run(store, "index-00000000000a", "index", "index/ucf101")
    for place, encoder in enumerate(encoders):
        for seed in encoder.seeds:
            _encoder(store, place, encoder, seed, lacking if place == 0 else 0)
    for key in store.there():
        write_manifest(store.path(key))
    return folder


def _encoder(store: RunStore, place: int, encoder: Encoder, seed: int, lacking: int) -> None:
    kind = {"own": "round", "": "pretrained"}.get(encoder.license, "pretrained")
    made = run(store, f"{kind}-{place:06d}{seed:06d}", kind, f"{kind}/{place}", **_facts(kind))
    write_json(made / "encoders.json", {"license": encoder.license} if kind == "pretrained" else {})
    about = _About(store, place, encoder, seed, made.name)
    for split in "123":
        about.measure("finetune", "ucf101", split, 400, VIDEO, skill=0.0, groups=80, splits="123", epochs=12)
    about.measure("retrieval", "hmdb51", "1", 300 - lacking, VIDEO, metric="recall_at_1", skill=-0.25)
    for k in (1, 20):
        about.measure("knn", "hmdb51", "1", 300, VIDEO | {"neighbors": k}, skill=-0.3 + k / 200)
    if encoder.audio:
        about.measure("audio_probe", "esc50", "1", 200, AUDIO, skill=-0.1, groups=100)
        about.measure("multilabel_probe", "audioset", "official", 500, AUDIO, metric="mAP", skill=-0.6)


def _facts(kind: str) -> dict[str, Any]:
    if kind != "round":
        return {"config": {"encoders": {}}}
    config = {"method": "xdc", "round": 1, "seed": 0, "clusterings": {}}
    return {"config": config, "inputs": {"encoders": "init-000000000000", "data": "index-00000000000a"}}


class _About(NamedTuple):
    """An encoder whose evaluations are made up."""

    store: RunStore
    place: int
    encoder: Encoder
    seed: int
    made: str

    def measure(
        self,
        evaluation: str,
        dataset: str,
        split: str,
        items: int,
        hyperparameters: dict[str, Any],
        *,
        skill: float,
        metric: str = "top1",
        groups: int = 0,
        splits: str = "1",
        **changes: Any,
    ) -> Record:
        """Write a run whose items are right with the encoder's probability, and return its record."""
        key = f"{evaluation}-{dataset}-{self.place:04d}{self.seed:04d}{split}{hyperparameters.get('neighbors', '')}"
        path = run(self.store, key, evaluation, key, inputs={"encoders": self.made}, config={"settings": {}})
        rng = np.random.default_rng([self.place, self.seed, items, ord(split[0])])
        right = rng.random(items) < self.encoder.skill + skill
        names = [f"{i:04d}" for i in range(items)]
        table = pd.DataFrame({"id": names, "group": names, "label": 1, "prediction": right.astype(int)})
        table["group"] = [f"g{i % groups}" for i in range(items)] if groups else names
        if metric == "recall_at_1":
            table["rank"] = np.where(right, 1, 7)
        for name in ("neighbors",):
            if name in hyperparameters:
                table[name] = hyperparameters[name]
        if metric != "mAP":
            table.to_parquet(path / "predictions.parquet", index=False)
        video = "frames" in hyperparameters
        fields = {
            "dataset": dataset,
            "world": "real",
            "split": split,
            "official_splits": tuple(splits) if split != "official" else ("official",),
            "items_used": items,
            "items_expected": 300 if dataset == "hmdb51" else items,
            "items_failed": 0,
            "failed_items": (),
            "pretrain_data": self.encoder.data,
            "pretrain_seed": self.seed,
            "seed": self.seed,
            "architecture": self.encoder.architecture if video else "ResNet-18 (audio)",
            "hyperparameters": hyperparameters,
            "fingerprint": f"f-{dataset}",
            "epochs": 0,
        }
        value = 100.0 * float(right.mean())
        made = record(key, self.encoder.method, evaluation, metric, value, **(fields | changes))
        write_records(path, [made])
        return made
