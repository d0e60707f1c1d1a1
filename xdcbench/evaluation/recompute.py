"""Metrics again, from the predictions and labels that an evaluation has stored."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_integer_dtype, is_numeric_dtype, is_string_dtype
from scipy.sparse import csr_array

from xdcbench.data.scanning.items import LABELS
from xdcbench.errors import UserError
from xdcbench.evaluation.clusters import measures
from xdcbench.evaluation.multilabel_metrics import ClassMetrics, class_metrics, d_prime
from xdcbench.results.records import Record
from xdcbench.results.statistics.predictions import DIFFERENCES, TOLERANCE, is_share, read_predictions
from xdcbench.utils.arrays import load_array, read_table

SCORED_TOLERANCE = 0.01
"""Difference of a metric of scores that keeping them as float32 explains, in per cent, or in units of d'."""

NAMES, WHOLE = ("id", "group"), ("label", "prediction", "rank", "cluster")
"""Columns of text and of whole numbers."""

MULTI_LABEL = ("mAP", "mAUC", "d_prime")


@dataclass(frozen=True)
class Stored:
    """What an evaluation has stored of its test items, in ``folder``.

    Attributes:
        table: ``predictions.parquet``.
        scores: float32 (items, classes), None where there are none.
        measured: of clusters, by their number, which are computed once.
    """

    folder: Path
    table: pd.DataFrame
    scores: np.ndarray | None
    measured: dict[int, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "Stored":
        """Read what is in ``folder``.

        Raises:
            UserError: a file is damaged, lacks a column, or scores are not of the items.
        """
        path = folder / "predictions.parquet"
        table = read_table(path)
        _check_columns(path, table)
        scores = load_array(folder / "scores.npy") if (folder / "scores.npy").exists() else None
        if scores is not None and (
            scores.ndim != 2 or len(scores) != len(table) or not np.isfinite(scores).all()
        ):
            raise UserError(f"{folder / 'scores.npy'} holds no finite scores of {len(table)} items")
        return cls(folder, table, scores)

    @cached_property
    def by_class(self) -> ClassMetrics | None:
        """Metrics of each class of items with several classes each, None for others.

        Raises:
            UserError: a class has no column of scores.
        """
        if LABELS not in self.table or self.scores is None:
            return None
        each = self.table[LABELS]
        ends = np.concatenate([[0], np.cumsum(each.map(len))])
        indices = np.concatenate([np.zeros(0, dtype=np.int64), *each]).astype(np.int64)
        classes = self.scores.shape[1]
        if len(indices) and not 0 <= indices.min() <= indices.max() < classes:
            raise UserError(
                f"{self.folder / 'predictions.parquet'} names a class beyond {classes} columns of scores"
            )
        return class_metrics(
            csr_array((np.ones(len(indices)), indices, ends), shape=(len(each), classes)), self.scores
        )

    def by_cluster(self, k: int) -> dict[str, float]:
        """Measures of agreement with the classes and sizes of ``k`` clusters, by metric.

        Raises:
            UserError: an item is in none of them.
        """
        clusters, labels = (self.table[name].to_numpy() for name in ("cluster", "label"))
        if k < 2 or not 0 <= clusters.min() <= clusters.max() < k or labels.min() < 0:
            raise UserError(
                f"{self.folder / 'predictions.parquet'} names a cluster that is none of {k}, or no class"
            )
        if k not in self.measured:
            self.measured[k] = {of.metric: of.value for of in measures(clusters, labels, k=k)}
        return self.measured[k]


def _check_columns(path: Path, table: pd.DataFrame) -> None:
    """Refuse predictions that lack a column, or hold what no evaluation writes."""
    if lost := [name for name in ("id", "group", "label") if name not in table]:
        raise UserError(f"{path} has no column {lost[0]}")
    if not len(table):
        raise UserError(f"{path} has no item")
    for name in map(str, table.columns):
        if not _is_written(name, table[name]):
            raise UserError(f"{path}: column {name} is of another type than evaluations write")


def _is_written(name: str, column: pd.Series) -> bool:
    """Whether a column is of a type that evaluations write."""
    if name == LABELS:
        return all(isinstance(of, np.ndarray) and (not len(of) or of.dtype.kind in "iu") for of in column)
    if name in NAMES:
        return bool(is_string_dtype(column))
    if name in WHOLE:
        return bool(is_integer_dtype(column))
    return bool(is_string_dtype(column) or is_numeric_dtype(column))


def recomputed(record: Record, stored: Stored) -> float | None:
    """A record's value from what is stored, in its unit; None where that does not allow it.

    Raises:
        UserError: a column is missing, or what is stored holds no such item.
    """
    if is_share(record.metric) or record.metric in DIFFERENCES:
        found = read_predictions(record, stored.folder / "predictions.parquet").scores
        if not len(found):
            raise UserError(f"{stored.folder / 'predictions.parquet'} has no item of {record.metric}")
        return 100.0 * float(found.mean())
    if record.metric in MULTI_LABEL:
        return _of_classes(record.metric, stored.by_class)
    return _of_clusters(record, stored)


def fits(record: Record, value: float) -> bool:
    """Whether a recomputed value is the record's, but for rounding."""
    scored = record.metric in MULTI_LABEL
    return abs(value - record.value) <= (SCORED_TOLERANCE if scored else TOLERANCE)


def _of_classes(metric: str, found: ClassMetrics | None) -> float | None:
    if found is None:
        return None
    if metric == "mAP":
        return 100.0 * found.mean_average_precision
    return 100.0 * found.mean_roc_auc if metric == "mAUC" else d_prime(found.mean_roc_auc)


def _of_clusters(record: Record, stored: Stored) -> float | None:
    """A measure of agreement or size, from the cluster of each item and the number of clusters in the outcomes."""
    k = record.outcomes.get("k")
    if record.protocol != "clusters" or "cluster" not in stored.table or not isinstance(k, int):
        return None
    return stored.by_cluster(k).get(record.metric)


def derived(stored: Stored) -> dict[str, float]:
    """Numbers in per cent that no record holds, of a run with one prediction per item: top-5, mean over classes."""
    table = stored.table
    if LABELS in table or "prediction" not in table or table["id"].duplicated().any():
        return {}
    right = table["prediction"] == table["label"]
    found = {"mean per class": 100.0 * float(right.groupby(table["label"]).mean().mean())}
    if stored.scores is not None and stored.scores.shape[1] > 5:
        labels = table["label"].to_numpy()
        if 0 <= labels.min() <= labels.max() < stored.scores.shape[1]:
            own = stored.scores[np.arange(len(labels)), labels]
            ahead = (stored.scores > own[:, None]).sum(axis=1)
            found["top-5"] = 100.0 * float((ahead < 5).mean())
    return found


def contradictions(stored: Stored) -> Iterator[tuple[str, str, str, str]]:
    """What of the stored columns contradicts another: the item, the column, its value, and what the other says."""
    table = stored.table
    if "prediction" not in table:
        return
    said = table["prediction"].to_numpy()
    if stored.scores is not None:
        best = stored.scores.argmax(axis=1)
        inside = (said >= 0) & (said < stored.scores.shape[1])
        # Scores that differ in float64 may be equal as they are kept: any of the highest may have been predicted.
        own = stored.scores[np.arange(len(said)), np.where(inside, said, 0)]
        for i in np.flatnonzero(~inside | (own < stored.scores.max(axis=1))):
            yield str(table["id"].iloc[i]), "prediction", str(said[i]), f"{best[i]} by scores.npy"
    if "rank" in table:
        first = table["rank"].to_numpy() == 1
        right = said == table["label"].to_numpy()
        for i in np.flatnonzero(first != right):
            yield str(table["id"].iloc[i]), "rank", str(table["rank"].iloc[i]), f"prediction {said[i]}"
    if "cluster" in table:
        for cluster, of in table.groupby("cluster"):
            if of["prediction"].nunique() > 1:
                first, other = of["prediction"].unique()[:2]
                yield (
                    str(of["id"].iloc[0]),
                    "prediction",
                    str(first),
                    f"{other} elsewhere in cluster {cluster}",
                )
