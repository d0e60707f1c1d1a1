"""The difference of two top-1 accuracies on the same test items, as one number of an evaluation."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from xdcbench.evaluation.writer import Evaluation, Metric
from xdcbench.results.statistics.counterparts import Pairs, Unit
from xdcbench.results.statistics.paired import paired_result


def top1_difference(
    evaluation: Evaluation,
    metric: str,
    predicted: tuple[np.ndarray, np.ndarray],
    hyperparameters: Mapping[str, Any],
) -> Metric:
    """Top-1 of the first less that of the second, in points, with interval and McNemar's p.

    Args:
        predicted: classes of the evaluation's rows, int64 (items,) each.
        hyperparameters: what tells the two from others.
    """
    index, rows, config = evaluation.index, evaluation.rows, evaluation.config
    groups = index.items["group"].iloc[rows].to_numpy(str)
    first, second = ((of == index.labels[rows]).astype(np.float64) for of in predicted)
    seed, key = str(config.seed), evaluation.work.name
    found = paired_result(Unit(config.split, seed, seed), (key, key), Pairs(groups, first, second, 0, 0))
    outcomes = {
        "interval": found.interval and [found.interval.low, found.interval.high],
        "right_alone": found.a_alone,
        "wrong_alone": found.b_alone,
        "groups": found.groups,
        "p": found.p,
    }
    return Metric(metric, found.difference, hyperparameters=hyperparameters, outcomes=outcomes)
