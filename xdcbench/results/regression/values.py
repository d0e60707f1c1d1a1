"""The numbers of a run that a regression check compares."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from xdcbench.results.records import Record

SCALES = {
    "top1": 100.0,
    "mAP": 0.0,
    "cluster_accuracy": 100.0,
    "nmi_class": 0.0,
    "purity": 1.0,
    "within_cluster_variance": 0.0,
    "accuracy": 1.0,
}
"""Trained numbers that are compared, by metric, with what all items together are worth; 0 for what is no share."""

ALL = "all"
"""In the name of a method's mean, in place of evaluation and dataset."""


def name_of(record: Record, metric: str) -> str:
    """What a value is called: method, data and what was measured."""
    return f"{record.method}/{record.pretrain_data}/{record.evaluation}/{record.dataset}/{metric}"


def compared(records: Iterable[Record]) -> dict[str, list[Record]]:
    """The records that a check compares, by name of number.

    One number is the mean over splits, rounds, clusterings and heads: training magnifies the rounding of another
    processor or number of threads, and one fold or clustering of a small suite may land elsewhere while their mean
    stays. Items held out for validation are too few.
    """
    found: dict[str, list[Record]] = {}
    for record in records:
        metric = metric_of(record.metric)
        if metric is not None and not record.metric.startswith("val_"):
            found.setdefault(name_of(record, metric), []).append(record)
    return dict(sorted(found.items()))


def values_of(records: Iterable[Record]) -> dict[str, float]:
    """The number of each name, and of each method the mean of its top-1, which moves less from seed to seed."""
    values = {name: fmean(record.value for record in of) for name, of in compared(records).items()}
    means: dict[str, list[float]] = {}
    for name, value in values.items():
        if name.endswith("/top1"):
            method, data, *_ = name.split("/")
            means.setdefault(f"{method}/{data}/{ALL}/{ALL}/top1", []).append(value)
    return values | {name: fmean(several) for name, several in means.items()}


def item_of(records: Sequence[Record]) -> float:
    """What one test item moves of a number that is the mean of ``records``, those of one seed."""
    scale = SCALES[metric_of(records[0].metric) or ""]
    by_split = {record.split: record.items_used for record in records}
    return scale / max(sum(by_split.values()), 1)


def metric_of(metric: str) -> str | None:
    """The compared metric that ``metric`` is, or ends in: ``video_a_accuracy`` is an accuracy."""
    suffixes = [name for name in SCALES if metric == name or metric.endswith(f"_{name}")]
    return max(suffixes, key=len, default=None)
