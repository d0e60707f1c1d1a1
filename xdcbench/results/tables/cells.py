"""One number from several records, and which records may share a cell."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any, TypeVar

from xdcbench.config.table import Column
from xdcbench.results.published import Published
from xdcbench.results.records import Record
from xdcbench.results.tables.grid import Cell, Reference
from xdcbench.results.tables.unavailable import UnavailableResult

Item = TypeVar("Item", Record, Published)
_Part = tuple[str, list[tuple[int, Item]]]

# Settings that keep numbers of one method apart: a mean over different ones would hide a factor.
_RECORD_SETTINGS = (
    *("architecture", "pretrain_items", "protocol", "evaluation_version", "dataset", "fingerprint"),
    *("subset", "pretrain_subset", "selection", "epochs", "precision", "unit", "config_hash"),
)
GUESSED = re.compile(r"top1|mAP|recall_at_\d+|cluster_accuracy")
"""Metrics whose outcome ``chance`` is their own: that of a gain is of what it is a difference of."""
REPETITION = "draw"
"""The factor that is no setting: which training items a low-shot probe happened to learn from."""
# What a fit finds out differs between seeds and folds; it is no setting.
_PRINTED = {"hyperparameters.k": "k", "hyperparameters.frames": "frames", "pretrain_items": "pretrain_size"}
"""What published.csv calls the fields of a record."""
_PUBLISHED_SETTINGS = ("architecture", "pretrain_size", "hyperparameters.k", "selection")


def seed_name(record: Record) -> str:
    """The seed in words: ``0``, or ``0/1`` where pretraining and evaluation had different ones."""
    same = record.pretrain_seed == record.seed
    return str(record.seed) if same else f"{record.pretrain_seed}/{record.seed}"


Intervals = Callable[[Sequence[Record]], tuple[float, float] | None]
"""From the records of a cell to the ends of its interval."""

ColumnTest = Callable[[Sequence[Record], Sequence[Sequence[Record]]], Sequence[float | None]]
"""From the records of a column's first number, and those of each other one, to p values of the differences, corrected
for all pairs; None where two cannot be paired."""

FEW_ITEMS = 200
"""Below so many test items a number is shown with its interval."""


@dataclass(frozen=True)
class CellStatistics:
    """What judges the numbers of a table: ``intervals`` of cells, and the ``test`` of a column.

    ``every`` gives intervals to all cells, not only to those of ``FEW_ITEMS``.
    """

    intervals: Intervals | None = None
    test: ColumnTest | None = None
    every: bool = False

    def of(self, records: Sequence[Record], *, every: bool) -> Intervals | None:
        """What gives a cell its interval, None where it shows none; ``every``: as if all cells had theirs."""
        return self.intervals if every or self.every or items_used(records) < FEW_ITEMS else None


def items_used(records: Sequence[Record]) -> int:
    """Test items behind a cell: a sum over splits, each with its worst seed."""
    by_split: dict[str, list[int]] = defaultdict(list)
    for record in records:
        by_split[record.split].append(record.items_used)
    return sum(map(min, by_split.values()))


def measured_cell(records: Sequence[Record], intervals: Intervals | None = None) -> Cell:
    """One cell from the records of one setting, over its seeds and splits.

    The value is the mean of per-seed means. Evaluation seeds below one pretraining seed are no
    independent repetitions of the method, so they count as seeds only where there is one pretraining.
    """
    first = records[0]
    pretrainings = {record.pretrain_seed for record in records}
    by_seed: dict[int, list[float]] = defaultdict(list)
    by_split: dict[str, list[Record]] = defaultdict(list)
    splits_of: dict[str, set[str]] = defaultdict(set)
    for record in records:
        by_seed[record.pretrain_seed if len(pretrainings) > 1 else record.seed].append(record.value)
        by_split[record.split].append(record)
        splits_of[seed_name(record)].add(record.split)
    means = [fmean(values) for _, values in sorted(by_seed.items())]
    common = set.intersection(*splits_of.values())
    available = {split for record in records for split in record.official_splits}
    return Cell(
        value=fmean(means),
        spread=stdev(means) if len(means) > 1 else None,
        n=len(means),
        interval=intervals(records) if intervals else None,
        unit=first.unit,
        frames=first.hyperparameters.get("frames"),
        splits=tuple(sorted(by_split)),
        splits_missing=tuple(sorted(available - common)),
        seeds=tuple(sorted(splits_of)),
        records=tuple(records),
        items_used=items_used(records),
        items_expected=sum(max(r.items_expected for r in part) for part in by_split.values()),
        items_failed=sum(max(r.items_failed for r in part) for part in by_split.values()),
        counted="training" if first.protocol == "round" else "test",
        status="measured",
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        dataset=first.dataset,
        fingerprint=first.fingerprint,
        subset=first.subset,
        guesses=_guesses(records),
    )


def _guesses(records: Sequence[Record]) -> tuple[float, float | None] | None:
    """Means over records of what chance gets and, of top-1, what the most frequent class gets, per cent."""
    found = [record.outcomes for record in records if GUESSED.fullmatch(record.metric)]
    if len(found) < len(records) or not all("chance" in of for of in found):
        return None
    most = [of["most_frequent_class"] for of in found if "most_frequent_class" in of]
    return fmean(of["chance"] for of in found), fmean(most) if len(most) == len(found) else None


def published_cell(rows: Sequence[Published]) -> Cell:
    """One cell from published rows that state the same number."""
    row = _spokesman(rows)
    return Cell(
        value=row.value,
        n=1,
        unit="%",
        frames=row.frames,
        splits=(row.split,),
        status=row.status,
        source=row.id,
        metric=row.metric,
        dataset=row.dataset,
        differs=row.differs,
    )


def counterpart(
    record: Record, cell: Cell, column: Column, printed: Sequence[Published], method: str
) -> Reference | None:
    """The published number that a cell reproduces, or None.

    Protocol, dataset, split and metric agree with the ``printed`` rows, which stand under the same ``column``.
    What remains is checked here: real data, all of it, all splits of a mean, frames, the ``method`` by its name
    in published.csv, its pretraining data, the architecture and k. ``record`` is one of the cell's.
    """
    part = column.split == "mean" and cell.splits_missing
    if record.world != "real" or record.subset or record.pretrain_subset or part:
        return None
    same = [
        row
        for row in printed
        if (row.method, row.pretrain_data) == (method, record.pretrain_data)
        and row.architecture in ("", record.architecture)
        and row.frames == cell.frames
        and row.k in (None, value_of(record, "hyperparameters.k"))
    ]
    if len({row.value for row in same}) != 1:
        return None
    row = _spokesman(same)
    return Reference(row.value, row.status, row.id)


def _spokesman(rows: Sequence[Published]) -> Published:
    """Of rows that state the same number, a verified one speaks for the others."""
    return next((row for row in rows if row.status == "verified"), rows[0])


def value_of(item: Record | Published | UnavailableResult, name: str) -> Any:
    """A field, or with ``hyperparameters.`` a factor; None where the item does not state it.

    ``hyperparameters.k`` of clusterings that agree is their number of clusters, of others all of them: ``128/64``.
    """
    if isinstance(item, Published):
        return getattr(item, _PRINTED.get(name, name), None)
    factor = name.removeprefix("hyperparameters.")
    if factor == name:
        return getattr(item, name, None)
    if factor == "k" and "k" not in item.hyperparameters:
        ks = [value for at, value in sorted(item.hyperparameters.items()) if at.startswith("k_")]
        return "/".join(map(str, ks)) if len(set(ks)) > 1 else next(iter(ks), None)
    return item.hyperparameters.get(factor)


def said(value: Any) -> str:
    """A value as a label, "" for None."""
    return "" if value is None else str(value)


def split_settings(entries: Sequence[tuple[int, Item]], columns: Sequence[Column]) -> list[_Part[Item]]:
    """Entries (column index, item) of one row by the settings in which they differ, "" where they agree.

    Two numbers that agree in all settings, and in seed and split, are told apart by suite (published
    ones: source), then by run (id); no mean is ever taken over them.
    """
    measured = isinstance(entries[0][1], Record)
    cells = defaultdict(list)
    for i, item in entries:
        cells[i].append(item)
    varying = {
        name
        for i, items in cells.items()
        if measured or not _one_number(items)
        for name in _settings(items, columns[i])
        if len({_hashed(value_of(item, name)) for item in items}) > 1
    }
    names = sorted(varying)
    for last in ("suite", "run") if measured else ("source", "id"):
        parts = _partition(entries, names)
        if all(_one_number([item for at, item in part if at == i]) for _, part in parts for i in cells):
            return parts
        names.append(last)
    return _partition(entries, names)


def _hashed(value: Any) -> Any:
    """A value that can stand in a set; 1 and "1", True and 1 differ."""
    return (type(value), value) if isinstance(value, str | int | float) else json.dumps(value, default=str)


def _settings(items: Sequence[Record | Published], column: Column) -> set[str]:
    if isinstance(items[0], Published):
        return set(_PUBLISHED_SETTINGS)
    names = {name for item in items if isinstance(item, Record) for name in item.hyperparameters}
    hyperparameters = {
        f"hyperparameters.{'k' if name.startswith('k_') else name}" for name in names - {REPETITION}
    }
    return {*_RECORD_SETTINGS, *hyperparameters, *(() if column.split == "mean" else ("split",))}


def _one_number(items: Sequence[Record | Published]) -> bool:
    """Whether items of equal settings may share a cell: seeds, splits and draws of one, or one printed value."""
    repetitions = [
        (r.split, seed_name(r), r.hyperparameters.get(REPETITION)) for r in items if isinstance(r, Record)
    ]
    printed = {row.value for row in items if isinstance(row, Published)}
    return len(set(repetitions)) == len(repetitions) and len(printed) <= 1


def _partition(entries: Sequence[tuple[int, Item]], names: Sequence[str]) -> list[_Part[Item]]:
    parts: dict[str, _Part[Item]] = {}
    for i, item in entries:
        values = [value_of(item, name) for name in names]
        words = ["not stated" if value is None else said(value) or "none" for value in values]
        text = ", ".join(
            f"{n.removeprefix('hyperparameters.')} {word}" for n, word in zip(names, words, strict=True)
        )
        # Keyed by values, since different ones may read the same.
        parts.setdefault(json.dumps(values, default=str), (text, []))[1].append((i, item))
    return list(parts.values())
