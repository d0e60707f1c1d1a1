"""Retrieval across modalities: through clusters, which is all that XDC's encoders know of each other."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xdcbench.clustering.assigner import load_assigners
from xdcbench.config.evaluation import CrossRetrieval
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import Features, load_features
from xdcbench.evaluation.retrieval import check_depths, rank_gallery, unordered, write_ranking
from xdcbench.evaluation.writer import Evaluation, split_rows
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.models.heads import Heads
from xdcbench.models.weights import load_weights
from xdcbench.utils.tensors import read_safetensors


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: rank the training items' audio for each test video (or the reverse).

    The head on the queries' encoder says how likely each cluster of the other modality is. An item of the
    gallery lies in the cluster whose centroid is nearest to it; of one cluster, the item nearest to the
    centroid is first. A query has found what it looks for where the item is of its class.
    """
    settings = config.settings
    assert isinstance(settings, CrossRetrieval)
    index = Index.load(inputs["data"])
    queries, recordings = load_features(inputs["features"]), load_features(inputs["gallery"])
    train, test = split_rows(config, index, queries)
    gallery = unordered(index, recordings.readable(with_both(index, train)))
    if not len(gallery):
        raise UserError(f"{index.name} split {config.split}: no training item has both video and audio")
    check_depths(settings.ks, len(gallery))
    assigner = load_assigners(inputs["encoders"] / "centroids.safetensors")[settings.clustering]
    clusters, distances = assigner(torch.from_numpy(np.ascontiguousarray(recordings.of[gallery, 0])))
    closest = torch.argsort(distances, stable=True)
    gallery, clusters = gallery[closest.numpy()], clusters[closest]
    chances = cluster_chances(inputs["encoders"], settings, queries, test)
    labels = torch.tensor(index.labels)
    found = rank_gallery((part[:, clusters] for part in chances.split(256)), labels[test], labels[gallery])
    encoders = load_encoder_metadata(inputs["encoders"])
    write_ranking(
        Evaluation(config, index, encoders, test, queries.failed, work, context),
        found,
        gallery,
        ks=settings.ks,
        outcomes={"gallery": len(gallery), "clustering": settings.clustering},
    )


def with_both(index: Index, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` that have a video and an audio track."""
    both: np.ndarray = rows[index.items[["video", "audio"]].iloc[rows].all(axis=1)]
    return both


def cluster_chances(run: Path, settings: CrossRetrieval, features: Features, rows: np.ndarray) -> Tensor:
    """Mean softmax of the head over a query's clips, float32 (len(rows), k)."""
    path = run / f"{settings.modality}_heads.safetensors"
    sources = read_safetensors(path)[1]["sources"].split()
    assigners = load_assigners(run / "centroids.safetensors")
    heads = Heads(features.of.shape[-1], {name: len(assigners[name].centroids) for name in sources})
    load_weights(heads, path)
    clips = torch.from_numpy(np.ascontiguousarray(features.of[rows]))
    with torch.inference_mode():
        logits: Tensor = heads(clips.flatten(0, 1))[settings.clustering]
        chances: Tensor = logits.softmax(dim=1).unflatten(0, clips.shape[:2]).mean(dim=1)
    return chances
