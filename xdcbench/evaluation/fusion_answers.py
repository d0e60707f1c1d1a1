"""What features of one modality, or of both, say of the test items of a fusion: by probe, by rank, by few labels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import normalize

from xdcbench.config.evaluation import Fusion
from xdcbench.data.index import Index
from xdcbench.evaluation.linear_probe import regression
from xdcbench.evaluation.low_shot import shots, shuffled, take
from xdcbench.evaluation.retrieval import check_depths, cosines, rank_gallery, unordered
from xdcbench.evaluation.writer import classified

Inputs = tuple[np.ndarray, np.ndarray]
"""Features of training and of test items, float32 (items, features) each."""


@dataclass(frozen=True)
class Task:
    """What is to be answered: positions of training and test items, int64, of an index; settings; seed of draws."""

    index: Index
    train: np.ndarray
    test: np.ndarray
    settings: Fusion
    seed: int


@dataclass(frozen=True)
class Answer:
    """Predicted classes of the test items, int64 (items,).

    ``named`` are the hyperparameters that tell it from other answers of the same features. ``ranks`` (of the first
    training item of the right class, from 1) and ``nearest`` (ids) are of a ranking, None otherwise.
    """

    predicted: np.ndarray
    named: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, Any] = field(default_factory=dict)
    ranks: np.ndarray | None = None
    nearest: np.ndarray | None = None

    def table(self, **columns: Any) -> pd.DataFrame:
        """One row per test item, for ``predictions.parquet``, under further ``columns`` of one value each."""
        found = {"prediction": self.predicted, "rank": self.ranks, "nearest": self.nearest}
        said = {name: values for name, values in found.items() if values is not None}
        return pd.DataFrame({**columns, **self.named, **said})


def by_probe(inputs: Inputs, task: Task) -> Iterator[Answer]:
    """The classes that a logistic regression on the training items predicts."""
    labels = task.index.labels[task.train]
    scores, outcomes = probe(inputs, labels, classes=len(task.index.classes), settings=task.settings)
    yield Answer(classified(task.index, scores, task.test), outcomes=outcomes)


def by_rank(inputs: Inputs, task: Task) -> Iterator[Answer]:
    """The training items ranked by cosine for each test item.

    Raises:
        UserError: a depth that says nothing, as `check_depths`.
    """
    index = task.index
    check_depths(task.settings.ks, len(task.train))
    gallery = unordered(index, task.train)
    at = pd.Series(np.arange(len(task.train)), index=task.train)[gallery].to_numpy(copy=True)
    train, test = (normalize(torch.from_numpy(x).float(), dim=1) for x in inputs)
    labels = torch.tensor(index.labels)
    found = rank_gallery(cosines(test, train[at]), labels[task.test], labels[gallery])
    nearest = gallery[found.nearest]
    ids = index.items["id"].iloc[nearest].to_numpy()
    yield Answer(index.labels[nearest], ranks=found.rank, nearest=ids)


def by_few(inputs: Inputs, task: Task) -> Iterator[Answer]:
    """The classes that probes predict which learn from a few training items of each class, by draw and number."""
    (x, queries), index, settings = inputs, task.index, task.settings
    labels, ids = index.labels[task.train], index.items["id"].iloc[task.train].to_numpy()
    for draw in range(settings.num_draws):
        order = shuffled(ids, seed=task.seed, draw=draw)
        for name, want in shots(settings.per_class, settings.fractions).items():
            few, short = take(order, labels, want)
            scores, outcomes = probe(
                (x[few], queries), labels[few], classes=len(index.classes), settings=settings
            )
            found = {**outcomes, "learned_from": len(few), "short_classes": short}
            yield Answer(classified(index, scores, task.test), {"shots": name, "draw": draw}, found)


def probe(
    inputs: Inputs, labels: np.ndarray, *, classes: int, settings: Fusion
) -> tuple[np.ndarray, dict[str, bool]]:
    """Class probabilities of test items, float (test items, classes), and whether the solver ``converged``.

    Args:
        labels: int64 (training items,), at least two classes; others have probability 0.
    """
    train, test = inputs
    present, y = np.unique(labels, return_inverse=True)
    predict, outcomes = regression(train, y, c=settings.C, max_iter=settings.max_iter)
    scores = np.zeros((len(test), classes))
    scores[:, present] = predict(test)
    return scores, outcomes


ANSWERS: Mapping[str, Callable[[Inputs, Task], Iterator[Answer]]] = {
    "linear_probe": by_probe,
    "retrieval": by_rank,
    "low_shot": by_few,
}
"""By the setting `Fusion.by`."""
