"""A results folder of evaluations that really were written, of scores that are drawn: no encoder is needed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.unit.tiny import MODELS, small_index
from xdcbench.config.evaluation import KNN, Clusters, Fusion, LinearProbe, MultilabelProbe, Retrieval
from xdcbench.config.keys import VERSIONS, key_of, science
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.evaluation.clusters import measures
from xdcbench.evaluation.fusion import gains
from xdcbench.evaluation.fusion_answers import Answer
from xdcbench.evaluation.knn import NEIGHBORS
from xdcbench.evaluation.multilabel_writer import write_multilabel
from xdcbench.evaluation.retrieval import Ranking, write_ranking
from xdcbench.evaluation.writer import Evaluation, guesses, top1_of, write_classification, write_results
from xdcbench.models.encoders import EncoderMetadata
from xdcbench.results.run_store import RunStore
from xdcbench.utils.documents import write_json
from xdcbench.utils.manifest import write_manifest

CLASSES, TRAIN, TEST = 8, 24, 40
METADATA = EncoderMetadata(
    config_hash="config-000000000000",
    method="xdc",
    pretrain_data="kinetics400",
    pretrain_items=9,
    seed=2,
    models=MODELS,
)
ENCODERS = "init-000000000000"


def write(folder: Path) -> Path:
    """Evaluations of one encoder: probe, k-NN, retrieval, clusters, fusion, and a probe of several classes each."""
    store = RunStore(folder)
    encoders = store.path(ENCODERS)
    encoders.mkdir()
    write_json(encoders / "run.json", facts("init", ENCODERS, {}, {}))
    write_json(encoders / "encoders.json", METADATA.model_dump(mode="json"))
    rng = np.random.default_rng(0)
    index = small_index(np.arange(TRAIN + TEST) % CLASSES, ["train"] * TRAIN + ["test"] * TEST)
    scores = rng.random((TEST, CLASSES)) + np.eye(CLASSES)[index.labels[TRAIN:]] * 0.6
    make(store, index, LinearProbe(precision="fp32"), lambda of: write_classification(of, scores))
    make(store, index, KNN(ks=(1, 5), precision="fp32"), lambda of: votes(of, rng))
    make(store, index, Retrieval(ks=(1, 5), precision="fp32"), lambda of: ranking(of, rng))
    make(store, index, Clusters(precision="fp32"), lambda of: clusters(of, rng))
    make(store, index, Fusion(precision="fp32"), lambda of: fusion(of, rng))
    several = several_classes(index, rng)
    make(
        store,
        several,
        MultilabelProbe(precision="fp32"),
        lambda of: write_multilabel(of, rng.random((TEST, CLASSES))),
    )
    for key in store.there():
        write_manifest(store.path(key))
    return folder


def facts(kind: str, key: str, settings: dict[str, Any], inputs: dict[str, str]) -> dict[str, Any]:
    """``run.json``, with the environment that records will state."""
    from xdcbench.utils.provenance import commit, versions

    return {
        "key": key,
        "kind": kind,
        "version": VERSIONS[kind],
        "name": f"xdc/{kind}",
        "suite": "tests",
        "science": settings,
        "config": {"settings": {}} if settings else {},
        "inputs": inputs,
        "seconds": 1.0,
        "device": "cpu",
        "world_size": 1,
        "versions": versions(),
        "commit": commit(),
    }


def make(store: RunStore, index: Index, settings: Any, close: Callable[[Evaluation], None]) -> None:
    """A run of an evaluation under the key that its settings have, written by ``close``."""
    config = EvaluationStage(name=settings.kind, split="official", seed=2, settings=settings)
    inputs, version = {"encoders": ENCODERS, "data": "index-000000000000"}, VERSIONS[settings.kind]
    content = {"kind": settings.kind, "version": version, "config": science(config), "inputs": inputs}
    work = store.path(key_of(settings.kind, content))
    work.mkdir()
    write_json(work / "run.json", facts(settings.kind, work.name, science(config), inputs))
    rows = index.rows("official", "test")
    close(Evaluation(config, index, METADATA, rows, {}, work, Context("tests", cache=store.root / "cache")))


def said(of: Evaluation, rng: np.random.Generator, share: float) -> np.ndarray:
    """Predicted classes, about ``share`` of them right."""
    labels = of.index.labels[of.rows]
    return np.where(rng.random(len(labels)) < share, labels, (labels + 1) % CLASSES)


def votes(of: Evaluation, rng: np.random.Generator) -> None:
    found = {k: said(of, rng, 0.6) for k in (1, 5)}
    metrics = [top1_of(of, predicted, {NEIGHBORS: k}, guesses(of)) for k, predicted in found.items()]
    tables = [pd.DataFrame({NEIGHBORS: k, "prediction": predicted}) for k, predicted in found.items()]
    write_results(of, metrics, pd.concat(tables, ignore_index=True))


def ranking(of: Evaluation, rng: np.random.Generator) -> None:
    gallery = of.index.rows("official", "train")
    nearest = rng.integers(0, TRAIN, len(of.rows))
    right = of.index.labels[gallery[nearest]] == of.index.labels[of.rows]
    rank = np.where(right, 1, rng.integers(2, TRAIN, len(of.rows)))
    write_ranking(of, Ranking(nearest, rank), gallery, ks=(1, 5))


def clusters(of: Evaluation, rng: np.random.Generator) -> None:
    from xdcbench.clustering import metrics

    found, labels = said(of, rng, 0.7), of.index.labels[of.rows]
    _, matched = metrics.cluster_accuracy(found, labels)
    table = {"prediction": [matched.get(cluster, -1) for cluster in found.tolist()], "cluster": found}
    write_results(of, measures(found, labels, k=CLASSES), pd.DataFrame(table), outcomes={"k": CLASSES})


def fusion(of: Evaluation, rng: np.random.Generator) -> None:
    found = {name: said(of, rng, share) for name, share in (("video", 0.5), ("audio", 0.4), ("fused", 0.8))}
    answers = {name: [Answer(predicted)] for name, predicted in found.items()}
    metrics = [top1_of(of, predicted, {"modalities": name}, {}) for name, predicted in found.items()]
    tables = [
        pd.DataFrame({"modalities": name, "prediction": predicted}) for name, predicted in found.items()
    ]
    write_results(of, [*metrics, *gains(of, answers)], pd.concat(tables, ignore_index=True))


def several_classes(index: Index, rng: np.random.Generator) -> Index:
    """The items with a set of one to three classes each."""
    sets = [np.sort(rng.choice(CLASSES, rng.integers(1, 4), replace=False)) for _ in range(TRAIN + TEST)]
    return replace(index, name="sets", items=index.items.assign(labels=sets))
