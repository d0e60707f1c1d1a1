"""A stage whose code changes its results needs a new version number in ``xdcbench.config.keys.VERSIONS``.

``facts.json`` keeps, per kind of stage, its version and a few numbers of the smallest suite that do not
depend on the processor. To accept new results: raise the kind's version, then run this file once with
``XDCBENCH_GOLDEN=write``.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file
from scipy.sparse import csr_array
from torch.nn.functional import normalize

from tests.unit.tiny import small_index
from xdcbench.clustering.assigner import Assigner
from xdcbench.clustering.preprocess import fit
from xdcbench.config.data import ShardSettings
from xdcbench.config.evaluation import (
    Clusters,
    Fusion,
    LinearProbe,
    LinearSVM,
    MultilabelProbe,
    Temporal,
)
from xdcbench.config.keys import VERSIONS
from xdcbench.config.models import PretrainedEncoders
from xdcbench.config.stages import AssignmentsStage, FeaturesStage, PretrainedStage
from xdcbench.data.context import Context
from xdcbench.data.media import read_audio, read_clip
from xdcbench.data.preparation.transcode import transcode
from xdcbench.evaluation.clusters import cluster, measures
from xdcbench.evaluation.features import Features, clips_of
from xdcbench.evaluation.fusion import fused, normalized
from xdcbench.evaluation.fusion_answers import probe as fusion_probe
from xdcbench.evaluation.knn import vote
from xdcbench.evaluation.linear_probe import probe
from xdcbench.evaluation.linear_svm import choose_c, svm
from xdcbench.evaluation.low_shot import shots, shuffled, take
from xdcbench.evaluation.multilabel_metrics import class_metrics
from xdcbench.evaluation.multilabel_probe import probe as multilabel_probe_of
from xdcbench.evaluation.retrieval import cosines, rank_gallery
from xdcbench.pretraining.assignments import run as keep_assignments
from xdcbench.pretraining.pretrained import run as keep
from xdcbench.utils.io import file_hash

FACTS = Path(__file__).with_name("facts.json")
TOLERANCE = 2e-3
"""Relative; a library's rounding stays below it, a changed rule or constant does not."""


