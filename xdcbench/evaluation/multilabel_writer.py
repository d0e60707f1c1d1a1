"""From class scores of items with several classes each to records and files."""

from typing import Any

import numpy as np
import pandas as pd

from xdcbench.data.label_sets import is_told_apart, label_sets
from xdcbench.data.scanning.items import LABELS
from xdcbench.evaluation.multilabel_metrics import class_metrics, d_prime
from xdcbench.evaluation.writer import (
    Evaluation,
    Metric,
    check_class_sets,
    check_finite,
    save_scores,
    write_results,
)
from xdcbench.utils.progress import log


def write_multilabel(evaluation: Evaluation, scores: np.ndarray, **fields: Any) -> None:
    """Write class scores, float (len(rows), classes), mAP, mAUC (per cent) and d' of items with several classes each.

    ``classes.parquet`` holds, by class, the number of test items with it, average precision and ROC AUC, in 0..1, NaN
    where a class has no test item with it or, of the AUC, none without. These classes are left out of the means. A d'
    that is infinite, as it is where the scores of every class make no mistake, is not recorded.

    Raises:
        UserError: scores that are not finite, more unreadable items than allowed, or items that all have one set of
            classes.
    """
    index, rows, work = evaluation.index, evaluation.rows, evaluation.work
    check_finite(index, scores, rows)
    check_class_sets(evaluation.config, index, rows, "test")
    sets = label_sets(index)[rows]
    found = class_metrics(sets, scores)
    auc, scored = found.mean_roc_auc, found.positives > 0
    counts = {"classes_scored": int(scored.sum()), "classes_without_test_item": int((~scored).sum())}
    told = {**counts, "classes_scored": int(is_told_apart(sets).sum())}
    chance = 100.0 * float(found.positives[scored].mean()) / len(rows)
    metrics = [
        Metric("mAP", 100.0 * found.mean_average_precision, outcomes={**counts, "chance": chance}),
        Metric("mAUC", 100.0 * auc, outcomes=told),
    ]
    if np.isfinite(distance := d_prime(auc)):
        metrics.append(Metric("d_prime", distance, unit="", outcomes=told))
    else:
        log.warning(
            "%s on %s: d' of an AUC of %g is infinite and not recorded",
            evaluation.config.name,
            index.name,
            auc,
        )
    write_results(
        evaluation, metrics, pd.DataFrame({LABELS: index.items[LABELS].iloc[rows].to_numpy()}), **fields
    )
    by_class = {"class": index.classes, **vars(found)}
    pd.DataFrame(by_class).to_parquet(work / "classes.parquet", index=False)
    save_scores(evaluation, scores)
