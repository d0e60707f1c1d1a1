"""Metrics of multi-label classification, class by class and their means, as reported on AudioSet."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.sparse import csr_array
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score


@dataclass(frozen=True)
class ClassMetrics:
    """Ranking of the test items by the scores of each class.

    Attributes:
        positives: int64 (classes,), test items that have the class.
        average_precision: float64 (classes,), in 0..1, scikit-learn's; NaN without a positive.
        roc_auc: float64 (classes,), in 0..1; NaN without a positive or without a negative.
    """

    positives: np.ndarray
    average_precision: np.ndarray
    roc_auc: np.ndarray

    @property
    def mean_average_precision(self) -> float:
        """Mean over the classes that have a positive; there must be one."""
        return float(np.nanmean(self.average_precision))

    @property
    def mean_roc_auc(self) -> float:
        """Mean over the classes that have positives and negatives; there must be one."""
        return float(np.nanmean(self.roc_auc))


def class_metrics(sets: csr_array, scores: np.ndarray) -> ClassMetrics:
    """Metrics of each class.

    Args:
        sets: (items, classes) of 0 and 1, the classes of each item.
        scores: float (items, classes), finite; only their order within a class counts.
    """
    columns = sets.tocsc()
    positives = np.diff(columns.indptr)
    precision, auc = (np.full(len(positives), np.nan) for _ in range(2))
    for k in np.flatnonzero(positives):
        truth = np.zeros(len(scores), dtype=bool)
        truth[columns.indices[columns.indptr[k] : columns.indptr[k + 1]]] = True
        precision[k] = average_precision_score(truth, scores[:, k])
        if positives[k] < len(scores):
            auc[k] = roc_auc_score(truth, scores[:, k])
    return ClassMetrics(positives.astype(np.int64), precision, auc)


def d_prime(auc: float) -> float:
    """Distance of the means of two unit normal distributions, of positives and negatives, that have this ROC AUC.

    Infinite for an ``auc`` of 0 or 1. As in AudioSet's paper (Gemmeke et al. 2017) and PANNs (Kong et al. 2020),
    which take it of the mean AUC.
    """
    return float(sqrt(2) * norm.ppf(auc))
