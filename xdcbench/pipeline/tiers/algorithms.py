"""Tier 3: clustering, probes, retrieval and statistics, on features that are shipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch.nn.functional import normalize

from xdcbench.clustering.kmeans import KMeans
from xdcbench.clustering.metrics import nmi
from xdcbench.clustering.preprocess import Mode, concat, fit
from xdcbench.config.evaluation import LinearProbe, LinearSVM
from xdcbench.data.dataloader import shares
from xdcbench.evaluation.linear_probe import probe
from xdcbench.evaluation.linear_svm import choose_c, svm
from xdcbench.evaluation.low_shot import shots, shuffled, take
from xdcbench.evaluation.retrieval import cosines, rank_gallery
from xdcbench.pipeline.tiers.values import Values, digest
from xdcbench.results.statistics.intervals import Run, Sample, difference_interval, share_interval, wilson
from xdcbench.results.statistics.significance import holm, mcnemar, sign_flip
from xdcbench.utils.distributed import as_process, contiguous_shard

K, DIM = 8, 4

PROCESSES = 3


class Stored(NamedTuple):
    """Features of items: float32 (items, clips, width), class and source of each, int64 (items,)."""

    x: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    @property
    def train(self) -> np.ndarray:
        """Positions to learn from: two of three items."""
        return np.flatnonzero(np.arange(len(self.x)) % 3 != 2)

    @property
    def test(self) -> np.ndarray:
        """The other positions."""
        return np.flatnonzero(np.arange(len(self.x)) % 3 == 2)


def load_stored(path: Path) -> Stored:
    """Read the features that are shipped beside the references."""
    with np.load(path, allow_pickle=False) as file:
        return Stored(file["x"], file["labels"], file["groups"])


def algorithm_values(stored: Stored) -> Values:
    """Labels, decisions and ranks by digest; inertia, scores and interval ends as numbers."""
    parts = (_clustering, _linear_probe, _linear_svm, _retrieval, _low_shot, _statistics, _processes)
    return {f"algorithms/{name}": value for part in parts for name, value in part(stored)}


Named = Iterator[tuple[str, float | str]]


def _clustering(stored: Stored) -> Named:
    x = torch.from_numpy(stored.x[:, 0])
    for mode in get_args(Mode):
        found = KMeans(k=K, seed=0).fit(fit(x, mode=mode, dim=DIM)(x))
        yield f"k-means {mode}", digest(found.assignments.numpy().astype(np.int64))
        yield f"k-means {mode} inertia", float(found.inertia)
        yield f"k-means {mode} nmi", nmi(found.assignments.numpy(), stored.labels)
    joint = concat([x, 100 * torch.from_numpy(stored.x[:, 1])], l2=True)
    yield "concatenation norm", float(joint.norm(dim=1).mean())


def _linear_probe(stored: Stored) -> Named:
    train, test = stored.train, stored.test
    classes = int(stored.labels.max()) + 1
    scores, _ = probe(
        stored.x[train], stored.labels[train], stored.x[test], classes=classes, settings=LinearProbe()
    )
    yield "linear probe decisions", digest(scores.argmax(axis=1).astype(np.int64))
    yield "linear probe score", float(scores[np.arange(len(test)), stored.labels[test]].mean())


def _linear_svm(stored: Stored) -> Named:
    train, test, settings = stored.train, stored.test, LinearSVM(Cs=(1e-3, 1e-2, 1e-1))
    x, labels = stored.x[train], stored.labels[train]
    c, folds = choose_c(x, labels, stored.groups[train], settings=settings, seed=0)
    classes = int(stored.labels.max()) + 1
    scores, _ = svm(x, labels, stored.x[test], c=c, classes=classes, settings=settings)
    yield "SVM C", c
    yield "SVM inner folds", float(folds)
    yield "SVM decisions", digest(scores.argmax(axis=1).astype(np.int64))


def _retrieval(stored: Stored) -> Named:
    queries, gallery = (torch.from_numpy(stored.x[rows]).mean(dim=1) for rows in (stored.test, stored.train))
    labels = torch.from_numpy(stored.labels)
    found = rank_gallery(
        cosines(normalize(queries, dim=1), normalize(gallery, dim=1)),
        labels[stored.test],
        labels[stored.train],
    )
    yield "retrieval nearest", digest(np.asarray(found.nearest).astype(np.int64))
    yield "retrieval ranks", digest(np.asarray(found.rank).astype(np.int64))


def _low_shot(stored: Stored) -> Named:
    order = shuffled([f"item {row}" for row in stored.train], seed=0, draw=0)
    for name, wanted in shots((2,), (0.25,)).items():
        yield f"low shot {name}", digest(take(order, stored.labels[stored.train], wanted)[0].astype(np.int64))


def _statistics(stored: Stored) -> Named:
    groups = stored.groups.astype(str)
    right = (stored.labels % 3 == 0).astype(float)
    other = (stored.groups % 2 == 0).astype(float)
    share = share_interval([Run("0", "1", groups, right)])
    differ = difference_interval(Sample.of([Run("0", "1", groups, right - other)]))
    assert share is not None and differ is not None, "there are groups enough"
    for name, interval in {"share": share, "difference": differ, "Wilson": wilson(0.7, 50)}.items():
        yield f"interval {name} low", interval.low
        yield f"interval {name} high", interval.high
    yield "McNemar", mcnemar(right, other, groups)
    yield "sign flips", sign_flip([1.0, 2.0, -0.5, 3.0, 1.5])
    yield "Holm", sum(holm([0.01, 0.04, 0.03, 0.2]))


def _processes(stored: Stored) -> Named:
    """Which items each of three processes reads and clusters: together all, each once."""
    read: list[int] = []
    clustered: list[int] = []
    for number in range(PROCESSES):
        with as_process(number, PROCESSES):
            read += [position for share in shares(len(stored.x), 8) for position in share]
            clustered += contiguous_shard(len(stored.x), 8)
    yield "items read by three processes", digest(np.array(read))
    yield "items clustered by three processes", digest(np.array(clustered))
