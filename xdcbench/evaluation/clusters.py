"""How clusters of frozen features agree with the classes, which no step of the clustering has seen."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import numpy as np
import pandas as pd
import torch

from xdcbench.clustering import metrics
from xdcbench.clustering.kmeans import KMeans, KMeansResult
from xdcbench.clustering.preprocess import fit
from xdcbench.config.evaluation import Clusters
from xdcbench.config.stages import EvaluationStage
from xdcbench.data.context import Context
from xdcbench.data.index import Index
from xdcbench.errors import UserError
from xdcbench.evaluation.features import load_features
from xdcbench.evaluation.writer import Evaluation, Metric, part_rows, write_results
from xdcbench.models.encoders import load_encoder_metadata
from xdcbench.utils.distributed import single_process
from xdcbench.utils.runtime import Stream, numpy_generator

DRAWS = 100
"""Random clusterings by which chance is estimated."""

UNMATCHED = -1
"""Prediction for the items of a cluster that stands for no class."""


def run(config: EvaluationStage, inputs: dict[str, Path], work: Path, context: Context) -> None:
    """Stage: k-means on the mean features of the test items, measured against their classes.

    Raises:
        UserError: the test items have one class only, or fewer items than clusters.
    """
    assert isinstance(config.settings, Clusters)
    index, features = Index.load(inputs["data"]), load_features(inputs["features"])
    rows = part_rows(config, index, "test", features)
    labels = index.labels[rows]
    present = len(np.unique(labels))
    if present == 1:
        raise UserError(
            f"{index.name} split {config.split}: all test items are of {index.classes[labels[0]]}, "
            f"with which clusters cannot be compared"
        )
    found = cluster(
        features.means(rows), k=config.settings.k or present, settings=config.settings, seed=config.seed
    )
    assignments = found.assignments.numpy()
    _, matched = metrics.cluster_accuracy(assignments, labels)
    predictions = {
        "prediction": [matched.get(cluster, UNMATCHED) for cluster in assignments.tolist()],
        "cluster": assignments,
    }
    encoders = load_encoder_metadata(inputs["features"])
    write_results(
        Evaluation(config, index, encoders, rows, features.failed, work, context),
        measures(assignments, labels, k=len(found.sizes)),
        pd.DataFrame(predictions),
        train_items_used=0,
        train_items_failed=0,
        outcomes={
            "k": len(found.sizes),
            "classes": present,
            "iterations": found.iterations,
            "repaired": found.repaired,
        },
    )


def cluster(means: np.ndarray, *, k: int, settings: Clusters, seed: int) -> KMeansResult:
    """k-means of items, float32 (n, features), after the preprocessing of ``settings``; best of its restarts."""
    x = torch.from_numpy(means)
    with single_process():
        prepared = fit(x, mode=settings.preprocess, dim=settings.pca_dim)(x)
        return KMeans(k=k, seed=seed, max_iter=settings.max_iter, n_init=settings.n_init).fit(prepared)


def measures(assignments: np.ndarray, labels: np.ndarray, *, k: int) -> Iterator[Metric]:
    """Agreement of clusters with classes, and the clusters' sizes.

    Args:
        assignments: cluster of each item, int64 (n,), in 0..k - 1.
        labels: class of each item, int64 (n,), at least two of them.
        k: number of clusters, at least 2; empty ones count in the sizes and in ``entropy`` alone.
    """
    weighted, plain = metrics.purity(assignments, labels)
    share, _ = metrics.cluster_accuracy(assignments, labels)
    chance = accuracy_by_chance(labels, k)
    yield Metric("cluster_accuracy", 100.0 * share, outcomes={"chance": 100.0 * chance})
    agreement = {
        "nmi": metrics.nmi(assignments, labels),
        "ami": metrics.ami(assignments, labels),
        "ari": metrics.ari(assignments, labels),
        "purity": weighted,
        "purity_plain": plain,
    }
    for name, value in agreement.items():
        yield Metric(name, value, unit="")
    bits = metrics.class_entropy(assignments, labels)
    yield Metric("class_entropy", bits, unit="bits", higher_is_better=False)
    sizes = metrics.summary(assignments, k=k)
    yield Metric("entropy", sizes.pop("entropy"), unit="")
    yield Metric("empty", sizes.pop("empty"), unit="clusters", higher_is_better=False)
    for name, value in sizes.items():
        yield Metric(name, value, unit="items", higher_is_better=name != "size_max")


def accuracy_by_chance(labels: np.ndarray, k: int) -> float:
    """Cluster accuracy of items that are put at random into ``k`` clusters of equal size, a share.

    The mean of `DRAWS` draws, which are the same for all encoders and seeds.
    """
    generator = numpy_generator(0, Stream.CLUSTER_CHANCE)
    draws = (generator.permutation(len(labels)) % k for _ in range(DRAWS))
    return fmean(metrics.cluster_accuracy(drawn, labels)[0] for drawn in draws)