def stages(out: Path, kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Run directories of one kind with what they say of themselves, by name."""
    found = [(path, json.loads((path / "run.json").read_text())) for path in out.glob(f"runs/{kind}-*")]
    yield from sorted(found, key=lambda pair: str(pair[1]["name"]))


def world(out: Path) -> dict[str, float]:
    (folder, _), *_ = stages(out, "world")
    files = [path for path in folder.rglob("*.*") if path.suffix in (".mp4", ".avi", ".wav")]
    return {"files": len(files), "bytes": sum(path.stat().st_size for path in files)}


def shards(out: Path) -> dict[str, float]:
    (folder, _), *_ = stages(out, "world")
    path = min(folder.rglob("*.mp4"))
    with TemporaryDirectory() as work:
        made = transcode(path, "video", ShardSettings(short_side=24, fps=4), Path(work, "item"))
        clip = read_clip(made.members["video"], start=0.0, frames=4, fps=4, short_side=24).float()
        audio = read_audio(made.members["audio"], start=0.0, seconds=1.0, sample_rate=16_000)
    size = {"width": made.width, "height": made.height, "fps": made.fps}
    return size | {"pixels": float(clip.mean()), "audio": float(audio.abs().mean())}


def index(out: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for folder, about in stages(out, "index"):
        items = pd.read_feather(folder / "items.arrow")
        found[f"{about['name']} seconds"] = float(items["duration"].sum())
        found[f"{about['name']} labels"] = float((items["label"] * np.arange(len(items))).sum())
        for column in (name for name in items if name.startswith("split:")):
            found[f"{about['name']} {column} test"] = float((items[column] == "test").sum())
    return found


def init(out: Path) -> dict[str, float]:
    (folder, _), *_ = stages(out, "init")
    weights = {name: load_file(folder / f"{name}.safetensors") for name in ("video", "audio")}
    return {name: float(sum(np.abs(w).sum() for w in of.values())) for name, of in weights.items()}


def features(out: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for folder, about in stages(out, "features"):
        if str(about["name"]).startswith("scratch"):
            of = np.load(folder / "features.npy", allow_pickle=False)
            found |= {f"{about['name']} mean": float(of.mean()), f"{about['name']} std": float(of.std())}
    return found


def round_(out: Path) -> dict[str, float]:
    (folder, _), *_ = stages(out, "round")
    rows = json.loads((folder / "records.json").read_text())
    kept = (
        "initial_video_a_loss",
        "initial_audio_v_loss",
        "within_cluster_variance",
        "clusters_size_max",
        "nmi_class",
    )
    return {
        f"{row['metric']} {row['hyperparameters'].get('clustering', '')}": row["value"]
        for row in rows
        if row["metric"] in kept
    }


def finetune(out: Path) -> dict[str, float]:
    folder = next(path for path, about in stages(out, "finetune") if str(about["name"]).startswith("scratch"))
    first = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    return {"initial_loss": first["initial_loss"], "loss": first["loss"]}


def blobs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(24) % 3
    of = rng.normal(size=(24, 2, 6)) + 1.2 * np.eye(3, 6)[labels][:, None]
    return of[:18].astype(np.float32), labels[:18], of[18:].astype(np.float32)


def linear_probe(_: Path) -> dict[str, float]:
    train, labels, test = blobs()
    scores, _ = probe(train, labels, test, classes=3, settings=LinearProbe())
    return {"scores": float((scores * np.arange(1, 19).reshape(6, 3)).sum())}


def multilabel_probe(_: Path) -> dict[str, float]:
    train, labels, test = blobs()
    sets = csr_array(np.stack([labels == 0, labels > 0, np.arange(18) % 2 == 0], axis=1).astype(np.float32))
    scores, _converged = multilabel_probe_of(train, sets, test, settings=MultilabelProbe())
    found = class_metrics(sets[:6], scores)
    return {
        "scores": float((scores * np.arange(1, 19).reshape(6, 3)).sum()),
        "mean average precision": found.mean_average_precision,
        "mean ROC AUC": found.mean_roc_auc,
    }


def linear_svm(_: Path) -> dict[str, float]:
    train, labels, test = blobs()
    settings = LinearSVM(Cs=(1e-3, 1e-1))
    c, folds = choose_c(train, labels, np.arange(18), settings=settings, seed=0)
    scores, _ = svm(train, labels, test, c=c, classes=3, settings=settings)
    return {"c": c, "folds": folds, "scores": float(np.abs(scores).sum())}


def retrieval(_: Path) -> dict[str, float]:
    train, labels, test = (torch.from_numpy(x) for x in blobs())
    unit = [normalize(of.mean(dim=1), dim=1) for of in (test, train)]
    found = rank_gallery(cosines(*unit), torch.arange(6) % 3, labels)
    return {"nearest": float(found.nearest.sum()), "ranks": float((found.rank * np.arange(1, 7)).sum())}


def knn(_: Path) -> dict[str, float]:
    train, labels, test = (torch.from_numpy(x) for x in blobs())
    unit = [normalize(of.mean(dim=1), dim=1) for of in (test, train)]
    found = vote(cosines(*unit), labels, ks=(1, 5, 18), temperature=0.07)
    return {f"k {k}": float((predicted * np.arange(1, 7)).sum()) for k, predicted in found.items()}


def cross_retrieval(_: Path) -> dict[str, float]:
    train, test = (torch.from_numpy(x).mean(dim=1) for x in blobs()[::2])
    prepared = fit(train, mode="pca_whiten_l2", dim=3)
    clusters, distances = Assigner(prepared, prepared(train[:3]))(test)
    return {"clusters": float((clusters * torch.arange(1, 7)).sum()), "distances": float(distances.sum())}


def low_shot(_: Path) -> dict[str, float]:
    _train, labels, _test = blobs()
    wanted = shots((2,), (0.5,))
    order = shuffled([f"item{i}" for i in range(18)], seed=0, draw=1)
    return {name: float((take(order, labels, want)[0] ** 2).sum()) for name, want in wanted.items()}


def clusters(_: Path) -> dict[str, float]:
    train, labels, _test = blobs()
    found = cluster(train.mean(axis=1), k=3, settings=Clusters(), seed=0)
    numbers = measures(found.assignments.numpy(), labels, k=3)
    return {measure.metric: measure.value for measure in numbers}


def fusion(_: Path) -> dict[str, float]:
    train, labels, test = blobs()
    both, rows = np.concatenate([train, test]), (np.arange(18), np.arange(18, 24))
    audio, video = Features(both[..., :2], {}), Features(both[..., 2:], {})
    index, found = small_index([*labels, *labels[:6]], ["train"] * 18 + ["test"] * 6), {}
    for mode in ("standardize", "l2"):
        settings = Fusion.model_validate({"normalize": mode})
        alone = [normalized(of, index, rows, settings) for of in (audio, video)]
        for name, of in fused({"audio": alone[0], "video": alone[1]}).items():
            scores, _converged = fusion_probe(of, labels, classes=3, settings=settings)
            found[f"{mode} {name}"] = float((scores * np.arange(1, 19).reshape(6, 3)).sum())
    return found


def temporal(_: Path) -> dict[str, float]:
    train, labels, test = blobs()
    index = small_index(labels, ["train"] * 18)
    config = FeaturesStage(modality="video", num_clips=1, frame_order="shuffled", seed=1, precision="fp32")
    (clip,) = clips_of(config, index, 3, frames=8)
    both = np.concatenate([test, test[::-1]])
    scores, _ = probe(train, labels, both, classes=3, settings=Temporal())
    return {
        "shuffled": float((np.array(clip.order) * np.arange(1, 9)).sum()),
        "scores": float((scores * np.arange(1, 37).reshape(12, 3)).sum()),
    }


def given(out: Path) -> dict[str, float]:
    (folder, _), *_ = stages(out, "init")
    with TemporaryDirectory() as work:
        config = PretrainedStage(name="same", encoders=PretrainedEncoders(run=str(folder)), fingerprint="f")
        keep(config, {}, Path(work), Context(suite="golden"))
        weights = load_file(Path(work, "video.safetensors"))
    return {"video": float(sum(np.abs(w).sum() for w in weights.values()))}


def assignments(out: Path) -> dict[str, float]:
    folders = [folder for folder, _ in stages(out, "round") if (folder / "assignments.parquet").exists()]
    with TemporaryDirectory() as work:
        mark = file_hash(folders[0] / "assignments.parquet")
        keep_assignments(
            AssignmentsStage(run=str(folders[0]), fingerprint=mark), {}, Path(work), Context(suite="golden")
        )
        kept = pd.read_parquet(Path(work, "assignments.parquet"))
        return {"files": len(list(Path(work).iterdir())), "rows": len(kept), "columns": len(kept.columns)}


MEASURES = {
    "world": world,
    "shards": shards,
    "index": index,
    "init": init,
    "round": round_,
    "features": features,
    "finetune": finetune,
    "linear_probe": linear_probe,
    "multilabel_probe": multilabel_probe,
    "linear_svm": linear_svm,
    "retrieval": retrieval,
    "knn": knn,
    "cross_retrieval": cross_retrieval,
    "low_shot": low_shot,
    "clusters": clusters,
    "fusion": fusion,
    "temporal": temporal,
    "pretrained": given,
    "assignments": assignments,
}


@pytest.fixture(scope="module")
def golden(pico: Path) -> dict[str, Any]:
    if os.environ.get("XDCBENCH_GOLDEN") == "write":
        content = {
            kind: {"version": VERSIONS[kind], "facts": measure(pico)} for kind, measure in MEASURES.items()
        }
        FACTS.write_text(json.dumps(content, indent=1) + "\n")
    kept: dict[str, Any] = json.loads(FACTS.read_text())
    return kept


def test_every_kind_is_measured() -> None:
    assert MEASURES.keys() == VERSIONS.keys()


@pytest.mark.parametrize("kind", VERSIONS)
def test_results_change_only_with_the_version(kind: str, golden: dict[str, Any], pico: Path) -> None:
    kept, found = golden[kind], MEASURES[kind](pico)
    assert VERSIONS[kind] == kept["version"], "a new version: write new facts with XDCBENCH_GOLDEN=write"
    assert found == pytest.approx(kept["facts"], rel=TOLERANCE), (
        f"results of {kind!r} changed: raise its version"
    )
