"""What a run said of each test item, as the scores that its number is the mean of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xdcbench.config.evaluation import PLAIN
from xdcbench.errors import UserError
from xdcbench.results.records import AGAIN, Record
from xdcbench.results.run_store import RunStore
from xdcbench.results.statistics.intervals import Interval, Run, Sample, difference_interval, share_interval

TOLERANCE = 1e-6
"""Difference between a record's value and that of its predictions, per cent, that rounding explains."""

GAIN = "top1_gain"
"""Top-1 of what was joined (hyperparameter `modalities`) less that of one part of it (`over`), in points."""

DROP = "top1_drop"
"""Top-1 of plain test clips less that of changed ones (hyperparameter `variant`), in points."""

DIFFERENCES = (GAIN, DROP)

_DEPTH = re.compile(r"recall_at_(\d+)")


@dataclass(frozen=True)
class Predictions:
    """Test items of one run, sorted by id: ``ids``, ``groups`` (str) and ``labels`` (int64) of shape (items,).

    ``scores`` is float64 (items,), 1 where the run was right and 0 where not; of a difference, -1 to 1.
    """

    ids: np.ndarray
    groups: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def run_folder(stores: Sequence[RunStore], key: str) -> Path:
    """The run directory ``key`` of the first results folder that has it whole; a UserError where none has."""
    for store in stores:
        if store.complete(key):
            return store.path(key)
    raise UserError(
        f"no run {key} in {', '.join(str(s.root) for s in stores)}; add its folder with --results"
    )


def is_share(metric: str) -> bool:
    """Whether a metric is the share of test items that a run had right."""
    return metric in ("top1", "cluster_accuracy") or _DEPTH.fullmatch(metric) is not None


def load_predictions(record: Record, stores: Sequence[RunStore]) -> Predictions:
    """The scores behind a record: of a run with several numbers, rows whose columns agree with its hyperparameters.

    Raises:
        UserError: the file is missing, unreadable, lacks a column, names an item twice, or does not give
            the record's value and number of items.
    """
    if not is_share(record.metric):
        raise UserError(
            f"{record.metric} is no share of test items; take top1, recall_at_K or cluster_accuracy"
        )
    return _checked(record, stores)


def load_difference(record: Record, stores: Sequence[RunStore]) -> Predictions:
    """The scores behind a record of ``DIFFERENCES``: 1 where the first alone was right, -1 where the second alone was.

    The first is what was joined, or the plain clips.

    Raises:
        UserError: as ``load_predictions``.
    """
    return _checked(record, stores)


def read_predictions(record: Record, path: Path) -> Predictions:
    """The scores behind a record that is a share or a difference, as the file ``path`` has them, whatever they give.

    Raises:
        UserError: the file is missing, unreadable, or lacks a column; a difference is not of the same items.
    """
    if record.metric not in DIFFERENCES:
        return _scores(record, path)
    named = record.hyperparameters
    column, sides = (
        ("modalities", (named.get("modalities"), named.get("over")))
        if record.metric == GAIN
        else ("variant", (PLAIN, named.get("variant")))
    )
    first, second = (
        _scores(record.model_copy(update={"hyperparameters": {**named, column: side}}), path)
        for side in sides
    )
    if not np.array_equal(first.ids, second.ids):
        raise UserError(f"{path} has other items of {column} {sides[0]} than of {sides[1]}; {AGAIN}")
    return replace(first, scores=first.scores - second.scores)


def _checked(record: Record, stores: Sequence[RunStore]) -> Predictions:
    path = run_folder(stores, record.run) / "predictions.parquet"
    predictions = read_predictions(record, path)
    _check(record, predictions, path)
    return predictions


def own_rows(record: Record, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Which rows of predictions are behind a record, bool (rows,): those whose columns agree with its settings."""
    own = np.ones(len(columns["id"]), dtype=bool)
    for name in record.hyperparameters.keys() & columns.keys():
        own &= columns[name] == record.hyperparameters[name]
    return own


def _scores(record: Record, path: Path) -> Predictions:
    columns = _read(path)
    said = "rank" if _DEPTH.fullmatch(record.metric) else "prediction"
    lacking = [name for name in ("id", "group", "label", said) if name not in columns]
    if lacking:
        raise UserError(f"{path} has no column {', '.join(lacking)}; {AGAIN}")
    own = own_rows(record, columns)
    order = np.flatnonzero(own)[np.argsort(columns["id"][own])]
    sorted_ = {name: column[order] for name, column in columns.items()}
    if depth := _DEPTH.fullmatch(record.metric):
        right = sorted_["rank"] <= int(depth[1])
    else:
        right = sorted_["prediction"] == sorted_["label"]
    return Predictions(sorted_["id"], sorted_["group"], sorted_["label"], right.astype(np.float64))


def cell_interval(records: Sequence[Record], stores: Sequence[RunStore]) -> Interval | None:
    """What other test items would have given for the mean of a cell, in %: ``share_interval``, ``difference_interval``.

    ``records`` are of one setting, over seeds and splits, as for ``measured_cell``; errors are those of
    ``load_predictions``. None for a metric that is neither a share of items nor a difference of two, and where there
    are too few groups.
    """
    differences = all(record.metric in DIFFERENCES for record in records)
    if not (differences or all(is_share(record.metric) for record in records)):
        return None
    load = load_difference if differences else load_predictions
    several = len({record.pretrain_seed for record in records}) > 1
    runs = []
    for record in records:
        seed, items = record.pretrain_seed if several else record.seed, load(record, stores)
        runs.append(Run(str(seed), record.split, items.groups, items.scores))
    interval = difference_interval(Sample.of(runs)) if differences else share_interval(runs)
    return interval and interval.percent


def cell_ends(records: Sequence[Record], stores: Sequence[RunStore]) -> tuple[float, float] | None:
    """Ends of ``cell_interval``, as cells of tables hold them."""
    found = cell_interval(records, stores)
    return (found.low, found.high) if found else None


def _read(path: Path) -> dict[str, np.ndarray]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # a fifth of the time of `read_table` on small files
            table = file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        said = "is missing" if not path.exists() else f"is not readable ({str(error).splitlines()[0]})"
        raise UserError(f"{path} {said}; {AGAIN}") from error
    return {name: table[name].to_numpy() for name in table.column_names}


def _check(record: Record, predictions: Predictions, path: Path) -> None:
    twice = np.flatnonzero(predictions.ids[1:] == predictions.ids[:-1])
    if len(twice):
        raise UserError(f"{path} names item {predictions.ids[twice[0]]!r} twice; {AGAIN}")
    n = len(predictions.ids)
    value = 100.0 * float(predictions.scores.mean()) if n else float("nan")
    if n != record.items_used or not abs(value - record.value) <= TOLERANCE:
        raise UserError(
            f"{path} gives {record.metric} {value:.4f} over {n} items, its record says {record.value:.4f} over "
            f"{record.items_used}; {AGAIN}"
        )
